#include "cpu/winograd.hpp"

#include <algorithm>

#include "base/knobs.hpp"
#include "cpu/conv.hpp"

namespace tl::cpu {
namespace {

// A 3x3 convolution as 36 products. Many patches: each task takes a block of them all the way. Few: the products are shared
// out between two rounds of transforms, so that each weight is read once.
class WinogradConv final : public WeightKernel {
 public:
  WinogradConv(const KernelRequest& request, const ConvShape& shape, const Weights& weights)
      : WeightKernel(request, shape), gemm_(gemm_kernels()), kernels_(winograd_kernels()), bias_(bias_of(request)) {
    patches_ = shape_.batch * ((shape_.out_h + winograd_output - 1) / winograd_output) *
               ((shape_.out_w + winograd_output - 1) / winograd_output);
    panels_ = (shape_.out_c + gemm_.shape.panel - 1) / gemm_.shape.panel;
    pack_weights(weights);
    shared_ = threads_ > 1 && patches_ < 2 * block_patches;
    blocks_ = shared_ ? 1 : (patches_ + block_patches - 1) / block_patches;
    if (!shared_) blocks_ = (blocks_ + threads_ - 1) / threads_ * threads_;
    const std::size_t rows = (patches_ + blocks_ - 1) / blocks_;
    in_stride_ = rounded(rows * shape_.in_c * sizeof(float)) / sizeof(float);
    out_stride_ = rounded(rows * shape_.out_c * sizeof(float)) / sizeof(float);
  }

  std::string_view name() const noexcept override { return "winograd_4x4"; }
  plan::Workspace workspace() const noexcept override {
    return shared_ ? plan::Workspace{buffer_bytes(), 0} : plan::Workspace{0, buffer_bytes()};
  }
  std::size_t packed_bytes() const noexcept override { return weight_bytes_ + bias_.size() * sizeof(float); }

  Status run(const KernelArgs& args) const noexcept override {
    if (shared_) {
      together(args);
    } else {
      args.pool->parallel(blocks_, [&](std::size_t task, std::size_t worker) { alone(args, task, worker); });
    }
    return {};
  }

 private:
  static constexpr std::size_t block_patches = 28;

  std::size_t buffer_bytes() const noexcept { return winograd_points * (in_stride_ + out_stride_) * sizeof(float); }

  void pack_weights(const Weights& weights) {
    const std::size_t panel = gemm_.shape.panel;
    const std::size_t last = shape_.out_c - (panels_ - 1) * panel;
    const std::size_t columns = (panels_ - 1) * panel + gemm_.shape.width_of(last);
    point_size_ = columns * shape_.in_c;
    weight_bytes_ = winograd_points * point_size_ * sizeof(float);
    weights_ = plan::allocate_aligned(weight_bytes_);
    auto* out = reinterpret_cast<float*>(weights_.get());
    for (std::size_t p = 0; p < panels_; ++p) {
      const std::size_t valid = std::min(panel, shape_.out_c - p * panel);
      kernels_.weights(weights.values.data(), weights.storage, shape_, p * panel, valid, gemm_.shape.width_of(valid),
                       out + p * panel * shape_.in_c, point_size_);
    }
  }

  PatchBlock patches(const KernelArgs& args, std::size_t first, std::size_t rows) const noexcept {
    PatchBlock b{};
    b.shape = &shape_;
    b.storage = storage_;
    b.first = first;
    b.rows = rows;
    b.tile_rows = gemm_.shape.tile_rows;
    b.bias = bias_.empty() ? nullptr : bias_.data();
    b.residual = residual_of(args);
    b.activation = activation_;
    return b;
  }

  void transform_in(const KernelArgs& args, PatchBlock b, std::size_t begin, std::size_t end, float* values) const noexcept {
    b.image = args.inputs[0];
    b.channel_begin = begin;
    b.channel_end = end;
    b.values = values;
    b.point_stride = in_stride_;
    kernels_.patches_in(b);
  }

  void transform_out(const KernelArgs& args, PatchBlock b, std::size_t begin, std::size_t end, float* values) const noexcept {
    b.image = args.outputs[0];
    b.channel_begin = begin;
    b.channel_end = end;
    b.values = values;
    b.point_stride = out_stride_;
    kernels_.patches_out(b);
  }

