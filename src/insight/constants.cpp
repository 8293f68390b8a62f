#include "insight/constants.hpp"

#include "base/error.hpp"
#include "ir/op_def.hpp"

namespace tl::insight {

using namespace ir;

namespace {

constexpr int max_depth = 8;  // of packed weights whose parts are packed

Tensor unpack(const Op& op, std::int64_t max_elements, int depth);

Tensor value_at(const Binding& binding, std::int64_t max_elements, int depth) {
  if (const ConstantPtr literal = literal_of(binding)) {
    if (!literal->value.is_tensor() || !literal->value.tensor().defined() || literal->value.tensor().size() > max_elements)
      return {};
    return literal->value.tensor();
  }
  const auto* var = std::get_if<Var*>(&binding);
  if (var == nullptr || (*var)->producer == nullptr || depth >= max_depth || !gives_constant(*(*var)->producer)) return {};
  return unpack(*(*var)->producer, max_elements, depth + 1);
}

Tensor unpack(const Op& op, std::int64_t max_elements, int depth) {
  const auto* type = op.outputs.empty() ? nullptr : op.outputs[0]->type.as<TensorType>();
  const auto shape = type == nullptr ? std::nullopt : shape_of(*type);
  if (!shape) return {};
  try {
    if (element_count(*shape) > max_elements) return {};
    std::vector<std::pair<std::string, Value>> inputs;
    for (const Argument& argument : op.inputs) {
      if (argument.bindings.size() != 1) return {};
      Tensor value = value_at(argument.bindings.front(), max_elements, depth);
      if (!value.defined()) return {};
      inputs.emplace_back(argument.name, std::move(value));
    }
    std::vector<Value> results = eager(op.type, std::move(inputs));
    return !results.empty() && results[0].is_tensor() ? results[0].tensor() : Tensor();
  } catch (const Error&) {
    return {};  // a damaged or unknown packing is told by those who run the model
  }
}

}  // namespace

bool gives_constant(const Op& op) { return op.type == "const" || op.type.starts_with("constexpr_"); }

ConstantPtr literal_of(const Binding& binding) {
  if (const auto* literal = std::get_if<ConstantPtr>(&binding)) return *literal;
  const Var* var = std::get<Var*>(binding);
  if (var->constant != nullptr) return var->constant;
  return var->producer != nullptr && var->producer->type == "const" ? var->producer->attribute("val") : nullptr;
}

Tensor value_of(const Binding& binding, std::int64_t max_elements) { return value_at(binding, max_elements, 0); }

}  // namespace tl::insight
