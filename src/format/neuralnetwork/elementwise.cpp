#include <algorithm>
#include <functional>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

void unary(Layer& layer, std::string_view type) {
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) { return layer.e.op(type, {{"x", x}}); }));
}

Blob pair(Layer& layer, std::string_view type, const Blob& a, const Blob& b) {
  return layer.e.mapped(a, b, [&](const Blob& x, const Blob& y) { return layer.e.binary(type, x, y); });
}

Blob with(Layer& layer, std::string_view type, const Blob& a, float number) {
  return layer.e.mapped(a, [&](const Blob& x) { return layer.e.binary(type, x, Emitter::literal(number)); });
}

Blob folded(Layer& layer, std::string_view type) {
  Blob total = layer.x();
  for (std::size_t i = 1; i < layer.in.size(); ++i) total = pair(layer, type, total, layer.x(i));
  return total;
}

void fold(Layer& layer, std::string_view type, std::size_t most) {
  layer.x(1);
  if (most != 0 && layer.in.size() > most)
    fail(ErrorKind::bad_model, "{} inputs are given, expected {}", layer.in.size(), most);
  layer.put(folded(layer, type));
}

void compare(Layer& layer, std::string_view type, float alpha) {
  layer.put(layer.in.size() > 1 ? layer.e.binary(type, layer.x(0), layer.x(1)) : with(layer, type, layer.x(), alpha));
}

void logic(Layer& layer, std::string_view type) {
  layer.put(layer.e.binary(type, layer.e.to_bool(layer.x(0)), layer.e.to_bool(layer.x(1))));
}

}  // namespace

#define TL_UNARY(Params, type) \
  void translate(Layer& layer, const spec::Params&) { unary(layer, type); }
#define TL_FOLD(Params, type, most) \
  void translate(Layer& layer, const spec::Params&) { fold(layer, type, most); }
#define TL_COMPARE(Params, type) \
  void translate(Layer& layer, const spec::Params& params) { compare(layer, type, params.alpha()); }
#define TL_LOGIC(Params, type) \
  void translate(Layer& layer, const spec::Params&) { logic(layer, type); }
#include "format/neuralnetwork/elementwise.inc"

void translate(Layer& layer, const spec::LogicalNotLayerParams&) {
  layer.put(layer.e.op("logical_not", {{"x", layer.e.to_bool(layer.x())}}));
}

void translate(Layer& layer, const spec::AddLayerParams& params) {
  layer.put(layer.in.size() == 1 ? with(layer, "add", layer.x(), params.alpha()) : folded(layer, "add"));
}

void translate(Layer& layer, const spec::MultiplyLayerParams& params) {
  layer.put(layer.in.size() == 1 ? with(layer, "mul", layer.x(), params.alpha()) : folded(layer, "mul"));
}

void translate(Layer& layer, const spec::AverageLayerParams&) {
  layer.put(with(layer, "mul", folded(layer, "add"), 1.0F / static_cast<float>(layer.in.size())));
}

// The inner product over channel, height and width, or the cosine of the angle.
void translate(Layer& layer, const spec::DotProductLayerParams& params) {
  Emitter& e = layer.e;
  const auto sum = [&](const Blob& a, const Blob& b) {
    const Blob product = e.binary("mul", a, b);
    const std::int64_t rank = rank_of(product);
    std::vector<std::int64_t> axes;
    for (std::int64_t i = std::max<std::int64_t>(0, rank - 3); i < rank; ++i) axes.push_back(i);
    return e.op("reduce_sum", {{"x", product}, {"axes", axes}, {"keep_dims", true}});
  };
  const Blob dot = sum(layer.x(0), layer.x(1));
  if (!params.cosinesimilarity()) return layer.put(dot);
  const Blob squares = e.binary("mul", sum(layer.x(0), layer.x(0)), sum(layer.x(1), layer.x(1)));
  layer.put(e.binary("real_div", dot, e.op("sqrt", {{"x", squares}})));
}

void translate(Layer& layer, const spec::ClipLayerParams& params) {
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) {
    return layer.e.op("clip", {{"x", x}, {"alpha", params.minval()}, {"beta", params.maxval()}});
  }));
}

void translate(Layer& layer, const spec::UnaryFunctionLayerParams& params) {
  using Params = spec::UnaryFunctionLayerParams;
  Emitter& e = layer.e;
  layer.put(e.mapped(layer.x(), [&](const Blob& given) {
    Blob x = given;
    if (params.scale() != 0 && params.scale() != 1) x = e.binary("mul", x, Emitter::literal(params.scale()));
    if (params.shift() != 0) x = e.binary("add", x, Emitter::literal(params.shift()));
    switch (params.type()) {
      case Params::SQRT: return e.op("sqrt", {{"x", x}});
      case Params::RSQRT: return e.op("rsqrt", {{"x", x}, {"epsilon", params.epsilon()}});
      case Params::INVERSE: return e.op("inverse", {{"x", x}, {"epsilon", params.epsilon()}});
      case Params::POWER: return e.binary("pow", x, Emitter::literal(params.alpha()));
      case Params::EXP: return e.op("exp", {{"x", x}});
      case Params::LOG: return e.op("log", {{"x", x}, {"epsilon", params.epsilon()}});
      case Params::ABS: return e.op("abs", {{"x", x}});
      case Params::THRESHOLD: return e.op("threshold", {{"x", x}, {"alpha", params.alpha()}});
      default: fail(ErrorKind::unsupported, "function {} is not known", static_cast<int>(params.type()));
    }
  }));
}

// x / sqrt(1 + x^2) keeps small values exact, the logarithm large ones.
void translate(Layer& layer, const spec::AsinhLayerParams&) {
  Emitter& e = layer.e;
  const Blob& x = layer.x();
  const Blob one = Emitter::literal(1.0F);
  const Blob root = e.op("sqrt", {{"x", e.binary("add", e.op("square", {{"x", x}}), one)}});
  const Blob size = e.op("abs", {{"x", x}});
  const Blob large =
      e.binary("mul", e.op("sign", {{"x", x}}), e.op("log", {{"x", e.binary("add", size, root)}, {"epsilon", 0.0F}}));
  const Blob small = e.op("atanh", {{"x", e.binary("real_div", x, root)}});
  layer.put(e.op("select", {{"cond", e.binary("less", size, one)}, {"a", small}, {"b", large}}));
}

void translate(Layer& layer, const spec::AcoshLayerParams&) {
  Emitter& e = layer.e;
  const Blob& x = layer.x();
  const Blob one = Emitter::literal(1.0F);
  // sqrt((x - 1) (x + 1)) loses nothing near 1.
  const Blob root = e.op("sqrt", {{"x", e.binary("mul", e.binary("sub", x, one), e.binary("add", x, one))}});
  layer.put(e.op("log", {{"x", e.binary("add", x, root)}, {"epsilon", 0.0F}}));
}

}  // namespace tl::format::nn
