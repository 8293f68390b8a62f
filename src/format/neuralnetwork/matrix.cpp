#include <numeric>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

// The axis that holds the vectors: the last one, but the channels of ranks 4 and 5, whose other inner axes have extent 1.
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
  for (std::size_t i = 2; i < 4; ++i) {
    if (dims[i].known() && dims[i].extent() != 1)
      fail(ErrorKind::bad_model, "an input of shape {}, height and width must be 1", to_string(dims_of(layer.x())));
  }
  layer.put(e.spread(e.expand(linear(e.squeeze(images, {2, 3})), {2, 3}), layer.x(), 3));
}

// Two inputs with NumPy's broadcasting, or one and a weight of (columns, rows).
void translate(Layer& layer, const spec::BatchedMatMulLayerParams& params) {
  Emitter& e = layer.e;
  if (layer.in.size() > 1) {
    return layer.put(e.op(
        "matmul",
        {{"x", layer.x(0)}, {"y", layer.x(1)}, {"transpose_x", params.transposea()}, {"transpose_y", params.transposeb()}}));
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
