#include <algorithm>

#include "cpu/compressed.hpp"
#include "cpu/conv.hpp"
#include "cpu/gemv.hpp"
#include "cpu/whole_nibbles.hpp"

namespace tl::cpu {
namespace {

// A linear op of one row, or a pointwise convolution of one pixel. It is bound by reading the weights, which stay where they
// are and as they are.
class LinearRow final : public WeightKernel {
 public:
  LinearRow(const KernelRequest& request, const ConvShape& shape)
      : WeightKernel(request, shape), gemm_(gemm_kernels()), gemv_(gemv_kernels()), bias_(bias_of(request)) {
    block_.stride = block_.depth = shape_.in_c;
    block_.bias = bias_.empty() ? nullptr : bias_.data();
    block_.y_storage = storage_;
    block_.activation = activation_;
  }

  // False when the weights stand in a form that is not read.
  bool take(const KernelRequest& request) {
    if (auto levels = level_weights(request)) {
      block_.form = RowForm::bytes;
      weights_ = levels->levels;
      scale_ = std::move(levels->scale);
      block_.scale = scale_.data();
    } else if (auto nibbles = nibble_weights(request)) {
      block_.form = RowForm::nibbles;
      weights_ = nibbles->nibbles;
      block_scale_ = nibbles->scale;
      // The parts of x have room for the 11 bits of float16.
      if (storage_ == Storage::f16) whole_ = WholeNibbles::make(*nibbles, shape_.in_c);
      table_ = std::move(nibbles->table);
      if (block_scale_.defined()) {
        block_.scale = block_scale_.data();
        block_.scale_storage = *storage_of(block_scale_.dtype());
      }
      block_.scale_rows = nibbles->scale_rows;
      block_.blocks = nibbles->blocks;
      block_.table_rows = nibbles->table_rows;
      block_.table = table_.data();
    } else if (constexpr_of(request, "weight") != nullptr && storage_ == Storage::f16) {
      return false;  // unpacked where they are multiplied, by the product of many rows
    } else if (const auto floats = weights_of(request)) {
      weights_ = floats->values;
      block_.w_storage = floats->storage;
    } else {
      return false;
    }
    block_.w = weights_.data();
    row_bytes_ = weights_.bytes() / shape_.out_c;
    shares_ = weights_.bytes() < least_bytes ? 1 : std::min(threads_, shape_.out_c);
    pieces_ = shares_ == 1 ? 1 : std::clamp<std::size_t>(weights_.bytes() / shares_ / piece_bytes, 1, most_pieces);
    return true;
  }

  std::string_view name() const noexcept override {
    return block_.form == RowForm::floats ? "gemv" : block_.form == RowForm::bytes ? "gemv_int8" : "gemv_4bit";
  }
  plan::Workspace workspace() const noexcept override { return {0, worker_bytes()}; }
  std::size_t packed_bytes() const noexcept override {
    return (bias_.size() + scale_.size() + table_.size()) * sizeof(float) + (whole_ ? whole_->bytes() : 0);
  }

  // Each thread converts x for itself: that takes less than fetching it from where another one wrote it. Its share of the rows
  // goes out piece by piece, so that another thread may take some: a piece continues all four runs of the one before.
  Status run(const KernelArgs& args) const noexcept override {
    for (std::size_t worker = 0; worker < threads_; ++worker) read(args, worker) = Read::nothing;
    args.pool->parallel(shares_ * pieces_, [&](std::size_t task, std::size_t worker) {
      auto* x = reinterpret_cast<float*>(&read(args, worker)) + cache_line / sizeof(float);
      std::byte* other = reinterpret_cast<std::byte*>(x) + rounded(shape_.in_c * sizeof(float));
      NibbleRows nibbles{};
      if (whole_) nibbles = whole_->rows();
      if (read(args, worker) == Read::nothing) read(args, worker) = convert(args.inputs[0], nibbles, x, other);
      nibbles.x = other;
      GemvBlock part = block_;
      part.x = read(args, worker) == Read::ordered ? reinterpret_cast<const float*>(other) : x;
      if (read(args, worker) == Read::whole) part.nibbles = &nibbles;
      part.residual = residual_of(args);
      part.y = args.outputs[0];
      multiply(part, task / pieces_, task % pieces_);
    });
    return {};
  }

 private:
  // How a thread holds x.
  enum class Read : std::uint32_t { nothing, floats, ordered, whole };

  void multiply(GemvBlock& part, std::size_t share, std::size_t piece) const noexcept {
    const std::size_t first = shape_.out_c * share / shares_;
    const std::size_t last = shape_.out_c * (share + 1) / shares_;
    part.apart = four_runs(last - first, row_bytes_);
    part.first = first + part.apart * piece / pieces_;
    part.last = first + part.apart * (piece + 1) / pieces_;
    gemv_.gemv(part);
    if (piece + 1 < pieces_) return;
    part.first = first + 4 * part.apart;
    part.last = last;
    gemv_rows(gemv_, part);
  }

  std::size_t worker_bytes() const noexcept {
    return cache_line + rounded(shape_.in_c * sizeof(float)) + part_bytes(shape_.in_c);
  }
  Read& read(const KernelArgs& args, std::size_t worker) const noexcept { return *reinterpret_cast<Read*>(args.own(worker)); }
  Read convert(const std::byte* source, const NibbleRows& nibbles, float* x, std::byte* other) const noexcept {
    gemm_.convert(source, storage_, x, shape_.in_c);
    if (block_.form != RowForm::nibbles) return Read::floats;
    if (whole_ && nibble_kernels()->split(nibbles, x, other)) return Read::whole;
    auto* ordered = reinterpret_cast<float*>(other);
    for (std::size_t k = 0; k < shape_.in_c; k += nibble_group)
      for (std::size_t i = 0; i < nibble_group; ++i) ordered[k + i] = x[k + nibble_order(i)];
    return Read::ordered;
  }

  static constexpr std::size_t least_bytes = std::size_t{64} << 10;  // that are worth a second thread
  static constexpr std::size_t piece_bytes = std::size_t{1} << 20;
  static constexpr std::size_t most_pieces = 4;

  const GemmKernels& gemm_;
  const GemvKernels& gemv_;
  Tensor weights_;
  std::vector<float> bias_, scale_, table_;
  Tensor block_scale_;  // of nibbles
  std::optional<WholeNibbles> whole_;
  GemvBlock block_{};
  std::size_t row_bytes_ = 1, shares_ = 1, pieces_ = 1;
};

std::unique_ptr<Kernel> row_of(const KernelRequest& request, const ConvShape& shape) {
  if (shape.rows() != 1 || request.op.argument("y_scale") != nullptr || request.op.argument("mid_scale") != nullptr)
    return nullptr;
  auto kernel = std::make_unique<LinearRow>(request, shape);
  return kernel->take(request) ? std::move(kernel) : nullptr;
}

}  // namespace

std::unique_ptr<Kernel> linear_row(const KernelRequest& request) {
  return usable(request) && scale_of(request).empty() ? row_of(request, linear_shape(request)) : nullptr;
}

std::unique_ptr<Kernel> pixel_conv(const KernelRequest& request) {
  if (!usable(request)) return nullptr;
  const ConvShape shape = conv_shape(request);
  return shape.pointwise() && shape.groups == 1 ? row_of(request, shape) : nullptr;
}

}  // namespace tl::cpu
