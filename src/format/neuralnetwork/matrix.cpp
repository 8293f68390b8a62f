#include <numeric>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

// The vectors lie along the last axis; from rank 4 on they are (channel, height, width) as one.
bool is_channel_vector(const Blob& x) { return rank_of(x) >= 4; }

}  // namespace

void translate(Layer& layer, const spec::InnerProductLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t in = layer.count(params.inputchannels(), "inputChannels");
  const std::int64_t out = layer.count(params.outputchannels(), "outputChannels");
  const Blob weight = layer.weight(params.weights(), {out, in}, "weights");
  const std::optional<Blob> bias = layer.maybe(params.hasbias(), params.bias(), {out}, "bias");
  const auto linear = [&](const Blob& x) { return e.op("linear", {{"x", x}, {"weight", weight}, {"bias", bias}}); };
  if (!is_channel_vector(layer.x())) return layer.put(linear(layer.x()));
  const Blob images = e.gathered(layer.x(), 3);
  const ir::Dims dims = dims_of(images);
  const bool vectors = dims[2] == ir::Dim(1) && dims[3] == ir::Dim(1);
  const Blob rows = vectors ? e.squeeze(images, {2, 3}) : e.reshape(images, Ints{-1, in});
  layer.put(e.spread(e.expand(linear(rows), {2, 3}), layer.x(), 3));
}

// Two inputs with NumPy's broadcasting, or one and a weight of (columns, rows).
void translate(Layer& layer, const spec::BatchedMatMulLayerParams& params) {
  Emitter& e = layer.e;
  if (layer.in.size() > 1) {
    // Vectors are a row on the left and a column on the right, and stay so in the result.
    const Blob x = rank_of(layer.x(0)) == 1 ? e.expand(layer.x(0), {0}) : layer.x(0);
    const Blob y = rank_of(layer.x(1)) == 1 ? e.expand(layer.x(1), {1}) : layer.x(1);
    return layer.put(
        e.op("matmul", {{"x", x}, {"y", y}, {"transpose_x", params.transposea()}, {"transpose_y", params.transposeb()}}));
  }
  const std::int64_t rows = layer.count(params.weightmatrixfirstdimension(), "weightMatrixFirstDimension");
  const std::int64_t columns = layer.count(params.weightmatrixseconddimension(), "weightMatrixSecondDimension");
  const Blob weight = layer.weight(params.weights(), {columns, rows}, "weights");
  const std::optional<Blob> bias = layer.maybe(params.hasbias(), params.bias(), {columns}, "bias");
  layer.put(e.op("linear", {{"x", layer.x()}, {"weight", weight}, {"bias", bias}}));
}

namespace {

// The columns of a (size, vocabulary) weight that indices name, with the size as the last axis.
Blob looked_up(Layer& layer, const Blob& indices, const Blob& weight, const std::optional<Blob>& bias) {
  Emitter& e = layer.e;
  const std::int64_t rank = rank_of(indices);
  const Blob columns = e.op("gather", {{"x", weight}, {"indices", e.to_int(indices)}, {"axis", 1}});
  Ints perm(uz(rank) + 1);
  std::iota(perm.begin(), perm.end() - 1, 1);
  perm.back() = 0;
  const Blob rows = e.transpose(columns, perm);
  return bias ? e.binary("add", rows, *bias) : rows;
}

}  // namespace

void translate(Layer& layer, const spec::EmbeddingNDLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t words = layer.count(params.vocabsize(), "vocabSize");
  const std::int64_t size = layer.count(params.embeddingsize(), "embeddingSize");
  const Blob weight = layer.weight(params.weights(), {size, words}, "weights");
  const std::optional<Blob> bias = layer.maybe(params.hasbias(), params.bias(), {size}, "bias");
  layer.put(looked_up(layer, e.squeeze(layer.x(), {-1}), weight, bias));
}

// Indices of (..., 1, 1, 1) give (..., channel, 1, 1).
void translate(Layer& layer, const spec::EmbeddingLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t words = layer.count(params.inputdim(), "inputDim");
  const std::int64_t size = layer.count(params.outputchannels(), "outputChannels");
  const Blob weight = layer.weight(params.weights(), {size, words}, "weights");
  const std::optional<Blob> bias = layer.maybe(params.hasbias(), params.bias(), {size}, "bias");
  const Blob images = e.gathered(layer.x(), 3);
  const Blob rows = looked_up(layer, e.squeeze(images, {1, 2, 3}), weight, bias);
  layer.put(e.spread(e.expand(rows, {2, 3}), layer.x(), 3));
}

}  // namespace tl::format::nn
