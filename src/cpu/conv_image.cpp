#include <algorithm>
#include <cstring>

#include "cpu/conv.hpp"
#include "cpu/image_dot.hpp"
#include "cpu/interleave.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t channels = 3;
constexpr std::size_t stride = 2;
static_assert(channels * stride == segment_row_step && pixel_words * stride == window_step);
constexpr std::size_t rows_at_once = 4;  // of outputs: they share rows of the image

// Where the image stands: `x` itself, or what a transposition to channels-last and a cast to float16 before it read.
struct Source {
  const ir::Var* var;
  Storage storage;
  bool planes = false;
};

Source source_of(const KernelRequest& request) {
  const ir::Var* x = request.variable("x");
  const Source plain{x, *storage_of(request.view.dtype("x"))};
  const ir::Op* transpose = x->producer;
  const ir::Var* planes = request.read_before(transpose, "transpose", request.op);
  if (planes == nullptr || ir::Infer(*transpose).maybe_ints("perm") != std::vector<std::int64_t>{0, 2, 3, 1}) return plain;
  const ir::Var* wide = request.read_before(planes->producer, "cast", *transpose);
  if (wide != nullptr && wide->type.tensor().dtype == DType::f32 && keeps_its_value(*wide)) return {wide, Storage::f32, true};
  return keeps_its_value(*planes) ? Source{planes, plain.storage, true} : plain;
}

// The first layer of a network: three channels, strides of two. Rows of the image are widened once for a few rows of outputs,
// to floats or, where bf16 is asked for, to words of two; windows are read from them where they lie.
class ImageConv final : public WeightKernel {
 public:
  // With `dot`, `x` is read as planes.
  ImageConv(const KernelRequest& request, const ConvShape& shape, const Weights& weights, const ImageDot* dot)
      : WeightKernel(request, shape),
        gemm_(gemm_kernels()),
        source_(source_of(request)),
        dot_(dot),
        bias_(bias_of(request)),
        pixel_((dot_ == nullptr ? channels : pixel_words) * sizeof(float)),
        reach_(((shape.out_w - 1) * stride + shape.kernel_w) * pixel_),
        row_(rounded(reach_)),
        block_(shape.stride_h < shape.kernel_h ? rows_at_once : 1) {
    inputs[0] = source_.var;
    for (const ir::Var* read = request.variable("x"); read != source_.var;
         read = std::get<ir::Var*>(joined.front()->argument("x")->bindings.front()))
      joined.insert(joined.begin(), read->producer);
    const std::size_t taps = shape_.kernel_h * shape_.kernel_w;
    weight_bytes_ = taps * pixel_ * shape_.out_c;
    weights_ = plan::allocate_aligned(weight_bytes_);
    const Tensor wide = weights.values.cast(DType::f32);
    if (dot_ == nullptr) {
      pack_floats(wide.values<float>().data(), taps);
    } else {
      pack_pairs(wide.values<float>().data(), taps);
    }
  }

