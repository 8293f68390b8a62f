#include <algorithm>

#include "cpu/conv.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t channels = 3;
constexpr std::size_t stride = 2;
static_assert(channels * stride == segment_row_step);

// The first layer of a network: three channels, strides of two. Rows of the image are widened once per row of outputs; windows
// are read from them where they lie.
class ImageConv final : public WeightKernel {
 public:
  ImageConv(const KernelRequest& request, const ConvShape& shape, const Weights& weights)
      : WeightKernel(request, shape),
        gemm_(gemm_kernels()),
        bias_(bias_of(request)),
        reach_(((shape.out_w - 1) * stride + shape.kernel_w) * channels),
        row_(rounded(reach_ * sizeof(float)) / sizeof(float)) {
    const std::size_t depth = shape_.depth();
    weight_bytes_ = depth * shape_.out_c * sizeof(float);
    weights_ = plan::allocate_aligned(weight_bytes_);
    auto* out = reinterpret_cast<float*>(weights_.get());
    const Tensor wide = weights.values.cast(DType::f32);
    const auto values = wide.values<float>();
    const std::size_t taps = shape_.kernel_h * shape_.kernel_w;
    for (std::size_t first = 0; first < shape_.out_c; first += gemm_.shape.panel) {
      const std::size_t width = std::min(gemm_.shape.panel, shape_.out_c - first);
      for (std::size_t k = 0; k < depth; ++k) {
        for (std::size_t n = 0; n < width; ++n) *out++ = values[((first + n) * channels + k % channels) * taps + k / channels];
      }
    }
  }

  std::string_view name() const noexcept override { return "conv_image"; }
  std::size_t workspace_bytes() const noexcept override { return threads_ * shape_.kernel_h * row_ * sizeof(float); }
  std::size_t packed_bytes() const noexcept override { return weight_bytes_ + bias_.size() * sizeof(float); }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t rows = shape_.batch * shape_.out_h;
    const std::size_t tasks = std::min(rows, threads_ * 4);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      auto* scratch = reinterpret_cast<float*>(args.workspace) + worker * shape_.kernel_h * row_;
      for (std::size_t r = rows * task / tasks; r < rows * (task + 1) / tasks; ++r) one_row(args, r, scratch);
    });
    return {};
  }

 private:
  void one_row(const KernelArgs& args, std::size_t r, float* scratch) const noexcept {
    const std::size_t line = shape_.in_w * channels;
    const std::size_t before = std::min(reach_, static_cast<std::size_t>(shape_.pad_left) * channels);
    const std::size_t count = std::min(reach_ - before, line);
    for (std::size_t ky = 0; ky < shape_.kernel_h; ++ky) {
      float* row = scratch + ky * row_;
      const std::ptrdiff_t y = static_cast<std::ptrdiff_t>(r % shape_.out_h * shape_.stride_h + ky) - shape_.pad_top;
      if (y < 0 || y >= static_cast<std::ptrdiff_t>(shape_.in_h)) {
        std::fill_n(row, reach_, 0.0F);
        continue;
      }
      std::fill_n(row, before, 0.0F);
      const std::size_t at = (r / shape_.out_h * shape_.in_h + static_cast<std::size_t>(y)) * line;
      gemm_.convert(args.inputs[0] + at * size_of(storage_), storage_, row + before, count);
      std::fill_n(row + before + count, reach_ - before - count, 0.0F);
    }
    const std::size_t offset = r * shape_.out_w * shape_.out_c * size_of(storage_);
    GemmBlock g{};
    g.a = scratch;
    g.rows = shape_.out_w;
    g.depth = g.depth_total = shape_.depth();
    g.segments = shape_.kernel_h;
    g.segment_step = row_;
    g.b = weights_.get();
    g.columns = shape_.out_c;
    g.bias = bias_.empty() ? nullptr : bias_.data();
    g.residual = residual_of(args) == nullptr ? nullptr : residual_of(args) + offset;
    g.residual_stride = g.c_stride = shape_.out_c;
    g.c = args.outputs[0] + offset;
    g.c_storage = storage_;
    g.activation = activation_;
    gemm_.multiply_segments(g);
  }

  const GemmKernels& gemm_;
  std::vector<float> bias_;
  plan::AlignedBytes weights_;
  std::size_t weight_bytes_ = 0;
  std::size_t reach_, row_;  // floats of a padded row that windows reach, and whole cache lines of it
};

}  // namespace

std::unique_ptr<Kernel> image_conv(const KernelRequest& request) {
  if (!usable(request)) return nullptr;
  const auto weights = weights_of(request);
  if (!weights) return nullptr;
  const ConvShape s = conv_shape(request);
  constexpr std::size_t most_lanes = 16;
  const bool fits = s.in_c == channels && s.groups == 1 && s.stride_w == stride && s.dilation_h == 1 && s.dilation_w == 1 &&
                    s.out_c % most_lanes == 0 && s.pad_left >= 0 && s.out_w >= most_lanes;
  return fits && may_skip_padding(s, *weights) ? std::make_unique<ImageConv>(request, s, *weights) : nullptr;
}

}  // namespace tl::cpu
