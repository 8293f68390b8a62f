#include <algorithm>

#include "cpu/compressed.hpp"
#include "cpu/conv_dot.hpp"

namespace tl::cpu {
namespace {

Requantized levels_told(const KernelRequest& request, const std::string& prefix) {
  Requantized levels;
  levels.used = request.op.argument(prefix + "_scale") != nullptr;
  if (!levels.used) return levels;
  levels.is_signed = request.view.text(prefix + "_dtype") == "int8";
  levels.scale = static_cast<float>(request.view.number(prefix + "_scale"));
  levels.zero = static_cast<float>(request.view.number(prefix + "_zero_point"));
  return levels;
}

// dequantize(levels) convolved with dequantized weights: the products of the levels are exact, the scales come last.
class Int8Conv final : public DotConv {
 public:
  Int8Conv(const KernelRequest& request, const ConvShape& shape, const LevelInput& x, const LevelWeights& weights)
      : DotConv(request, shape, int8_kernels(), bias_of(request)),
        storage_(*storage_of(request.view.dtype("x"))),
        flip_(x.is_signed ? 0x80 : 0),
        zero_(static_cast<std::uint8_t>(x.zero + (x.is_signed ? 128 : 0))),
        levels_(weights.levels.values<std::int8_t>().data()) {
    inputs[0] = x.levels;
    middle_ = levels_told(request, "mid");
    requantized_ = levels_told(request, "y");
    const std::size_t depth = shape_.depth();
    for (std::size_t n = 0; n < shape_.out_c; ++n) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < depth; ++k) sum += levels_[n * depth + k];
      start_.push_back(-sum * zero_);
      scale_.push_back(x.scale * weights.scale[n]);
    }
    pack_weights();
    levels_ = nullptr;
  }

 private:
  void read_rows(std::size_t group, std::size_t first, std::size_t valid, std::uint32_t* rows) const override {
    const std::size_t depth = shape_.depth();
    const std::size_t taps = shape_.kernel_h * shape_.kernel_w;
    const std::size_t channels = shape_.in_c / shape_.groups;
    for (std::size_t n = 0; n < valid; ++n) {
      const std::int8_t* from = levels_ + (group * columns() + first + n) * depth;
      auto* row = reinterpret_cast<std::int8_t*>(rows + n * words());
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t t = 0; t < taps; ++t) row[t * channels + c] = from[c * taps + t];
    }
  }
  void complete(DotBlock& block, std::size_t group) const noexcept override {
    block.c_storage = storage_;
    block.start = start_.data() + group * columns();
    block.scale = scale_.data() + group * columns();
    block.middle = middle_;
    block.requantized = requantized_;
  }
  void complete(DotPack& pack) const noexcept override {
    pack.flip = flip_;
    pack.zero = zero_;
  }
  std::size_t out_bytes() const noexcept override { return requantized_.used ? 1 : size_of(storage_); }

  Storage storage_;
  Requantized middle_, requantized_;
  std::uint8_t flip_, zero_;
  const std::int8_t* levels_;
  std::vector<std::int32_t> start_;
  std::vector<float> scale_;
};

constexpr std::size_t most_depth = std::size_t{1} << 15;  // of sums that cannot leave 31 bits, zero point included

std::unique_ptr<Kernel> make(const KernelRequest& request, const ConvShape& shape) {
  const auto x = level_input(request.variable("x"));
  if (!x || shape.depth() > most_depth) return nullptr;
  const auto weights = level_weights(request);
  return weights ? std::make_unique<Int8Conv>(request, shape, *x, *weights) : nullptr;
}

}  // namespace

std::unique_ptr<Kernel> int8_conv(const KernelRequest& request) {
  if (!usable(request)) return nullptr;
  const ConvShape shape = conv_shape(request);
  return shape.groups == shape.in_c && shape.groups > 1 ? nullptr : make(request, shape);
}

std::unique_ptr<Kernel> int8_linear(const KernelRequest& request) {
  return usable(request) ? make(request, linear_shape(request)) : nullptr;
}

}  // namespace tl::cpu
