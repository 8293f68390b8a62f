#include <cstring>

#include "format/classic/stage.hpp"

namespace tl::format::classic {
namespace {

Tensor parameter(const spec::CustomModel::CustomModelParamValue& value) {
  using Value = spec::CustomModel::CustomModelParamValue;
  switch (value.value_case()) {
    case Value::kDoubleValue: return Tensor::scalar(value.doublevalue());
    case Value::kStringValue: return Tensor::scalar(value.stringvalue());
    case Value::kIntValue: return Tensor::scalar(std::int32_t{value.intvalue()});
    case Value::kLongValue: return Tensor::scalar(std::int64_t{value.longvalue()});
    case Value::kBoolValue: return Tensor::scalar(value.boolvalue());
    case Value::kBytesValue: {
      const std::string& bytes = value.bytesvalue();
      return Tensor::of<std::uint8_t>({iz(bytes.size())},
                                      std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
    }
    case Value::VALUE_NOT_SET: break;
  }
  fail(ErrorKind::bad_model, "the value is missing");
}

}  // namespace

void translate(Stage& stage, const spec::CustomModel& params) {
  const auto texts = [](const std::vector<std::string>& list) {
    return ir::make_constant(Tensor::of_strings({iz(list.size())}, list));
  };
  std::map<std::string, Tensor> parameters;
  for (const auto& [name, value] : params.parameters()) {
    parameters[name] =
        within([&, &key = name] { return fmt::format("parameter '{}'", key); }, [&, &v = value] { return parameter(v); });
  }
  std::vector<std::string> names, order, features, outputs;
  std::vector<std::pair<std::string, Blob>> arguments;
  for (const auto& [name, value] : parameters) {
    names.push_back(name);
    arguments.emplace_back(name, Emitter::literal(value));
  }
  for (const Feature& feature : stage.interface.inputs) {
    std::string name = fmt::format("input_{}", order.size());
    while (parameters.count(name) != 0) name += "_";
    arguments.emplace_back(name, stage.x(feature.name));
    order.push_back(std::move(name));
    features.push_back(feature.name);
  }
  Args args;
  for (const auto& [name, blob] : arguments) args.emplace_back(name, blob);
  std::vector<ir::Type> types;
  for (const Feature& feature : stage.interface.outputs) {
    types.push_back(within([&] { return fmt::format("output '{}'", feature.name); }, [&] { return plain_type(feature); }));
    outputs.push_back(feature.name);
  }
  ir::Attributes attributes{{"class_name", ir::make_constant(params.classname())},
                            {"input_features", texts(features)},
                            {"input_order", texts(order)},
                            {"output_features", texts(outputs)},
                            {"parameters", texts(names)}};
  const auto results = stage.e.declared("tl.custom_model", args, std::move(attributes), std::move(types));
  for (std::size_t i = 0; i < results.size(); ++i) stage.out[outputs[i]] = results[i];
}

}  // namespace tl::format::classic
