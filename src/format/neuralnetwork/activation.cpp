#include <algorithm>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

// A value per channel (axis -3), or one for all.
Tensor channel_factors(Layer& layer, const spec::WeightParams& params, const char* what) {
  std::int64_t count = stored_elements(params);
  if (count < 0) fail(ErrorKind::unsupported, "{} is quantized to less than 8 bits", what);
  return dense(layer, params, {count}, what);
}

// alpha * log(1 + exp(beta * x))
Blob parametric_softplus(Layer& layer, const Blob& x, Tensor alpha, Tensor beta) {
  Emitter& e = layer.e;
  if (alpha.size() == 1 && beta.size() == 1) {
    return e.mapped(x, [&](const Blob& low) {
      const Blob curve = e.op("softplus", {{"x", e.binary("mul", low, Emitter::literal(beta.values<float>()[0]))}});
      return e.binary("mul", curve, Emitter::literal(alpha.values<float>()[0]));
    });
  }
  for (Tensor* factor : {&alpha, &beta}) {
    if (factor->size() != 1) continue;
    Tensor all(DType::f32, {std::max(alpha.size(), beta.size())});
    for (float& value : all.mutable_values<float>()) value = factor->values<float>()[0];
    *factor = all;
  }
  const Args args{{"x", e.gathered(x, 3)}, {"alpha", Emitter::literal(alpha)}, {"beta", Emitter::literal(beta)}};
  return e.spread(e.op("softplus_parametric", args), x, 3);
}

}  // namespace

Blob activate(Layer& layer, const spec::ActivationParams& params, const Blob& x) {
  using Params = spec::ActivationParams;
  Emitter& e = layer.e;
  const auto plain = [&](std::string_view type, const Args& rest) {
    return e.mapped(x, [&](const Blob& low) {
      Args args{{"x", low}};
      args.insert(args.end(), rest.begin(), rest.end());
      return e.op(type, args);
    });
  };
  const auto scaled = [&](std::string_view type, const auto& p) {
    return plain(type, {{"alpha", p.alpha()}, {"beta", p.beta()}});
  };
  switch (params.NonlinearityType_case()) {
    case Params::kLinear: return scaled("linear_activation", params.linear());
    case Params::kReLU: return plain("relu", {});
    case Params::kLeakyReLU: return plain("leaky_relu", {{"alpha", params.leakyrelu().alpha()}});
    case Params::kThresholdedReLU: return plain("thresholded_relu", {{"alpha", params.thresholdedrelu().alpha()}});
    case Params::kPReLU: {
      const Tensor alpha = channel_factors(layer, params.prelu().alpha(), "alpha");
      if (alpha.size() == 1) return plain("leaky_relu", {{"alpha", alpha.values<float>()[0]}});
      return e.spread(e.op("prelu", {{"x", e.gathered(x, 3)}, {"alpha", Emitter::literal(alpha)}}), x, 3);
    }
    case Params::kTanh: return plain("tanh", {});
    case Params::kScaledTanh: return scaled("scaled_tanh", params.scaledtanh());
    case Params::kSigmoid: return plain("sigmoid", {});
    case Params::kSigmoidHard: return scaled("sigmoid_hard", params.sigmoidhard());
    case Params::kELU: return plain("elu", {{"alpha", params.elu().alpha()}});
    case Params::kSoftsign: return plain("softsign", {});
    case Params::kSoftplus: return plain("softplus", {});
    case Params::kParametricSoftplus:
      return parametric_softplus(layer, x, channel_factors(layer, params.parametricsoftplus().alpha(), "alpha"),
                                 channel_factors(layer, params.parametricsoftplus().beta(), "beta"));
    case Params::NONLINEARITYTYPE_NOT_SET: break;
  }
  fail(ErrorKind::bad_model, "the activation function is missing or unknown");
}

void translate(Layer& layer, const spec::ActivationParams& params) { layer.put(activate(layer, params, layer.x())); }

void translate(Layer& layer, const spec::ClampedReLULayerParams& params) {
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) {
    return layer.e.op("clamped_relu", {{"x", x}, {"alpha", params.alpha()}, {"beta", params.beta()}});
  }));
}

void translate(Layer& layer, const spec::GeluLayerParams& params) {
  const char* mode = params.mode() == spec::GeluLayerParams::EXACT                ? "EXACT"
                     : params.mode() == spec::GeluLayerParams::TANH_APPROXIMATION ? "TANH_APPROXIMATION"
                                                                                  : "SIGMOID_APPROXIMATION";
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) { return layer.e.op("gelu", {{"x", x}, {"mode", mode}}); }));
}

}  // namespace tl::format::nn
