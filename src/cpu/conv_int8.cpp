#include <algorithm>

#include "cpu/compressed.hpp"
#include "cpu/conv_dot.hpp"
#include "cpu/depthwise.hpp"
#include "cpu/depthwise_int8.hpp"

namespace tl::cpu {
namespace {

// What a product of levels is worth, per row of the weights.
std::vector<float> products(const LevelInput& x, const LevelWeights& weights) {
  std::vector<float> scale = weights.scale;
  for (float& s : scale) s *= x.scale;
  return scale;
}

// dequantize(levels) convolved with dequantized weights: the products of the levels are exact, the scales come last.
class Int8Conv final : public DotConv {
 public:
  Int8Conv(const KernelRequest& request, const ConvShape& shape, const LevelInput& x, const LevelWeights& weights)
      : DotConv(request, shape, int8_kernels()),
        flip_(x.is_signed ? 0x80 : 0),
        zero_(static_cast<std::uint8_t>(x.zero + (x.is_signed ? 128 : 0))),
        levels_(weights.levels.values<std::int8_t>().data()),
        epilogue_(request, products(x, weights), bias_of(request)) {
    inputs[0] = x.levels;
    const std::size_t depth = shape_.depth();
    for (std::size_t n = 0; n < shape_.out_c; ++n) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < depth; ++k) sum += levels_[n * depth + k];
      start_.push_back(-sum * zero_);
    }
    start_.resize(shape_.out_c + dot_panel, 0);
    pack_weights();
    levels_ = nullptr;
  }
  bool can_share(std::size_t input) const noexcept override { return input == 1 && epilogue_.in_place(); }
  std::size_t packed_bytes() const noexcept override { return DotConv::packed_bytes() + epilogue_.bytes(); }

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
  void complete(DotBlock& block, const KernelArgs& args, std::size_t group, std::size_t offset) const noexcept override {
    block.start = start_.data() + group * columns();
    block.finish = &epilogue_.finish();
    block.level_row = epilogue_.row(args, offset, group * columns());
  }
  void complete(DotPack& pack) const noexcept override {
    pack.flip = flip_;
    pack.zero = zero_;
  }

  std::uint8_t flip_, zero_;
  const std::int8_t* levels_;
  LevelEpilogue epilogue_;
  std::vector<std::int32_t> start_;
};

// The same with one channel a group.
class Int8Depthwise final : public Kernel {
 public:
  Int8Depthwise(const KernelRequest& request, const ConvShape& shape, const LevelInput& x, const LevelWeights& weights)
      : shape_(shape),
        kernels_(depthwise_level_kernels()),
        flip_(x.is_signed ? 0x80 : 0),
        zero_(static_cast<std::uint8_t>(x.zero + (x.is_signed ? 128 : 0))),
        epilogue_(request, products(x, weights), bias_of(request)) {
    inputs.push_back(x.levels);
    if (const ir::Var* residual = request.variable("residual")) inputs.push_back(residual);
    chunks_ = (shape_.in_c + level_channels - 1) / level_channels;
    const std::size_t quads = (shape_.kernel_h + level_quad - 1) / level_quad;
    chunk_bytes_ = shape_.kernel_w * quads * level_channels * level_quad;
    weights_.resize(chunks_ * chunk_bytes_, 0);
    start_.resize(chunks_ * level_channels, 0);
    scale_.resize(chunks_ * level_channels, 0);
    bias_.resize(chunks_ * level_channels, 0);
    const LevelRow row = epilogue_.columns(0);
    const auto levels = weights.levels.values<std::int8_t>();
    for (std::size_t c = 0; c < shape_.in_c; ++c) {
      const std::size_t chunk = c / level_channels;
      const std::size_t slot = level_slot(c % level_channels);
      const bool half = shape_.in_c - chunk * level_channels <= level_channels / 2;
      for (const std::size_t twin : {slot, half ? level_slot(c % level_channels + level_channels / 2) : slot}) {
        scale_[chunk * level_channels + twin] = row.scale[c];
        bias_[chunk * level_channels + twin] = row.bias[c];
      }
      for (std::size_t ky = 0; ky < shape_.kernel_h; ++ky) {
        for (std::size_t kx = 0; kx < shape_.kernel_w; ++kx) {
          const std::int8_t w = levels[(c * shape_.kernel_h + ky) * shape_.kernel_w + kx];
          const std::size_t word = (kx * quads + ky / level_quad) * level_channels + slot;
          weights_[chunk * chunk_bytes_ + word * level_quad + ky % level_quad] = w;
          start_[chunk * level_channels + slot] -= w * zero_;
        }
      }
    }
    // By rows first, as other kernels share images out.
    row_blocks_ = request.threads == 1 ? 1 : std::min(shape_.out_h, request.threads * std::max<std::size_t>(1, 4 / chunks_));
  }

