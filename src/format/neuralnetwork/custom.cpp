#include <algorithm>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {

using namespace ir;

namespace {

Tensor parameter(const spec::CustomLayerParams::CustomLayerParamValue& value) {
  using Value = spec::CustomLayerParams::CustomLayerParamValue;
  switch (value.value_case()) {
    case Value::kDoubleValue: return Tensor::scalar(value.doublevalue());
    case Value::kStringValue: return Tensor::scalar(value.stringvalue());
    case Value::kIntValue: return Tensor::scalar(std::int32_t{value.intvalue()});
    case Value::kLongValue: return Tensor::scalar(std::int64_t{value.longvalue()});
    case Value::kBoolValue: return Tensor::scalar(value.boolvalue());
    case Value::VALUE_NOT_SET: break;
  }
  fail(ErrorKind::bad_model, "the value is missing");
}

// As stored: what the values mean is the class's business.
Tensor stored(const spec::WeightParams& params, const std::shared_ptr<const void>& owner) {
  const auto list = [&](DType dtype, const std::string& bytes) {
    const std::size_t size = packed_bytes(dtype, 1);
    if (bytes.size() % size != 0) fail(ErrorKind::bad_model, "{} bytes of {}", bytes.size(), name(dtype));
    return Tensor::view(dtype, {iz(bytes.size() / size)}, bytes.data(), owner);
  };
  if (!params.float16value().empty()) return list(DType::f16, params.float16value());
  if (!params.int8rawvalue().empty()) return list(DType::i8, params.int8rawvalue());
  if (!params.rawvalue().empty()) return list(DType::u8, params.rawvalue());
  if (params.floatvalue_size() == 0) return Tensor::zeros(DType::f32, {0});
  return Tensor::view(DType::f32, {params.floatvalue_size()}, params.floatvalue().data(), owner);
}

Attributes named(const char* attribute, const std::vector<std::string>& names) {
  return {{attribute, make_constant(Tensor::of_strings({iz(names.size())}, names))}};
}

}  // namespace

Type declared_type(const Layer& layer, int i) {
  const auto open = [](std::int64_t rank) { return Type(DType::f32, Dims(uz(rank), Dim::unknown())); };
  if (layer.rank5) return open(5);
  if (layer.features != nullptr) {
    if (const auto found = layer.features->find(layer.message.output(i)); found != layer.features->end())
      return {DType::f32, found->second};
  }
  if (i < layer.message.outputtensor_size()) {
    const std::uint32_t rank = layer.message.outputtensor(i).rank();
    if (rank < 1 || rank > 16) fail(ErrorKind::bad_model, "an output of rank {}", rank);
    return open(rank);
  }
  if (layer.in.empty()) return open(1);
  const TensorType& first = tensor_type(layer.in[0]);
  return first.dims ? open(std::max<std::int64_t>(iz(first.dims->size()), 1)) : Type(TensorType{DType::f32, std::nullopt});
}

void translate(Layer& layer, const spec::CustomLayerParams& params) {
  std::vector<std::string> inputs, parameters, weights;
  std::vector<std::pair<std::string, Blob>> arguments;
  for (const auto& [name, value] : params.parameters()) {
    parameters.push_back(name);
    arguments.emplace_back(name, Emitter::literal(within([&, &key = name] { return fmt::format("parameter '{}'", key); },
                                                         [&, &v = value] { return parameter(v); })));
  }
  std::sort(parameters.begin(), parameters.end());
  // Parameters keep their names; the others make way.
  const auto place = [&](const char* kind, std::size_t i, std::vector<std::string>& list, Blob blob) {
    std::string name = fmt::format("{}_{}", kind, i);
    while (std::binary_search(parameters.begin(), parameters.end(), name)) name += "_";
    list.push_back(name);
    arguments.emplace_back(std::move(name), std::move(blob));
  };
  for (std::size_t i = 0; i < layer.in.size(); ++i) place("input", i, inputs, layer.in[i]);
  for (int i = 0; i < params.weights_size(); ++i) {
    const std::string name = fmt::format("{}_weight_{}", layer.e.prefix(), i);
    const Tensor value =
        within([&] { return fmt::format("weight {}", i); }, [&] { return stored(params.weights(i), layer.owner); });
    place("weight", static_cast<std::size_t>(i), weights, layer.e.weight(value, name));
  }
  Args args;
  for (const auto& [name, blob] : arguments) args.emplace_back(name, blob);
  Attributes attributes{{"class_name", make_constant(params.classname())}};
  for (const Attributes& more : {named("input_order", inputs), named("parameters", parameters), named("weights", weights)})
    attributes.insert(attributes.end(), more.begin(), more.end());
  std::vector<Type> types;
  for (int i = 0; i < layer.message.output_size(); ++i) types.push_back(declared_type(layer, i));
  layer.out = layer.e.declared("custom_layer", args, std::move(attributes), std::move(types));
}

}  // namespace tl::format::nn
