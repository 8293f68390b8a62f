#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

// Where a generated tensor gets its shape from.
enum class Source { like, given, dynamic };

template <class Params>
Blob shape_from(Layer& layer, Source source, const Params& params) {
  switch (source) {
    case Source::like: return layer.e.shape(layer.x());
    case Source::dynamic: return layer.e.to_int(layer.x());
    case Source::given: break;
  }
  if constexpr (requires { params.outputshape(); }) {
    return Arg::int_list(list_of(params.outputshape()));
  } else if constexpr (requires { params.targetshape(); }) {
    return Arg::int_list(list_of(params.targetshape()));
  }
  fail(ErrorKind::internal, "no shape");
}

std::int64_t seed_of(std::int64_t seed) { return seed < INT32_MIN || seed > INT32_MAX ? (seed & INT32_MAX) : seed; }

template <class Params>
void fill(Layer& layer, Source source, const Params& params) {
  layer.put(layer.e.op("fill", {{"shape", shape_from(layer, source, params)}, {"value", params.value()}}));
}

template <class Params>
void normal(Layer& layer, Source source, const Params& params) {
  layer.put(layer.e.op("random_normal", {{"shape", shape_from(layer, source, params)},
                                         {"mean", params.mean()},
                                         {"stddev", params.stddev()},
                                         {"seed", seed_of(params.seed())}}));
}

template <class Params>
void uniform(Layer& layer, Source source, const Params& params) {
  layer.put(layer.e.op("random_uniform", {{"shape", shape_from(layer, source, params)},
                                          {"low", params.minval()},
                                          {"high", params.maxval()},
                                          {"seed", seed_of(params.seed())}}));
}

template <class Params>
void bernoulli(Layer& layer, Source source, const Params& params) {
  layer.put(
      layer.e.op("random_bernoulli",
                 {{"shape", shape_from(layer, source, params)}, {"prob", params.prob()}, {"seed", seed_of(params.seed())}}));
}

void range(Layer& layer, const Blob& start, const Blob& end, const Blob& step) {
  layer.put(layer.e.op("range_1d", {{"start", start}, {"end", end}, {"step", step}}));
}

}  // namespace

#define TL_GENERATED(Prefix, function)                                                                                    \
  void translate(Layer& layer, const spec::Prefix##LikeLayerParams& params) { function(layer, Source::like, params); }    \
  void translate(Layer& layer, const spec::Prefix##StaticLayerParams& params) { function(layer, Source::given, params); } \
  void translate(Layer& layer, const spec::Prefix##DynamicLayerParams& params) { function(layer, Source::dynamic, params); }
TL_GENERATED(Fill, fill)
TL_GENERATED(RandomNormal, normal)
TL_GENERATED(RandomUniform, uniform)
TL_GENERATED(RandomBernoulli, bernoulli)
#undef TL_GENERATED

void translate(Layer& layer, const spec::CategoricalDistributionLayerParams& params) {
  Emitter& e = layer.e;
  Blob x = layer.x();
  if (params.temperature() != 0 && params.temperature() != 1) {
    if (!params.islogits()) x = e.op("log", {{"x", x}, {"epsilon", params.eps()}});
    x = e.binary("mul", x, Emitter::literal(1 / params.temperature()));
    if (!params.islogits()) x = e.op("softmax", {{"x", x}, {"axis", -1}});
  }
  if (params.numsamples() < 1) fail(ErrorKind::bad_model, "numSamples is {}", params.numsamples());
  layer.put(e.op("random_categorical", {{"x", x},
                                        {"mode", params.islogits() ? "logits" : "probs"},
                                        {"size", params.numsamples()},
                                        {"seed", seed_of(params.seed())}}));
}

void translate(Layer& layer, const spec::RangeStaticLayerParams& params) {
  range(layer, Emitter::literal(params.startvalue()), Emitter::literal(params.endvalue()),
        Emitter::literal(params.stepsizevalue()));
}

// Inputs: end, then start and step as far as they are not parameters.
void translate(Layer& layer, const spec::RangeDynamicLayerParams& params) {
  Emitter& e = layer.e;
  const Blob start = layer.in.size() > 1 ? e.scalar(layer.x(1)) : Emitter::literal(params.startvalue());
  const Blob step = layer.in.size() > 2 ? e.scalar(layer.x(2)) : Emitter::literal(params.stepsizevalue());
  range(layer, start, e.scalar(layer.x()), step);
}

}  // namespace tl::format::nn
