#include "ir/program.hpp"

#include <unordered_map>

namespace tl::ir {
namespace {

using VarMap = std::unordered_map<const Var*, Var*>;

std::unique_ptr<Var> copy_var(const Var& var, VarMap& map) {
  auto copy = std::make_unique<Var>(var);
  copy->producer = nullptr;
  map[&var] = copy.get();
  return copy;
}

Binding copy_binding(const Binding& binding, const VarMap& map) {
  if (const auto* var = std::get_if<Var*>(&binding)) {
    const auto found = map.find(*var);
    return found == map.end() ? *var : found->second;
  }
  return binding;
}

void copy_block(const Block& from, Block& to, VarMap& map) {
  to.attributes = from.attributes;
  for (const auto& param : from.params) to.params.push_back(copy_var(*param, map));
  for (const Binding& binding : from.param_bindings) to.param_bindings.push_back(copy_binding(binding, map));
  for (const auto& op : from.ops) {
    auto copy = std::make_unique<Op>();
    copy->type = op->type;
    copy->def = op->def;
    copy->opset = op->opset;
    copy->attributes = op->attributes;
    for (const Argument& argument : op->inputs) {
      Argument& target = copy->inputs.emplace_back();
      target.name = argument.name;
      for (const Binding& binding : argument.bindings) target.bindings.push_back(copy_binding(binding, map));
    }
    for (const auto& inner : op->blocks) {
      copy->blocks.push_back(std::make_unique<Block>());
      copy_block(*inner, *copy->blocks.back(), map);
    }
    for (const auto& output : op->outputs) {
      copy->outputs.push_back(copy_var(*output, map));
      copy->outputs.back()->producer = copy.get();
    }
    to.ops.push_back(std::move(copy));
  }
  for (Var* output : from.outputs) {
    const auto found = map.find(output);
    to.outputs.push_back(found == map.end() ? output : found->second);
  }
}

}  // namespace

ConstantPtr make_constant(Tensor value) {
  auto constant = std::make_shared<Constant>();
  constant->type = Type(value.dtype(), dims_of(value.shape()));
  constant->value = std::move(value);
  return constant;
}

ConstantPtr make_constant(std::string value) { return make_constant(Tensor::scalar(std::move(value))); }

const Type& type_of(const Binding& binding) {
  if (const auto* var = std::get_if<Var*>(&binding)) return (*var)->type;
  return std::get<ConstantPtr>(binding)->type;
}

ConstantPtr constant_of(const Binding& binding) {
  if (const auto* var = std::get_if<Var*>(&binding)) return (*var)->constant;
  return std::get<ConstantPtr>(binding);
}

const Argument* Op::argument(std::string_view name) const noexcept {
  for (const Argument& argument : inputs) {
    if (argument.name == name) return &argument;
  }
  return nullptr;
}

ConstantPtr Op::attribute(std::string_view name) const noexcept {
  for (const auto& [key, value] : attributes) {
    if (key == name) return value;
  }
  return nullptr;
}

std::string Op::label() const {
  if (const ConstantPtr name = attribute("name"); name != nullptr && name->value.is_tensor() &&
                                                  name->value.tensor().dtype() == DType::string &&
                                                  name->value.tensor().size() == 1) {
    return name->value.tensor().strings()[0];
  }
  return outputs.empty() ? type : outputs[0]->name;
}

Function* Program::function(std::string_view name) const noexcept {
  for (const auto& function : functions) {
    if (function->name == name) return function.get();
  }
  return nullptr;
}

std::unique_ptr<Function> clone(const Function& function) {
  auto copy = std::make_unique<Function>();
  copy->name = function.name;
  copy->opset = function.opset;
  copy->attributes = function.attributes;
  VarMap map;
  for (const auto& input : function.inputs) copy->inputs.push_back(copy_var(*input, map));
  copy_block(function.body, copy->body, map);
  return copy;
}

std::unique_ptr<Program> clone(const Program& program) {
  auto copy = std::make_unique<Program>();
  copy->version = program.version;
  copy->attributes = program.attributes;
  copy->style = program.style;
  for (const auto& function : program.functions) copy->functions.push_back(clone(*function));
  return copy;
}

}  // namespace tl::ir
