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

// The extents of a network's array as (sequence, batch, channel, height, width).
Dims five_axes(const Dims& dims) {
  if (dims.empty() || dims.size() > 4) return dims;
  if (dims.size() < 3) return {1, 1, dims.back(), 1, 1};
  return {1, 1, dims[dims.size() - 3], dims[dims.size() - 2], dims.back()};
}

// Ops that cannot be inferred keep their declared types; layers without a translation are taken to keep the shape of their
// input.
void infer(const Block& block) {
  for (const auto& op : block.ops) {
    if (op->def == nullptr) op->def = find_op(op->type);
    if (op->def == nullptr && op->type.starts_with("nn.") && !op->inputs.empty()) {
      for (const auto& output : op->outputs) fill(output->type, type_of(op->inputs.front().bindings.front()));
    }
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

// A run of the whole specialization knows extents that depend on shape arithmetic. Null when the program does not run here.
std::unique_ptr<Function> specialized(const Function& function) {
  try {
    std::vector<Type> inputs;
    for (const auto& input : function.inputs) inputs.push_back(input->type);
    return plan::specialize(function, inputs, true);
  } catch (const Error&) {
    return nullptr;
  }
}

void fill_from(const Function& concrete, Function& function) {
  std::unordered_map<std::string_view, const Var*> known;
  for_each_op(concrete.body, [&](const Op& op) {
    for (const auto& output : op.outputs) known.emplace(output->name, output.get());
  });
  for_each_op(function.body, [&](const Op& op) {
    for (const auto& output : op.outputs) {
      if (const auto found = known.find(output->name); found != known.end()) fill(output->type, found->second->type);
    }
  });
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

std::unordered_set<const Op*> make_concrete(std::unique_ptr<Function>& function, const Interface& interface, bool network) {
  std::unordered_set<std::string> names;  // of results of ops with an open extent
  for_each_op(function->body, [&](const Op& op) {
    bool any = std::any_of(op.outputs.begin(), op.outputs.end(), [](const auto& var) { return open(var->type); });
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) any = any || open(type_of(binding));
    }
    if (any && !op.outputs.empty()) names.insert(op.outputs[0]->name);
  });
  for (const auto& input : function->inputs) {
    for (const Feature& feature : interface.inputs) {
      if (feature.name != input->name || !input->type.is_tensor()) continue;
      const TensorType& type = input->type.tensor();
      fill(input->type, Type(type.dtype, network && type.dims && type.dims->size() == 5 ? five_axes(default_dims(feature))
                                                                                        : default_dims(feature)));
    }
  }
  const auto still_open = [&] {
    bool any = false;
    for_each_op(function->body, [&](const Op& op) {
      for (const auto& output : op.outputs) any = any || open(output->type);
    });
    return any;
  };
  if (!names.empty()) {
    infer(function->body);
    if (network) {
      // Another round for what follows a layer that was not translated.
      constexpr int most_rounds = 8;
      for (int round = 0; round < most_rounds && (round == 0 || still_open()); ++round) {
        auto concrete = specialized(*function);
        if (concrete == nullptr) break;
        function = std::move(concrete);
        infer(function->body);
      }
    } else if (still_open()) {
      if (const auto concrete = specialized(*function)) fill_from(*concrete, *function);
      infer(function->body);
    }
  }
  std::unordered_set<const Op*> flexible;
  for_each_op(function->body, [&](const Op& op) {
    if (!op.outputs.empty() && names.count(op.outputs[0]->name) != 0) flexible.insert(&op);
  });
  return flexible;
}

}  // namespace tl::insight
