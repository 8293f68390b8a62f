#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

// An affine parameter as a tensor that broadcasts against (..., channel, height, width).
Blob factor(Layer& layer, const spec::WeightParams& params, const google::protobuf::RepeatedField<std::uint64_t>& given,
            const char* suffix) {
  Shape shape = list_of(given);
  if (shape.size() == 1 && shape[0] != 1) shape = {shape[0], 1, 1};
  return layer.weight(params, shape, suffix);
}

}  // namespace

void translate(Layer& layer, const spec::BatchnormLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t channels = layer.count(params.channels(), "channels");
  const Blob gamma = layer.weight(params.gamma(), {channels}, "gamma");
  const Blob beta = layer.weight(params.beta(), {channels}, "beta");
  const float epsilon = params.epsilon();
  const Blob x = e.gathered(layer.x(), 3);
  Blob y;
  if (params.instancenormalization()) {
    y = e.op("instance_norm", {{"x", x}, {"gamma", gamma}, {"beta", beta}, {"epsilon", epsilon}});
  } else if (params.computemeanvar()) {
    const Ints axes{0, 2, 3};
    const Blob mean = e.op("reduce_mean", {{"x", x}, {"axes", axes}, {"keep_dims", true}});
    const Blob centred = e.binary("sub", x, mean);
    const Blob variance = e.op("reduce_mean", {{"x", e.op("square", {{"x", centred}})}, {"axes", axes}, {"keep_dims", true}});
    const Ints none;
    y = e.op("batch_norm", {{"x", x},
                            {"mean", e.reshape(mean, Ints{channels})},
                            {"variance", e.reshape(variance, Ints{channels})},
                            {"gamma", gamma},
                            {"beta", beta},
                            {"epsilon", epsilon}});
  } else {
    y = e.op("batch_norm", {{"x", x},
                            {"mean", layer.weight(params.mean(), {channels}, "mean")},
                            {"variance", layer.weight(params.variance(), {channels}, "variance")},
                            {"gamma", gamma},
                            {"beta", beta},
                            {"epsilon", epsilon}});
  }
  layer.put(e.spread(y, layer.x(), 3));
}

void translate(Layer& layer, const spec::MeanVarianceNormalizeLayerParams& params) {
  Emitter& e = layer.e;
  layer.put(e.mapped(layer.x(), [&](const Blob& x) {
    const std::int64_t rank = rank_of(x);
    const std::int64_t count = params.acrosschannels() ? 3 : 2;
    if (rank < count) fail(ErrorKind::bad_model, "rank {}, at least {} is expected", rank, count);
    Ints axes;
    for (std::int64_t i = rank - count; i < rank; ++i) axes.push_back(i);
    if (params.normalizevariance()) return e.op("layer_norm", {{"x", x}, {"axes", axes}, {"epsilon", params.epsilon()}});
    return e.binary("sub", x, e.op("reduce_mean", {{"x", x}, {"axes", axes}, {"keep_dims", true}}));
  }));
}

void translate(Layer& layer, const spec::L2NormalizeLayerParams& params) {
  const Blob x = layer.e.gathered(layer.x(), 3);
  layer.put(layer.e.spread(layer.e.op("l2_norm", {{"x", x}, {"epsilon", params.epsilon()}}), layer.x(), 3));
}

void translate(Layer& layer, const spec::LRNLayerParams& params) {
  const Blob x = layer.e.gathered(layer.x(), 3);
  const Blob y = layer.e.op("local_response_norm", {{"x", x},
                                                    {"size", layer.count(params.localsize(), "localSize")},
                                                    {"alpha", params.alpha()},
                                                    {"beta", params.beta()},
                                                    {"k", params.k()}});
  layer.put(layer.e.spread(y, layer.x(), 3));
}

void translate(Layer& layer, const spec::LayerNormalizationLayerParams& params) {
  const Shape shape = list_of(params.normalizedshape());
  const std::int64_t rank = rank_of(layer.x());
  if (shape.empty() || iz(shape.size()) > rank)
    fail(ErrorKind::bad_model, "normalizedShape {} for rank {}", to_string(shape), rank);
  Ints axes;
  for (std::int64_t i = rank - iz(shape.size()); i < rank; ++i) axes.push_back(i);
  layer.put(layer.e.op("layer_norm", {{"x", layer.x()},
                                      {"axes", axes},
                                      {"gamma", layer.weight(params.gamma(), shape, "gamma")},
                                      {"beta", layer.weight(params.beta(), shape, "beta")},
                                      {"epsilon", params.eps()}}));
}

void translate(Layer& layer, const spec::SoftmaxLayerParams&) {
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) {
    return layer.e.op("softmax", {{"x", x}, {"axis", -std::min<std::int64_t>(3, rank_of(x))}});
  }));
}

void translate(Layer& layer, const spec::SoftmaxNDLayerParams& params) {
  layer.put(layer.e.op("softmax", {{"x", layer.x()}, {"axis", params.axis()}}));
}

void translate(Layer& layer, const spec::ScaleLayerParams& params) {
  const Blob scale = factor(layer, params.scale(), params.shapescale(), "scale");
  const std::optional<Blob> bias =
      params.hasbias() ? std::optional<Blob>(factor(layer, params.bias(), params.shapebias(), "bias")) : std::nullopt;
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) {
    const Blob scaled = layer.e.binary("mul", x, scale);
    return bias ? layer.e.binary("add", scaled, *bias) : scaled;
  }));
}

void translate(Layer& layer, const spec::BiasLayerParams& params) {
  const Blob bias = factor(layer, params.bias(), params.shape(), "bias");
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) { return layer.e.binary("add", x, bias); }));
}

}  // namespace tl::format::nn
