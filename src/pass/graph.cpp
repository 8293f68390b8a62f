#include "pass/graph.hpp"

#include <algorithm>
#include <unordered_set>

namespace tl::pass {

using namespace ir;

namespace {

template <class Visit>
void for_each_read(const Op& op, Visit&& visit) {
  for (const Argument& argument : op.inputs) {
    for (const Binding& binding : argument.bindings) {
      if (const auto* var = std::get_if<Var*>(&binding)) visit(*var);
    }
  }
}

template <class Visit>
void for_each_nested_read(const Block& block, Visit&& visit) {
  for (Var* output : block.outputs) visit(output);
  for_each_op(block, [&](const Op& op) {
    for_each_read(op, visit);
    for (const auto& inner : op.blocks) {
      for (Var* output : inner->outputs) visit(output);
    }
  });
}

}  // namespace

Uses::Uses(const Function& function) {
  for (const auto& op : function.body.ops) {
    for_each_read(*op, [&](const Var* var) { entries_[var].users.push_back(op.get()); });
    for (const auto& inner : op->blocks) for_each_nested_read(*inner, [&](const Var* var) { ++entries_[var].other; });
  }
  for (const Var* output : function.body.outputs) ++entries_[output].other;
}

std::size_t Uses::count(const Var& var) const {
  const auto found = entries_.find(&var);
  return found == entries_.end() ? 0 : found->second.users.size() + found->second.other;
}

Op* Uses::only_user(const Var& var) const {
  const auto found = entries_.find(&var);
  if (found == entries_.end() || found->second.other != 0 || found->second.users.size() != 1) return nullptr;
  return found->second.users.front();
}

std::vector<Op*> Uses::users(const Var& var) const {
  const auto found = entries_.find(&var);
  return found == entries_.end() ? std::vector<Op*>() : found->second.users;
}

void Uses::replace(const Var& var, const Op* old, Op* next) {
  auto& users = entries_[&var].users;
  std::replace(users.begin(), users.end(), const_cast<Op*>(old), next);
}

const Binding* binding(const Op& op, std::string_view param) {
  const Argument* argument = op.argument(param);
  return argument == nullptr || argument->bindings.size() != 1 ? nullptr : &argument->bindings.front();
}

Var* variable(const Op& op, std::string_view param) {
  const Binding* bound = binding(op, param);
  const auto* var = bound == nullptr ? nullptr : std::get_if<Var*>(bound);
  return var == nullptr || (*var)->constant != nullptr ? nullptr : *var;
}

bool is_weight(const Binding& binding) {
  if (constant_of(binding) != nullptr) return true;
  const Op* op = std::get<Var*>(binding)->producer;
  return op != nullptr && op->def->constexpr_op;
}

std::vector<float> constant_floats(const Op& op, std::string_view param) {
  Tensor value;
  if (const Binding* bound = binding(op, param)) {
    const ConstantPtr constant = constant_of(*bound);
    if (constant == nullptr || !constant->value.is_tensor()) return {};
    value = constant->value.tensor();
  } else if (const Param* declared = op.def->param(param)) {
    value = declared->fallback;
  }
  if (!value.defined() || value.dtype() == DType::string) return {};
  const Tensor wide = value.cast(DType::f32);
  const auto values = wide.values<float>();
  return {values.begin(), values.end()};
}

std::optional<Shape> shape_of(const Var& var) { return var.type.is_tensor() ? ir::shape_of(var.type.tensor()) : std::nullopt; }

void set_ops(Function& function, std::vector<std::unique_ptr<Op>> ops) {
  std::erase(ops, nullptr);
  function.body.ops = std::move(ops);
}

void give_output(Op& op, std::unique_ptr<Var> var) {
  var->producer = &op;
  op.outputs.front() = std::move(var);
}

void remove_dead(Function& function) {
  auto& ops = function.body.ops;
  std::unordered_set<const Var*> used;
  const auto use = [&](const Var* var) { used.insert(var); };
  for (const Var* output : function.body.outputs) use(output);
  for (std::size_t i = ops.size(); i-- > 0;) {
    const Op& op = *ops[i];
    const bool read =
        std::any_of(op.outputs.begin(), op.outputs.end(), [&](const auto& var) { return used.count(var.get()) != 0; });
    if (!read && op.def->pure) {
      ops[i] = nullptr;
      continue;
    }
    for_each_read(op, use);
    for (const auto& inner : op.blocks) for_each_nested_read(*inner, use);
  }
  std::erase(ops, nullptr);
}

}  // namespace tl::pass
