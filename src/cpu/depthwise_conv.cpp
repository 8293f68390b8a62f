#include "cpu/depthwise_conv.hpp"

#include <algorithm>

namespace tl::cpu {

Depthwise::Depthwise(const KernelRequest& request, const ConvShape& shape, const Weights& weights)
    : op(&request.op),
      x(request.variable("x")),
      shape_(shape),
      storage_(*storage_of(request.view.dtype("x"))),
      activation_(activation_of(request)),
      kernel_(depthwise_kernel()) {
  const std::size_t taps = shape.kernel_h * shape.kernel_w;
  bytes_ = padded_depth(shape.in_c) * (1 + taps) * sizeof(float);
  weights_ = plan::allocate_aligned(bytes_);
  const std::vector<float> bias = bias_of(request);
  const Tensor wide = weights.values.cast(DType::f32);
  const auto values = wide.values<float>();
  auto* out = reinterpret_cast<float*>(weights_.get());
  for (std::size_t first = 0; first < shape.in_c; first += depth_block, out += (1 + taps) * depth_block) {
    for (std::size_t i = 0; i < depth_block; ++i) {
      const std::size_t c = first + i;
      out[i] = c < bias.size() ? bias[c] : 0.0F;
      for (std::size_t t = 0; t < taps; ++t) out[(1 + t) * depth_block + i] = c < shape.in_c ? values[c * taps + t] : 0.0F;
    }
  }
}

std::unique_ptr<Depthwise> Depthwise::make(const KernelRequest& request) {
  if (!usable(request)) return nullptr;
  const auto weights = weights_of(request);
  const ConvShape shape = conv_shape(request);
  if (!weights || shape.groups != shape.in_c || shape.groups != shape.out_c || shape.groups == 1 ||
      shape.kernel_h > depthwise_kernel_rows || !may_skip_padding(shape, *weights))
    return nullptr;
  return std::unique_ptr<Depthwise>(new Depthwise(request, shape, *weights));
}

std::unique_ptr<Depthwise> Depthwise::before(const KernelRequest& pointwise) {
  const ConvShape shape = conv_shape(pointwise);
  const ir::Op* op = pointwise.variable("x")->producer;
  if (!shape.pointwise() || shape.groups != 1 || op == nullptr || op->type != "tl.conv") return nullptr;
  const ir::Var* x = pointwise.read_before(op, "tl.conv", pointwise.op);
  if (x == nullptr || !keeps_its_value(*x) || op->argument("residual") != nullptr) return nullptr;
  return make({*op, ir::Infer(*op), pointwise.threads, pointwise.precision, pointwise.uses});
}

DepthwiseArgs Depthwise::pixels_from(const void* input) const noexcept {
  DepthwiseArgs a{};
  a.shape = &shape_;
  a.x = input;
  a.storage = storage_;
  a.weight = reinterpret_cast<const float*>(weights_.get());
  a.activation = activation_;
  return a;
}

void Depthwise::pack(const void* input, const BlockRows::Part& part, std::size_t channel, std::size_t channels,
                     float* tiles) const noexcept {
  DepthwiseArgs a = packed_from(input, part);
  a.channel = channel;
  a.channels = channels;
  a.tiles = tiles;
  run(a);
}

void Depthwise::pack_bf16(const void* input, const BlockRows::Part& part, std::uint32_t* tiles) const noexcept {
  DepthwiseArgs a = packed_from(input, part);
  a.channels = shape_.in_c;
  a.words = tiles;
  run(a);
}

DepthwiseArgs Depthwise::packed_from(const void* input, const BlockRows::Part& part) const noexcept {
  DepthwiseArgs a = pixels_from(input);
  a.first = part.first;
  a.last = part.first + part.rows.size();
  a.tile_rows = part.rows.data();
  return a;
}

namespace {

std::size_t tiles_of(std::size_t rows, std::size_t tile_rows) { return (rows + tile_rows - 1) / tile_rows; }

std::vector<TileRow> rows_of_tiles(std::size_t rows, std::size_t tile_rows) {
  const std::size_t tiles = tiles_of(rows, tile_rows);
  std::vector<TileRow> result;
  result.reserve(rows);
  for (std::size_t t = 0; t < tiles; ++t) {
    const TileRange range = tile_range(rows, tiles, t);
    for (std::size_t r = 0; r < range.count; ++r)
      result.push_back({static_cast<std::uint32_t>(range.first), static_cast<std::uint32_t>(r * depth_block),
                        static_cast<std::uint32_t>(range.count * depth_block)});
  }
  return result;
}

}  // namespace

BlockRows::BlockRows(std::size_t rows, std::size_t block_rows, std::size_t tile_rows)
    : rows_(rows),
      block_rows_(block_rows),
      tile_rows_(tile_rows),
      whole_(rows_of_tiles(block_rows, tile_rows)),
      last_(rows_of_tiles((rows - 1) % block_rows + 1, tile_rows)) {}

BlockRows::Part BlockRows::part(std::size_t block, std::size_t begin, std::size_t end) const noexcept {
  const std::size_t first = block * block_rows_;
  const std::span<const TileRow> rows = rows_ - first <= block_rows_ ? last_ : whole_;
  const std::size_t tiles = tiles_of(rows.size(), tile_rows_);
  const std::size_t from = tile_range(rows.size(), tiles, begin).first;
  return {first + from, rows.subspan(from, tile_range(rows.size(), tiles, end).first - from)};
}

namespace {

class DepthwiseConv final : public WeightKernel {
 public:
  DepthwiseConv(const KernelRequest& request, std::unique_ptr<Depthwise> depthwise)
      : WeightKernel(request, depthwise->shape()), depthwise_(std::move(depthwise)) {
    chunks_ = (shape_.in_c + depthwise_channels - 1) / depthwise_channels;
    // By rows first, as other kernels share images out.
    row_blocks_ = threads_ == 1 ? 1 : std::min(shape_.out_h, threads_ * std::max<std::size_t>(1, 4 / chunks_));
  }

  std::string_view name() const noexcept override { return "conv_depthwise"; }
  std::size_t packed_bytes() const noexcept override { return depthwise_->bytes(); }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(shape_.batch * chunks_ * row_blocks_, [&](std::size_t task, std::size_t) {
      const std::size_t image = task / chunks_ / row_blocks_;
      const std::size_t block = task / chunks_ % row_blocks_;
      DepthwiseArgs a = depthwise_->pixels_from(args.inputs[0]);
      a.first = (image * shape_.out_h + shape_.out_h * block / row_blocks_) * shape_.out_w;
      a.last = (image * shape_.out_h + shape_.out_h * (block + 1) / row_blocks_) * shape_.out_w;
      a.channel = task % chunks_ * depthwise_channels;
      a.channels = std::min(depthwise_channels, shape_.in_c - a.channel);
      a.y = args.outputs[0];
      a.residual = residual_of(args);
      depthwise_->run(a);
    });
    return {};
  }

 private:
  std::unique_ptr<Depthwise> depthwise_;
  std::size_t chunks_ = 0, row_blocks_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> depthwise_conv(const KernelRequest& request) {
  auto depthwise = Depthwise::make(request);
  return depthwise == nullptr ? nullptr : std::make_unique<DepthwiseConv>(request, std::move(depthwise));
}

}  // namespace tl::cpu