  std::string_view name() const noexcept override { return kernels_.name; }
  std::size_t packed_bytes() const noexcept override {
    return weights_.size() + (start_.size() + scale_.size() + bias_.size()) * sizeof(float) + epilogue_.bytes();
  }
  bool can_share(std::size_t input) const noexcept override { return input == 1 && epilogue_.in_place(); }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(shape_.batch * row_blocks_ * chunks_, [&](std::size_t task, std::size_t) {
      const std::size_t chunk = task % chunks_;
      const std::size_t block = task / chunks_ % row_blocks_;
      const std::size_t image = task / chunks_ / row_blocks_;
      const std::size_t channel = chunk * level_channels;
      DepthwiseLevels a{};
      a.shape = &shape_;
      a.x = reinterpret_cast<const std::uint8_t*>(args.inputs[0]) + image * shape_.in_h * shape_.in_w * shape_.in_c + channel;
      a.flip = flip_;
      a.zero = zero_;
      a.channels = std::min(level_channels, shape_.in_c - channel);
      a.weights = weights_.data() + chunk * chunk_bytes_;
      a.start = start_.data() + channel;
      a.scale = scale_.data() + channel;
      a.bias = bias_.data() + channel;
      a.finish = &epilogue_.finish();
      a.row = epilogue_.row(args, image * shape_.out_h * shape_.out_w * shape_.out_c, channel);
      a.row_begin = shape_.out_h * block / row_blocks_;
      a.row_end = shape_.out_h * (block + 1) / row_blocks_;
      kernels_.rows(a);
    });
    return {};
  }

 private:
  ConvShape shape_;
  const DepthwiseLevelKernels& kernels_;
  std::uint8_t flip_, zero_;
  LevelEpilogue epilogue_;
  std::vector<std::int8_t> weights_;
  std::vector<std::int32_t> start_;
  std::vector<float> scale_, bias_;
  std::size_t chunks_ = 0, chunk_bytes_ = 0, row_blocks_ = 1;
};

constexpr std::size_t most_depth = std::size_t{1} << 15;  // of sums that cannot leave 31 bits, zero point included

template <class K>
std::unique_ptr<Kernel> make(const KernelRequest& request, const ConvShape& shape) {
  const auto x = level_input(request.variable("x"));
  if (!x || shape.depth() > most_depth) return nullptr;
  const auto weights = level_weights(request);
  return weights ? std::make_unique<K>(request, shape, *x, *weights) : nullptr;
}

}  // namespace

std::unique_ptr<Kernel> int8_conv(const KernelRequest& request) {
  if (!usable(request)) return nullptr;
  const ConvShape shape = conv_shape(request);
  const bool depthwise = shape.groups == shape.in_c && shape.groups == shape.out_c && shape.groups > 1;
  return depthwise && shape.kernel_h <= depthwise_kernel_rows ? make<Int8Depthwise>(request, shape)
                                                              : make<Int8Conv>(request, shape);
}

std::unique_ptr<Kernel> int8_linear(const KernelRequest& request) {
  if (!usable(request) || !scale_of(request).empty()) return nullptr;
  return make<Int8Conv>(request, linear_shape(request));
}

}  // namespace tl::cpu
