#include <algorithm>
#include <cmath>
#include <numeric>

#include "format/classic/stage.hpp"

namespace tl::format::classic {

using namespace ir;

namespace {

// One factor, or one per element.
Blob factors(std::vector<double> values, const Blob& x, const char* what) {
  const Dim extent = nn::dims_of(x)[0];
  const std::int64_t count = iz(values.size());
  if (count != 1 && extent.known() && extent.extent() != count)
    fail(ErrorKind::bad_model, "{} {} for {} elements", count, what, extent.extent());
  return numbers(std::move(values), {count});
}

Tensor strings(const google::protobuf::RepeatedPtrField<std::string>& values) {
  return Tensor::of_strings({values.size()}, {values.begin(), values.end()});
}
Tensor integers(const google::protobuf::RepeatedField<std::int64_t>& values) {
  return Tensor::of<std::int64_t>({values.size()}, std::span<const std::int64_t>(values.data(), uz(values.size())));
}

bool is_text(const Blob& x) {
  const TensorType* type = type_of(x).as<TensorType>();
  return type != nullptr && type->dtype == DType::string;
}

// A single category as rank 0: text, or int64.
Blob category(Stage& stage) {
  const Blob& x = stage.x();
  if (is_text(x)) return x;
  if (!type_of(x).is_tensor()) fail(ErrorKind::bad_model, "a category is expected, not {}", to_string(type_of(x)));
  return stage.e.scalar(stage.e.cast(x, DType::i64));
}

// A dictionary from place to number as the vector that it stands for.
Blob unpacked(Emitter& e, const Blob& x, std::uint64_t dimensions) {
  constexpr std::uint64_t most = 1 << 20;
  if (dimensions > most) fail(ErrorKind::limit, "{} dimensions, at most {} are read from a dictionary", dimensions, most);
  std::vector<std::int64_t> keys(dimensions);
  std::iota(keys.begin(), keys.end(), 0);
  const Tensor places = Tensor::of<std::int64_t>({iz(keys.size())}, std::span<const std::int64_t>(keys));
  return e.op("tl.dictionary_vector", {{"x", x}, {"keys", Emitter::literal(places)}});
}

// Numbers, alone and in arrays: the value that is to be replaced, or NaN where none is named.
void impute_numbers(Stage& stage, const spec::Imputer& params) {
  Emitter& e = stage.e;
  using Params = spec::Imputer;
  const Blob x = stage.features();
  Blob fill;
  switch (params.ImputedValue_case()) {
    case Params::kImputedDoubleValue: fill = number(params.imputeddoublevalue()); break;
    case Params::kImputedInt64Value: fill = number(static_cast<double>(params.imputedint64value())); break;
    case Params::kImputedDoubleArray: fill = factors(doubles(params.imputeddoublearray().vector()), x, "values"); break;
    case Params::kImputedInt64Array: {
      const auto& values = params.imputedint64array().vector();
      fill = factors(doubles(values), x, "values");
      break;
    }
    default: fail(ErrorKind::unsupported, "a value of an unknown kind is imputed");
  }
  Blob gone;
  if (params.has_replacedoublevalue() && !std::isnan(params.replacedoublevalue())) {
    gone = e.binary("equal", x, number(params.replacedoublevalue()));
  } else if (params.has_replaceint64value()) {
    // An integer that is not given is NaN.
    const Blob same = e.binary("equal", x, number(static_cast<double>(params.replaceint64value())));
    gone = e.op("logical_or", {{"x", same}, {"y", e.binary("not_equal", x, x)}});
  } else {
    gone = e.binary("not_equal", x, x);
  }
  stage.put(e.op("select", {{"cond", gone}, {"a", fill}, {"b", x}}));
}

// `given`, with `missing` replaced by `fill`.
Blob replaced(Stage& stage, const Blob& given, const Tensor& missing, const Tensor& fill) {
  return stage.e.op(
      "tl.map_category",
      {{"x", given}, {"keys", Emitter::literal(missing)}, {"values", Emitter::literal(fill)}, {"fallback", given}});
}

// What the input's dictionary lacks or has as NaN.
template <class Map>
void impute_dictionary(Stage& stage, const Map& message) {
  const std::map values(message.map().begin(), message.map().end());
  std::vector<typename decltype(values)::key_type> keys;
  std::vector<double> fill;
  for (const auto& [key, value] : values) {
    keys.push_back(key);
    fill.push_back(value);
  }
  const std::int64_t count = iz(keys.size());
  Tensor list;
  if constexpr (std::is_same_v<decltype(keys), std::vector<std::string>>) {
    list = Tensor::of_strings({count}, std::move(keys));
  } else {
    list = Tensor::of<std::int64_t>({count}, {keys.begin(), keys.end()});
  }
  stage.put(stage.e.op("tl.impute_dictionary",
                       {{"x", stage.x()}, {"keys", Emitter::literal(list)}, {"values", numbers(fill, {count})}}));
}

}  // namespace

// (x + shift) * scale
void translate(Stage& stage, const spec::Scaler& params) {
  Emitter& e = stage.e;
  Blob x = stage.features();
  if (params.shiftvalue_size() != 0) x = e.binary("add", x, factors(doubles(params.shiftvalue()), x, "shifts"));
  if (params.scalevalue_size() != 0) x = e.binary("mul", x, factors(doubles(params.scalevalue()), x, "scales"));
  stage.put(x);
}

void translate(Stage& stage, const spec::Imputer& params) {
  using Params = spec::Imputer;
  const auto replace = params.ReplaceValue_case();
  const bool any = replace != Params::REPLACEVALUE_NOT_SET, text = replace == Params::kReplaceStringValue;
  switch (params.ImputedValue_case()) {
    case Params::IMPUTEDVALUE_NOT_SET: fail(ErrorKind::bad_model, "there is no value to put in");
    case Params::kImputedStringDictionary:
    case Params::kImputedInt64Dictionary:
      if (any) fail(ErrorKind::bad_model, "a value to be replaced, which dictionaries do not have");
      return params.has_imputedstringdictionary() ? impute_dictionary(stage, params.imputedstringdictionary())
                                                  : impute_dictionary(stage, params.imputedint64dictionary());
    case Params::kImputedStringValue: {
      const Blob& x = stage.x();
      if (!is_text(x)) fail(ErrorKind::bad_model, "text is put into {}", to_string(type_of(x)));
      if (any && !text) fail(ErrorKind::bad_model, "text is put in place of a number");
      const std::int64_t one = 1;
      return stage.put(any ? replaced(stage, x, Tensor::of_strings({one}, {params.replacestringvalue()}),
                                      Tensor::of_strings({one}, {params.imputedstringvalue()}))
                           : x);
    }
    default: break;
  }
  if (text) fail(ErrorKind::bad_model, "a number is put in place of text");
  const bool single =
      stage.interface.inputs.size() == 1 && std::holds_alternative<Int64Feature>(stage.interface.inputs[0].kind);
  if (!single || stage.interface.inputs[0].optional || replace != Params::kReplaceInt64Value ||
      params.ImputedValue_case() != Params::kImputedInt64Value)
    return impute_numbers(stage, params);
  const auto list = [](std::int64_t value) { return Tensor::of<std::int64_t>({1}, {value}); };
  stage.put(replaced(stage, category(stage), list(params.replaceint64value()), list(params.imputedint64value())));
}

void translate(Stage& stage, const spec::Normalizer& params) {
  Emitter& e = stage.e;
  const Blob x = stage.features();
  const auto over = [&](std::string_view type, const Blob& values) { return e.op(type, {{"x", values}, {"keep_dims", true}}); };
  Blob norm;
  switch (params.normtype()) {
    case spec::Normalizer::LMax: norm = over("reduce_max", e.op("abs", {{"x", x}})); break;
    case spec::Normalizer::L1: norm = over("reduce_l1_norm", x); break;
    case spec::Normalizer::L2: norm = over("reduce_l2_norm", x); break;
    default: fail(ErrorKind::unsupported, "norm {} is not known", static_cast<int>(params.normtype()));
  }
  // Zeros stay zeros.
  const Blob safe = e.op("select", {{"cond", e.binary("equal", norm, number(0))}, {"a", number(1)}, {"b", norm}});
  stage.put(e.binary("real_div", x, safe));
}

void translate(Stage& stage, const spec::FeatureVectorizer& params) {
  std::vector<Blob> parts;
  for (const auto& column : params.inputlist()) {
    within([&] { return fmt::format("column '{}'", column.inputcolumn()); },
           [&] {
             Blob x = stage.x(column.inputcolumn());
             if (type_of(x).as<DictType>() != nullptr) x = unpacked(stage.e, x, column.inputdimensions());
             parts.push_back(stage.vector(x));
             const Dim extent = nn::dims_of(parts.back())[0];
             if (extent.known() && static_cast<std::uint64_t>(extent.extent()) != column.inputdimensions())
               fail(ErrorKind::bad_model, "{} elements, expected {}", extent.extent(), column.inputdimensions());
           });
  }
  if (parts.empty()) fail(ErrorKind::bad_model, "there are no columns");
  stage.put(parts.size() == 1 ? parts[0] : stage.e.concat(parts, 0));
}

void translate(Stage& stage, const spec::ArrayFeatureExtractor& params) {
  std::vector<std::int64_t> indices;
  for (const std::uint64_t index : params.extractindex()) indices.push_back(checked_cast<std::int64_t>(index, "index"));
  const Blob x = stage.features();
  const Dim extent = nn::dims_of(x)[0];
  for (const std::int64_t index : indices) {
    if (extent.known() && index >= extent.extent())
      fail(ErrorKind::bad_model, "index {} of {} elements", index, extent.extent());
  }
  stage.put(stage.e.op("gather", {{"x", x}, {"indices", indices}, {"axis", 0}}));
}

void translate(Stage& stage, const spec::OneHotEncoder& params) {
  const Tensor categories =
      params.has_stringcategories() ? strings(params.stringcategories().vector()) : integers(params.int64categories().vector());
  const bool ignore = params.handleunknown() == spec::OneHotEncoder::IgnoreUnknown;
  const Args args{{"x", category(stage)}, {"categories", Emitter::literal(categories)}, {"ignore_unknown", ignore}};
  const bool sparse = params.outputsparse();
  stage.put(stage.e.op(sparse ? "tl.one_hot_dictionary" : "tl.one_hot_category", args));
}

void translate(Stage& stage, const spec::CategoricalMapping& params) {
  Args args{{"x", category(stage)}};
  using Params = spec::CategoricalMapping;
  if ((params.has_stringtoint64map() && params.ValueOnUnknown_case() == Params::kStrValue) ||
      (params.has_int64tostringmap() && params.ValueOnUnknown_case() == Params::kInt64Value))
    fail(ErrorKind::bad_model, "the value of what is not mapped is of another kind than mapped ones");
  if (params.has_stringtoint64map()) {
    std::map<std::string, std::int64_t> map(params.stringtoint64map().map().begin(), params.stringtoint64map().map().end());
    std::vector<std::string> keys;
    std::vector<std::int64_t> values;
    for (const auto& [key, value] : map) {
      keys.push_back(key);
      values.push_back(value);
    }
    const std::int64_t count = iz(keys.size());
    args.emplace_back("keys", Emitter::literal(Tensor::of_strings({count}, std::move(keys))));
    args.emplace_back("values", Emitter::literal(Tensor::of<std::int64_t>({count}, std::span<const std::int64_t>(values))));
    if (params.has_int64value())
      args.emplace_back("fallback", Emitter::literal(Tensor::scalar(std::int64_t{params.int64value()})));
  } else if (params.has_int64tostringmap()) {
    std::map<std::int64_t, std::string> map(params.int64tostringmap().map().begin(), params.int64tostringmap().map().end());
    std::vector<std::int64_t> keys;
    std::vector<std::string> values;
    for (const auto& [key, value] : map) {
      keys.push_back(key);
      values.push_back(value);
    }
    const std::int64_t count = iz(keys.size());
    args.emplace_back("keys", Emitter::literal(Tensor::of<std::int64_t>({count}, std::span<const std::int64_t>(keys))));
    args.emplace_back("values", Emitter::literal(Tensor::of_strings({count}, std::move(values))));
    if (params.ValueOnUnknown_case() == Params::kStrValue)
      args.emplace_back("fallback", Emitter::literal(Tensor::scalar(params.strvalue())));
  } else {
    fail(ErrorKind::bad_model, "there is no mapping");
  }
  stage.put(stage.e.op("tl.map_category", args));
}

void translate(Stage& stage, const spec::DictVectorizer& params) {
  const Tensor keys =
      params.has_stringtoindex() ? strings(params.stringtoindex().vector()) : integers(params.int64toindex().vector());
  stage.put(stage.e.op("tl.dictionary_vector", {{"x", stage.x()}, {"keys", Emitter::literal(keys)}}));
}

void translate(Stage& stage, const spec::Identity&) {
  for (std::size_t i = 0; i < stage.interface.outputs.size(); ++i) {
    const std::string& name = stage.interface.outputs[i].name;
    const bool same = stage.in.count(name) != 0;
    if (!same && i >= stage.interface.inputs.size()) fail(ErrorKind::bad_model, "output '{}' has no input", name);
    stage.put(name, stage.x(same ? name : stage.interface.inputs[i].name));
  }
}

}  // namespace tl::format::classic
