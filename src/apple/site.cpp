#include "apple/site.hpp"

#include <algorithm>

#include "ir/op_def.hpp"

namespace tl::apple {

using namespace ir;

namespace {

constexpr std::int64_t most_elements = 64;  // of a parameter

const TensorType* tensor_of(const Type& type) {
  if (const auto* state = type.as<StateType>()) return state->wrapped->as<TensorType>();
  return type.as<TensorType>();
}

}  // namespace

bool runs_at_load(const Op& op) { return op.type == "const" || op.type.starts_with("constexpr_"); }

bool at_run_time(const Binding& binding) {
  const auto* var = std::get_if<Var*>(&binding);
  return var != nullptr && (*var)->constant == nullptr && ((*var)->producer == nullptr || !runs_at_load(*(*var)->producer));
}

std::int64_t extent(Dim dim) noexcept { return dim.known() ? dim.extent() : 1; }

double elements(const TensorType& type) noexcept {
  double count = 1;
  if (type.dims) {
    for (const Dim dim : *type.dims) count *= static_cast<double>(extent(dim));
  }
  return count;
}

std::int64_t rank(const TensorType& type) noexcept { return type.dims ? static_cast<std::int64_t>(type.dims->size()) : -1; }

std::vector<const TensorType*> Site::runtime_inputs() const {
  std::vector<const TensorType*> types;
  for (const Argument& argument : op_.inputs) {
    for (const Binding& binding : argument.bindings) {
      const TensorType* type = at_run_time(binding) ? tensor_of(type_of(binding)) : nullptr;
      if (type != nullptr) types.push_back(type);
    }
  }
  return types;
}

std::vector<const TensorType*> Site::outputs() const {
  std::vector<const TensorType*> types;
  for (const auto& output : op_.outputs) {
    if (const TensorType* type = tensor_of(output->type)) types.push_back(type);
  }
  return types;
}

std::vector<const TensorType*> Site::runtime() const {
  auto types = runtime_inputs();
  const auto results = outputs();
  types.insert(types.end(), results.begin(), results.end());
  return types;
}

const Binding* Site::binding(std::string_view parameter) const noexcept {
  const Argument* argument = op_.argument(parameter);
  return argument == nullptr || argument->bindings.empty() ? nullptr : &argument->bindings.front();
}

const TensorType* Site::type(std::string_view parameter) const {
  const Binding* bound = binding(parameter);
  return bound == nullptr ? nullptr : tensor_of(type_of(*bound));
}

const TensorType* Site::output() const { return op_.outputs.empty() ? nullptr : tensor_of(op_.outputs[0]->type); }

DType Site::dtype(const TensorType& type) const noexcept {
  return around_.halves && type.dtype == DType::f32 ? DType::f16 : type.dtype;
}

bool Site::constant(std::string_view parameter) const {
  const Argument* argument = op_.argument(parameter);
  return argument == nullptr || std::none_of(argument->bindings.begin(), argument->bindings.end(), at_run_time);
}

Tensor Site::known(std::string_view parameter) const {
  if (const Binding* bound = binding(parameter)) {
    const ConstantPtr value = constant_of(*bound);
    return value != nullptr && value->value.is_tensor() ? value->value.tensor() : Tensor();
  }
  const OpDef* def = op_.def != nullptr ? op_.def : find_op(op_.type);
  const Param* param = def == nullptr ? nullptr : def->param(parameter);
  return param == nullptr ? Tensor() : param->fallback;
}

std::vector<double> Site::numbers(std::string_view parameter) const {
  const Tensor value = known(parameter);
  std::vector<double> result;
  if (!value.defined() || value.dtype() == DType::string) return result;
  for (std::int64_t i = 0; i < std::min(value.size(), most_elements); ++i) result.push_back(value.number_at(i));
  return result;
}

std::vector<std::int64_t> Site::ints(std::string_view parameter) const {
  const Tensor value = known(parameter);
  std::vector<std::int64_t> result;
  if (!value.defined() || (!is_integer(value.dtype()) && value.dtype() != DType::boolean)) return result;
  for (std::int64_t i = 0; i < std::min(value.size(), most_elements); ++i) result.push_back(value.integer_at(i));
  return result;
}

std::int64_t Site::integer(std::string_view parameter, std::int64_t fallback) const {
  const auto values = ints(parameter);
  return values.empty() ? fallback : values.front();
}

std::string Site::text(std::string_view parameter) const {
  const Tensor value = known(parameter);
  return value.defined() && value.dtype() == DType::string && value.size() == 1 ? value.strings().front() : std::string();
}

}  // namespace tl::apple
