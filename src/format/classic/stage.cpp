#include "format/classic/stage.hpp"

#include <algorithm>
#include <cmath>

namespace tl::format::classic {

using namespace ir;

ir::Type plain_type(const Feature& feature) {
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
    const DType dtype = array->dtype == DType::f16 ? DType::f32 : array->dtype;
    if (!array->ranges.empty()) {
      Dims dims;
      for (const Range& range : array->ranges) dims.push_back(range.lower == range.upper ? Dim(range.lower) : Dim::unknown());
      return {dtype, std::move(dims)};
    }
    if (array->shape.empty()) return {dtype, Dims{Dim::unknown()}};
    if (!array->enumerated.empty()) {
      const bool ranked = std::all_of(array->enumerated.begin(), array->enumerated.end(),
                                      [&](const Shape& shape) { return shape.size() == array->shape.size(); });
      if (!ranked) return TensorType{dtype, std::nullopt};
      return {dtype, Dims(array->shape.size(), Dim::unknown())};
    }
    return {dtype, dims_of(array->shape)};
  }
  // Numbers that may be left out are NaN then.
  if (std::holds_alternative<Int64Feature>(feature.kind)) return {feature.optional ? DType::f64 : DType::i64, {}};
  if (std::holds_alternative<DoubleFeature>(feature.kind)) return {DType::f64, {}};
  if (std::holds_alternative<StringFeature>(feature.kind)) return {DType::string, {}};
  if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) {
    const Type key(dict->integer_keys ? DType::i64 : DType::string, {});
    return DictType{std::make_shared<const Type>(key), std::make_shared<const Type>(DType::f64, Dims{})};
  }
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
    const bool gray = image->color == ColorSpace::grayscale || image->color == ColorSpace::grayscale_f16;
    const bool open = image->width == 0 || image->width_range || !image->enumerated.empty();
    return {DType::f32, {1, gray ? 1 : 3, open ? Dim::unknown() : image->height, open ? Dim::unknown() : image->width}};
  }
  if (const auto* sequence = std::get_if<SequenceFeature>(&feature.kind))
    return {sequence->integers ? DType::i64 : DType::string, Dims{Dim::unknown()}};
  fail(ErrorKind::unsupported, "a {} is not taken", type_name(feature));
}

const Blob& Stage::x() const {
  if (interface.inputs.size() != 1) fail(ErrorKind::bad_model, "{} inputs, expected one", interface.inputs.size());
  return x(interface.inputs[0].name);
}

const Blob& Stage::x(const std::string& name) const {
  const auto found = in.find(name);
  if (found == in.end()) fail(ErrorKind::bad_model, "input '{}': no earlier stage gives it", name);
  return found->second;
}

Blob Stage::vector(const Blob& value) const {
  const TensorType* type = type_of(value).as<TensorType>();
  if (type == nullptr || type->dtype == DType::string)
    fail(ErrorKind::bad_model, "numbers are expected, not {}", to_string(type_of(value)));
  const Blob wide = e.cast(value, DType::f64);
  return nn::rank_of(wide) == 1 ? wide : e.reshape(wide, std::vector<std::int64_t>{-1});
}

Blob Stage::features() const {
  std::vector<Blob> parts;
  for (const Feature& feature : interface.inputs) {
    within([&] { return fmt::format("input '{}'", feature.name); }, [&] { parts.push_back(vector(x(feature.name))); });
  }
  if (parts.empty()) fail(ErrorKind::bad_model, "there are no inputs");
  return parts.size() == 1 ? parts[0] : e.concat(parts, 0);
}

void Stage::put(const Blob& value) {
  if (interface.outputs.empty()) fail(ErrorKind::bad_model, "there are no outputs");
  for (const Feature& feature : interface.outputs) put(feature.name, value);
}

void Stage::put(const std::string& name, const Blob& value) {
  Blob result = value;
  const TensorType* type = type_of(value).as<TensorType>();
  for (const Feature& feature : interface.outputs) {
    if (feature.name != name || type == nullptr || type->dtype == DType::string) continue;
    if (std::holds_alternative<DoubleFeature>(feature.kind)) result = e.scalar(e.cast(value, DType::f64));
    if (std::holds_alternative<Int64Feature>(feature.kind)) result = e.scalar(e.cast(value, DType::i64));
    if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
      result = e.cast(value, array->dtype);
      const auto shape = shape_of(nn::tensor_type(result));
      if (shape && !array->shape.empty() && *shape != array->shape && element_count(*shape) == element_count(array->shape))
        result = e.reshape(result, array->shape);
    }
  }
  out[name] = result;
}

void Stage::classify(const Blob& scores, const Tensor& labels, bool probable) {
  if (const auto shape = shape_of(nn::tensor_type(scores)); shape && element_count(*shape) != labels.size()) {
    fail(ErrorKind::bad_model, "{} labels for {} classes", labels.size(), element_count(*shape));
  }
  const auto results = e.ops("classify", {{"probabilities", scores}, {"classes", Emitter::literal(labels)}});
  for (const Feature& feature : interface.outputs) {
    if (feature.name == interface.predicted_feature) {
      out[feature.name] = results[0];
    } else if (std::holds_alternative<DictFeature>(feature.kind)) {
      if (!probable) fail(ErrorKind::unsupported, "output '{}': the model holds no probabilities", feature.name);
      out[feature.name] = results[1];
    } else {
      put(feature.name, scores);
    }
  }
}

Blob numbers(std::vector<double> values, Shape shape) {
  return Emitter::literal(Tensor::of<double>(std::move(shape), std::span<const double>(values)));
}

Blob number(double value) { return Emitter::literal(Tensor::scalar(value)); }

Blob sum_last(Emitter& e, const Blob& x) {
  return e.op("reduce_sum", {{"x", x}, {"axes", std::vector<std::int64_t>{-1}}, {"keep_dims", false}});
}

Blob softmax(Emitter& e, const Blob& scores) { return e.op("softmax", {{"x", scores}, {"axis", -1}}); }

Blob probit(Emitter& e, const Blob& x) {
  const Blob erf = e.op("erf", {{"x", e.binary("mul", x, number(std::sqrt(0.5)))}});
  return e.binary("mul", e.binary("add", erf, number(1)), number(0.5));
}

Blob with_zero_first(Emitter& e, const Blob& x) { return e.concat({numbers({0}, {1}), x}, 0); }

Blob two_classes(Emitter& e, const Blob& p) { return e.concat({e.binary("sub", number(1), p), p}, 0); }

}  // namespace tl::format::classic
