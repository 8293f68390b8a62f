// Extents of a program for the default shapes of its inputs.
#include <algorithm>

#include "base/error.hpp"
#include "insight/check.hpp"
#include "ir/op_def.hpp"
#include "plan/specialize.hpp"

namespace tl::insight {

using namespace ir;

namespace {

bool open(const Type& type) {
  const TensorType* tensor = type.as<TensorType>();
  return tensor != nullptr && (!tensor->dims || !all_known(*tensor->dims));
}

// Known extents of `from` where `type` has none.
void fill(Type& type, const Type& from) {
  const TensorType* have = type.as<TensorType>();
  const TensorType* know = from.as<TensorType>();
  if (have == nullptr || know == nullptr || !know->dims) return;
  Dims dims = have->dims ? *have->dims : *know->dims;
  if (dims.size() != know->dims->size()) return;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (!dims[i].known()) dims[i] = (*know->dims)[i];
  }
  type = Type(have->dtype, std::move(dims));
}

Dims default_dims(const Feature& feature) {
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) return dims_of(array->shape);
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
    const bool gray = image->color == ColorSpace::grayscale || image->color == ColorSpace::grayscale_f16;
    return {1, gray ? 1 : 3, image->height, image->width};
  }
  return {};
}

// Ops that cannot be inferred keep their declared types.
void infer(const Block& block) {
  for (const auto& op : block.ops) {
    if (op->def == nullptr) op->def = find_op(op->type);
    for (const auto& inner : op->blocks) infer(*inner);
    const bool any = std::any_of(op->outputs.begin(), op->outputs.end(), [](const auto& var) { return open(var->type); });
    if (!any || op->def == nullptr || op->type == "const") continue;
    try {
      const std::vector<Type> types = infer_types(*op);
      for (std::size_t i = 0; i < std::min(types.size(), op->outputs.size()); ++i) fill(op->outputs[i]->type, types[i]);
    } catch (const Error&) {  // the op is not one that runs here: its declared types have to do
    }
  }
}

// A run of the whole specialization knows extents that depend on shape arithmetic.
void fill_from_specialized(Function& function) {
  try {
    std::vector<Type> inputs;
    for (const auto& input : function.inputs) inputs.push_back(input->type);
    const auto concrete = plan::specialize(function, inputs);
    std::unordered_map<std::string_view, const Var*> known;
    for_each_op(concrete->body, [&](const Op& op) {
      for (const auto& output : op.outputs) known.emplace(output->name, output.get());
    });
    for_each_op(function.body, [&](const Op& op) {
      for (const auto& output : op.outputs) {
        if (const auto found = known.find(output->name); found != known.end()) fill(output->type, found->second->type);
      }
    });
  } catch (const Error&) {  // not a program that runs here
  }
}

bool is_ranged(const Feature& feature) {
  const auto wide = [](const Range& range) { return range.lower != range.upper; };
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind))
    return std::any_of(array->ranges.begin(), array->ranges.end(), wide);
  const auto* image = std::get_if<ImageFeature>(&feature.kind);
  return image != nullptr &&
         ((image->width_range && wide(*image->width_range)) || (image->height_range && wide(*image->height_range)));
}

}  // namespace

std::vector<std::string> ranged_inputs(const Function& function, const Interface& interface, bool network) {
  std::vector<std::string> result;
  for (const Feature& feature : interface.inputs) {
    if (is_ranged(feature)) result.push_back(fmt::format("'{}' ({})", feature.name, describe(feature)));
  }
  if (network || !result.empty()) return result;
  // Compiled models do not say which extents an open axis may have.
  for (const auto& input : function.inputs) {
    if (open(input->type)) result.push_back(fmt::format("'{}' ({})", input->name, ir::to_string(input->type)));
  }
  return result;
}

std::unordered_set<const Op*> make_concrete(Function& function, const Interface& interface) {
  std::unordered_set<const Op*> flexible;
  for_each_op(function.body, [&](const Op& op) {
    bool any = std::any_of(op.outputs.begin(), op.outputs.end(), [](const auto& var) { return open(var->type); });
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) any = any || open(type_of(binding));
    }
    if (any) flexible.insert(&op);
  });
  for (const auto& input : function.inputs) {
    for (const Feature& feature : interface.inputs) {
      if (feature.name == input->name && input->type.is_tensor())
        fill(input->type, Type(input->type.tensor().dtype, default_dims(feature)));
    }
  }
  if (!flexible.empty()) {
    infer(function.body);
    const auto still_open = [&] {
      bool any = false;
      for_each_op(function.body, [&](const Op& op) {
        for (const auto& output : op.outputs) any = any || open(output->type);
      });
      return any;
    };
    if (still_open()) {
      fill_from_specialized(function);
      infer(function.body);
    }
  }
  return flexible;
}

}  // namespace tl::insight
