#include "plan/cost.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "ir/op_def.hpp"

namespace tl::plan {

using namespace ir;

namespace {

enum class Rule { conv, conv_transpose, linear, matmul, einsum, attention, recurrent, window, output, input };

struct Row {
  std::string_view op;
  Rule rule;
  double factor;
};
constexpr std::array rows = {
#define TL_COST(op, rule, factor) Row{#op, Rule::rule, factor},
#include "plan/costs.inc"
};

double extent(Dim dim) { return dim.known() ? static_cast<double>(dim.extent()) : 1.0; }

double elements(const Type& type) {
  const auto* tensor = type.as<TensorType>();
  if (tensor == nullptr || !tensor->dims) return 0;
  double count = 1;
  for (const Dim dim : *tensor->dims) count *= extent(dim);
  return count;
}

double bytes(const Type& type) {
  const auto* tensor = type.as<TensorType>();
  return tensor == nullptr || tensor->dtype == DType::string ? 0
                                                             : elements(type) * static_cast<double>(bits(tensor->dtype)) / 8;
}

// An argument's type; null when it is absent or no tensor of known rank.
const TensorType* argument(const Op& op, std::string_view name) {
  const Argument* found = op.argument(name);
  if (found == nullptr || found->bindings.empty()) return nullptr;
  const auto* tensor = type_of(found->bindings.front()).as<TensorType>();
  return tensor != nullptr && tensor->dims ? tensor : nullptr;
}

double count_of(const TensorType* type) { return type == nullptr ? 0 : elements(Type(*type)); }
// The extent `from_end` places before the last; 1 when there is none.
double extent_of(const TensorType* type, std::size_t from_end) {
  if (type == nullptr || type->dims->size() <= from_end) return 1;
  return std::max(1.0, extent((*type->dims)[type->dims->size() - 1 - from_end]));
}
double first_extent(const TensorType* type) {
  return type == nullptr || type->dims->empty() ? 1 : std::max(1.0, extent(type->dims->front()));
}

bool flag(const Op& op, std::string_view name) {
  const Argument* found = op.argument(name);
  const ConstantPtr constant = found == nullptr || found->bindings.empty() ? nullptr : constant_of(found->bindings.front());
  return constant != nullptr && constant->value.is_tensor() && constant->value.tensor().dtype() == DType::boolean &&
         constant->value.tensor().integer_at(0) != 0;
}

double window_size(const Op& op) {
  const Argument* found = op.argument("kernel_sizes");
  const ConstantPtr constant = found == nullptr || found->bindings.empty() ? nullptr : constant_of(found->bindings.front());
  double size = 1;
  if (constant == nullptr || !constant->value.is_tensor()) return size;
  for (std::int64_t i = 0; i < constant->value.tensor().size(); ++i) size *= constant->value.tensor().number_at(i);
  return size;
}

// Every letter of the equation is a loop.
double einsum_points(const Op& op) {
  const Argument* equation = op.argument("equation");
  const Argument* values = op.argument("values");
  const ConstantPtr text = equation == nullptr ? nullptr : constant_of(equation->bindings.front());
  if (text == nullptr || values == nullptr || !text->value.is_tensor() || text->value.tensor().dtype() != DType::string)
    return 0;
  std::map<char, double> extents;
  std::size_t operand = 0, axis = 0;
  for (const char c : text->value.tensor().strings().at(0)) {
    if (c == '-') break;
    if (c == ',') {
      ++operand;
      axis = 0;
    } else if (std::isalpha(static_cast<unsigned char>(c)) != 0 && operand < values->bindings.size()) {
      const auto* tensor = type_of(values->bindings[operand]).as<TensorType>();
      if (tensor != nullptr && tensor->dims && axis < tensor->dims->size()) extents[c] = extent((*tensor->dims)[axis]);
      ++axis;
    }
  }
  double points = 1;
  for (const auto& [letter, size] : extents) points *= size;
  return points;
}

double flops_by(const Row& row, const Op& op, double out) {
  const TensorType* weight = argument(op, "weight");
  const TensorType* x = argument(op, "x");
  switch (row.rule) {
    case Rule::conv: return row.factor * out * count_of(weight) / first_extent(weight);
    case Rule::conv_transpose: return row.factor * count_of(x) * count_of(weight) / first_extent(weight);
    case Rule::linear: return row.factor * out * extent_of(weight, 0);
    case Rule::matmul: return row.factor * out * extent_of(x, flag(op, "transpose_x") ? 1 : 0);
    case Rule::einsum: return row.factor * einsum_points(op);
    case Rule::attention: {
      const double keys = extent_of(argument(op, "key"), flag(op, "heads_last") ? 2 : 1);
      return row.factor * keys * (count_of(argument(op, "query")) + out);
    }
    case Rule::recurrent: {
      double weights = 0;
      for (const char* name : {"weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back"})
        weights += count_of(argument(op, name));
      return row.factor * extent_of(x, 2) * extent_of(x, 1) * weights;
    }
    case Rule::window: return row.factor * out * window_size(op);
    case Rule::output: return row.factor * out;
    case Rule::input: return row.factor * count_of(x);
  }
  return 0;
}

}  // namespace

Cost cost_of(const Op& op) {
  Cost cost;
  const OpDef* def = op.def != nullptr ? op.def : find_op(op.type);
  if (op.type == "const" || op.outputs.empty() || (def != nullptr && def->view)) return cost;
  const double out = elements(op.outputs.front()->type);
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& candidate) {
    return candidate.op.back() == '*' ? op.type.starts_with(candidate.op.substr(0, candidate.op.size() - 1))
                                      : op.type == candidate.op;
  });
  if (op.type.starts_with("constexpr_")) {
    // Evaluated once when a model is loaded.
  } else if (row != rows.end()) {
    cost.flops = flops_by(*row, op, out);
  } else if (def != nullptr && def->elementwise) {
    cost.flops = out;
  }
  const TensorType* put = op.type == "tl.update_state" ? argument(op, "update") : nullptr;
  for (const auto& output : op.outputs) cost.written += bytes(put != nullptr ? Type(*put) : output->type);
  const bool picks = op.type.starts_with("gather") || op.type.starts_with("slice_by");
  for (const Argument& argument : op.inputs) {
    for (const Binding& binding : argument.bindings)
      cost.read += picks && argument.name == "x" ? cost.written : bytes(type_of(binding));
  }
  return cost;
}

}  // namespace tl::plan
