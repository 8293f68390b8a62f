#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

// A scalar argument: the input at `i` when there is one, which must be known.
double constant_or(Layer& layer, std::size_t i, double fallback) {
  if (layer.in.size() <= i) return fallback;
  const Tensor value = known(layer.x(i));
  if (!value.defined() || value.size() != 1) fail(ErrorKind::unsupported, "input {} depends on data", i);
  return value.number_at(0);
}

}  // namespace

void translate(Layer& layer, const spec::TopKLayerParams& params) {
  Emitter& e = layer.e;
  const Blob k = layer.in.size() > 1 ? e.scalar(e.to_int(layer.x(1)))
                                     : Emitter::literal(Tensor::scalar(checked_cast<std::int32_t>(params.k(), "K")));
  layer.out = e.ops("topk", {{"x", layer.x()}, {"k", k}, {"axis", params.axis()}, {"ascending", params.usebottomk()}});
}

void translate(Layer& layer, const spec::ArgSortLayerParams& params) {
  layer.put(layer.e.op("argsort", {{"x", layer.x()}, {"axis", params.axis()}, {"ascending", !params.descending()}}));
}

void translate(Layer& layer, const spec::NonMaximumSuppressionLayerParams& params) {
  const double most = constant_or(layer, 4, static_cast<double>(params.maxboxes()));
  if (!(most >= 0 && most < 1 << 24)) fail(ErrorKind::bad_model, "maxBoxes is {}", most);
  layer.out =
      layer.e.ops("non_maximum_suppression",
                  {{"boxes", layer.x(0)},
                   {"scores", layer.x(1)},
                   {"iou_threshold", static_cast<float>(constant_or(layer, 2, static_cast<double>(params.iouthreshold())))},
                   {"score_threshold", static_cast<float>(constant_or(layer, 3, static_cast<double>(params.scorethreshold())))},
                   {"max_boxes", static_cast<std::int64_t>(most)},
                   {"per_class_suppression", params.perclasssuppression()}});
}

void translate(Layer& layer, const spec::WhereNonZeroLayerParams&) { layer.put(layer.e.op("non_zero", {{"x", layer.x()}})); }

void translate(Layer& layer, const spec::WhereBroadcastableLayerParams&) {
  layer.put(layer.e.op("select", {{"cond", layer.e.to_bool(layer.x(0))}, {"a", layer.x(1)}, {"b", layer.x(2)}}));
}

void translate(Layer& layer, const spec::MatrixBandPartLayerParams& params) {
  layer.put(layer.e.op("band_part", {{"x", layer.x()}, {"lower", params.numlower()}, {"upper", params.numupper()}}));
}

namespace {

// x inside (or outside) a band, 0 elsewhere; infinities outside do not leak.
void triangle(Layer& layer, std::int64_t lower, std::int64_t upper, bool inside) {
  Emitter& e = layer.e;
  if (inside) return layer.put(e.op("band_part", {{"x", layer.x()}, {"lower", lower}, {"upper", upper}}));
  const Blob ones = e.op("fill_like", {{"ref_tensor", layer.x()}, {"value", 1.0F}});
  const Blob band = e.to_bool(e.op("band_part", {{"x", ones}, {"lower", lower}, {"upper", upper}}));
  layer.put(e.op("select", {{"cond", band}, {"a", Emitter::literal(0.0F)}, {"b", layer.x()}}));
}

}  // namespace

void translate(Layer& layer, const spec::UpperTriangularLayerParams& params) {
  const std::int64_t k = checked_cast<std::int32_t>(params.k(), "k");
  k <= 0 ? triangle(layer, -k, -1, true) : triangle(layer, -1, k - 1, false);
}

void translate(Layer& layer, const spec::LowerTriangularLayerParams& params) {
  const std::int64_t k = checked_cast<std::int32_t>(params.k(), "k");
  k >= 0 ? triangle(layer, -1, k, true) : triangle(layer, -(k + 1), -1, false);
}

void translate(Layer& layer, const spec::CumSumLayerParams& params) {
  const double axis = constant_or(layer, 1, static_cast<double>(params.axis()));
  if (!(axis > -100 && axis < 100)) fail(ErrorKind::bad_model, "axis {}", axis);
  layer.put(layer.e.op("cumsum", {{"x", layer.x()},
                                  {"axis", static_cast<std::int64_t>(axis)},
                                  {"exclusive", params.excludefinalsum()},
                                  {"reverse", params.reverse()}}));
}

void translate(Layer& layer, const spec::OneHotLayerParams& params) {
  Emitter& e = layer.e;
  const Blob size =
      layer.in.size() > 1
          ? e.scalar(e.to_int(layer.x(1)))
          : Emitter::literal(Tensor::scalar(checked_cast<std::int32_t>(params.onehotvectorsize(), "oneHotVectorSize")));
  layer.put(e.op("one_hot", {{"indices", e.to_int(layer.x())},
                             {"one_hot_vector_size", size},
                             {"axis", params.axis()},
                             {"on_value", params.onvalue()},
                             {"off_value", params.offvalue()}}));
}

}  // namespace tl::format::nn
