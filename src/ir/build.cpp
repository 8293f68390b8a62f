#include "ir/build.hpp"

#include "ir/op_def.hpp"

namespace tl::ir {

std::unique_ptr<Op> make_op(std::string_view type, std::vector<std::pair<std::string, Binding>> inputs, std::string name) {
  auto op = std::make_unique<Op>();
  op->type = type;
  op->def = find_op(type);
  for (auto& [param, binding] : inputs) op->inputs.push_back({std::move(param), {std::move(binding)}});
  op->attributes.emplace_back("name", make_constant(name));
  std::vector<Type> types = infer_types(*op);
  for (std::size_t i = 0; i < types.size(); ++i) {
    auto var = std::make_unique<Var>();
    var->name = i == 0 ? name : fmt::format("{}_{}", name, i);
    var->type = std::move(types[i]);
    var->producer = op.get();
    op->outputs.push_back(std::move(var));
  }
  return op;
}

Binding text_binding(std::string value) { return make_constant(std::move(value)); }
Binding ints_binding(const std::vector<std::int64_t>& values) {
  Tensor tensor(DType::i32, {iz(values.size())});
  auto out = tensor.mutable_values<std::int32_t>();
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = checked_cast<std::int32_t>(values[i], "integer");
  return make_constant(std::move(tensor));
}
Binding float_binding(double value) { return make_constant(Tensor::scalar(static_cast<float>(value))); }
Binding bool_binding(bool value) { return make_constant(Tensor::scalar(value)); }

}  // namespace tl::ir