  void multiply(std::size_t point, std::size_t rows, const float* in, float* out, std::size_t begin,
                std::size_t end) const noexcept {
    GemmBlock g{};
    g.a = in + point * in_stride_;
    g.rows = rows;
    g.depth = g.depth_total = shape_.in_c;
    g.b = reinterpret_cast<const float*>(weights_.get()) + point * point_size_;
    g.b_storage = Storage::f32;
    g.columns = shape_.out_c;
    g.panel_begin = begin;
    g.panel_end = end;
    g.c = out + point * out_stride_;
    g.c_stride = shape_.out_c;
    g.c_storage = Storage::f32;
    gemm_.multiply(g);
  }

  void alone(const KernelArgs& args, std::size_t task, std::size_t worker) const noexcept {
    const std::size_t first = patches_ * task / blocks_;
    const std::size_t rows = patches_ * (task + 1) / blocks_ - first;
    if (rows == 0) return;
    auto* in = reinterpret_cast<float*>(args.own(worker));
    float* out = in + winograd_points * in_stride_;
    const PatchBlock b = patches(args, first, rows);
    transform_in(args, b, 0, shape_.in_c, in);
    for (std::size_t point = 0; point < winograd_points; ++point) multiply(point, rows, in, out, 0, panels_);
    transform_out(args, b, 0, shape_.out_c, out);
  }

  void together(const KernelArgs& args) const noexcept {
    auto* in = reinterpret_cast<float*>(args.shared);
    float* out = in + winograd_points * in_stride_;
    const PatchBlock b = patches(args, 0, patches_);
    const auto split = [&](std::size_t channels, auto&& body) {
      const std::size_t blocks = channels / depth_block;
      const std::size_t tasks = std::min(blocks, threads_ * 2);
      args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
        body(blocks * task / tasks * depth_block, blocks * (task + 1) / tasks * depth_block);
      });
    };
    split(shape_.in_c, [&](std::size_t begin, std::size_t end) { transform_in(args, b, begin, end, in); });
    args.pool->parallel(winograd_points,
                        [&](std::size_t point, std::size_t) { multiply(point, patches_, in, out, 0, panels_); });
    split(shape_.out_c, [&](std::size_t begin, std::size_t end) { transform_out(args, b, begin, end, out); });
  }

  const GemmKernels& gemm_;
  const WinogradKernels& kernels_;
  std::vector<float> bias_;
  plan::AlignedBytes weights_;
  bool shared_ = false;
  std::size_t patches_ = 0, blocks_ = 1, panels_ = 0, point_size_ = 0, weight_bytes_ = 0;
  std::size_t in_stride_ = 0, out_stride_ = 0;
};

// It pays where patches are not mostly padding and there are enough of them for a product each.
bool pays(const ConvShape& s) {
  constexpr std::size_t least_patches = 12;
  constexpr std::size_t least_channels = 32;
  constexpr double overhead = 1.3;
  const std::size_t across = (s.out_w + winograd_output - 1) / winograd_output;
  const std::size_t down = (s.out_h + winograd_output - 1) / winograd_output;
  const std::size_t patches = s.batch * across * down;
  const double products = overhead * static_cast<double>(winograd_points * across * down);
  return patches >= least_patches && s.in_c >= least_channels && s.out_c >= least_channels &&
         products < static_cast<double>(9 * s.out_h * s.out_w);
}

}  // namespace

std::optional<WinogradInput> winograd_input(const KernelRequest& request) {
  if (!usable(request) || storage_of(request.view.dtype("x")) != Storage::f16 || knob_value(Knob::memory) != 0)
    return std::nullopt;
  const auto weights = weights_of(request);
  if (!weights) return std::nullopt;
  const ConvShape s = conv_shape(request);
  const bool fits = s.kernel_h == 3 && s.kernel_w == 3 && s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1 &&
                    s.in_c % depth_block == 0 && s.out_c % depth_block == 0;
  return fits ? std::optional(WinogradInput{s, *weights}) : std::nullopt;
}

std::unique_ptr<Kernel> winograd_conv(const KernelRequest& request) {
  const auto input = winograd_input(request);
  if (!input || input->shape.stride_h != 1 || input->shape.stride_w != 1 || !pays(input->shape)) return nullptr;
  return finite(input->weights) ? std::make_unique<WinogradConv>(request, input->shape, input->weights) : nullptr;
}

}  // namespace tl::cpu