  std::string_view name() const noexcept override { return dot_ == nullptr ? "conv_image" : "conv_image_bf16"; }
  plan::Workspace workspace() const noexcept override { return {0, scratch_rows() * row_}; }
  std::size_t packed_bytes() const noexcept override { return weight_bytes_ + bias_.size() * sizeof(float); }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t rows = shape_.batch * shape_.out_h;
    const std::size_t tasks = std::min(rows, threads_ * 8);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      std::byte* scratch = args.own(worker);
      const std::size_t end = rows * (task + 1) / tasks;
      std::size_t count = 0;
      for (std::size_t r = rows * task / tasks; r < end; r += count) {
        const std::size_t y = r % shape_.out_h;
        count = std::min({block_, end - r, shape_.out_h - y});
        const std::ptrdiff_t top = static_cast<std::ptrdiff_t>(y * shape_.stride_h) - shape_.pad_top;
        const std::size_t needed = (count - 1) * shape_.stride_h + shape_.kernel_h;
        for (std::size_t k = 0; k < needed; ++k)
          widen(args.inputs[0], r / shape_.out_h, top + static_cast<std::ptrdiff_t>(k), scratch + k * row_);
        for (std::size_t k = 0; k < count; ++k) multiply(args, r + k, scratch + k * shape_.stride_h * row_);
      }
    });
    return {};
  }

 private:
  std::size_t scratch_rows() const noexcept { return (block_ - 1) * shape_.stride_h + shape_.kernel_h; }

  // Panels of columns, [kernel row][kernel column][channel].
  void pack_floats(const float* values, std::size_t taps) {
    auto* out = reinterpret_cast<float*>(weights_.get());
    for (std::size_t first = 0; first < shape_.out_c; first += gemm_.shape.panel) {
      const std::size_t width = std::min(gemm_.shape.panel, shape_.out_c - first);
      for (std::size_t k = 0; k < taps * channels; ++k) {
        for (std::size_t n = 0; n < width; ++n) *out++ = values[((first + n) * channels + k % channels) * taps + k / channels];
      }
    }
  }
  void pack_pairs(const float* values, std::size_t taps) {
    const std::size_t words = taps * pixel_words;
    std::vector<float> wide(dot_panel * words * 2);
    std::vector<std::uint32_t> rows(dot_panel * words);
    for (std::size_t first = 0; first < shape_.out_c; first += dot_panel) {
      const std::size_t width = dot_width(shape_.out_c, first);
      for (std::size_t i = 0; i < width * taps * channels; ++i) {
        const std::size_t n = i / channels / taps, t = i % taps, c = i / taps % channels;
        wide[(n * taps + t) * pixel_words * 2 + c] = values[first * channels * taps + i];
      }
      bf16_kernels()->narrow(wide.data(), Storage::f32, reinterpret_cast<std::uint16_t*>(rows.data()), width * words * 2);
      pack_words(rows.data(), words, words, width, width, reinterpret_cast<std::uint32_t*>(weights_.get()) + first * words);
    }
  }

  // Row y of an image between its padding.
  void widen(const std::byte* x, std::size_t image, std::ptrdiff_t y, std::byte* row) const noexcept {
    if (y < 0 || y >= static_cast<std::ptrdiff_t>(shape_.in_h)) {
      std::memset(row, 0, reach_);
      return;
    }
    const std::size_t before = std::min(reach_, static_cast<std::size_t>(shape_.pad_left) * pixel_);
    const std::size_t pixels = std::min((reach_ - before) / pixel_, shape_.in_w);
    std::memset(row, 0, before);
    const std::size_t element = size_of(source_.storage);
    if (source_.planes) {
      std::array<const void*, channels> planes{};
      for (std::size_t c = 0; c < channels; ++c)
        planes[c] = x + ((image * channels + c) * shape_.in_h + static_cast<std::size_t>(y)) * shape_.in_w * element;
      const bool as_half = storage_ == Storage::f16;
      if (dot_ == nullptr) {
        interleave_(planes, source_.storage, as_half, reinterpret_cast<float*>(row + before), pixels);
      } else {
        dot_->narrow(planes, source_.storage, as_half, reinterpret_cast<std::uint32_t*>(row + before), pixels);
      }
    } else {
      const std::size_t at = (image * shape_.in_h + static_cast<std::size_t>(y)) * shape_.in_w * channels;
      gemm_.convert(x + at * element, storage_, reinterpret_cast<float*>(row + before), pixels * channels);
    }
    const std::size_t end = before + pixels * pixel_;
    std::memset(row + end, 0, reach_ - end);
  }

  // Row r of the outputs, whose windows begin at `rows`.
  void multiply(const KernelArgs& args, std::size_t r, const std::byte* rows) const noexcept {
    if (dot_ == nullptr) {
      GemmBlock g{};
      g.a = reinterpret_cast<const float*>(rows);
      g.depth = g.depth_total = shape_.depth();
      g.segments = shape_.kernel_h;
      g.segment_step = row_ / sizeof(float);
      g.b = weights_.get();
      finish(g, args, r);
      gemm_.multiply_segments(g);
    } else {
      ImageDotBlock g{};
      g.a = reinterpret_cast<const std::uint32_t*>(rows);
      g.words = shape_.kernel_h * shape_.kernel_w * pixel_words;
      g.parts = shape_.kernel_h;
      g.part_step = row_ / sizeof(std::uint32_t);
      g.b = reinterpret_cast<const std::uint32_t*>(weights_.get());
      finish(g, args, r);
      dot_->multiply(g);
    }
  }
  template <class Block>
  void finish(Block& g, const KernelArgs& args, std::size_t r) const noexcept {
    const std::size_t offset = r * shape_.out_w * shape_.out_c * size_of(storage_);
    g.rows = shape_.out_w;
    g.columns = shape_.out_c;
    g.bias = bias_.empty() ? nullptr : bias_.data();
    g.residual = residual_of(args) == nullptr ? nullptr : residual_of(args) + offset;
    g.residual_stride = g.c_stride = shape_.out_c;
    g.c = args.outputs[0] + offset;
    g.c_storage = storage_;
    g.activation = activation_;
  }

  const GemmKernels& gemm_;
  InterleavePlanes interleave_ = interleave_planes_kernel();
  Source source_;
  const ImageDot* dot_;  // null: floats
  std::vector<float> bias_;
  plan::AlignedBytes weights_;
  std::size_t weight_bytes_ = 0;
  std::size_t pixel_;        // bytes of a widened pixel,
  std::size_t reach_, row_;  // of a padded row that windows reach, and whole cache lines of it
  std::size_t block_;        // rows of outputs
};

std::unique_ptr<Kernel> image_kernel(const KernelRequest& request, const ImageDot* dot) {
  const auto weights = weights_of(request);
  if (!weights) return nullptr;
  const ConvShape s = conv_shape(request);
  constexpr std::size_t most_lanes = 16;
  const bool fits = s.in_c == channels && s.groups == 1 && s.stride_w == stride && s.dilation_h == 1 && s.dilation_w == 1 &&
                    s.out_c % most_lanes == 0 && s.pad_left >= 0 && s.out_w >= most_lanes;
  return fits && may_skip_padding(s, *weights) ? std::make_unique<ImageConv>(request, s, *weights, dot) : nullptr;
}

}  // namespace

std::unique_ptr<Kernel> image_conv(const KernelRequest& request) {
  return usable(request) ? image_kernel(request, nullptr) : nullptr;
}

// Of planes only: what stands channel by channel is gathered as other convolutions are.
std::unique_ptr<Kernel> image_bf16_conv(const KernelRequest& request) {
  const bool wanted = request.precision == plan::Precision::bf16 && image_dot() != nullptr && usable(request);
  return wanted && source_of(request).planes ? image_kernel(request, image_dot()) : nullptr;
}

}  // namespace tl::cpu
