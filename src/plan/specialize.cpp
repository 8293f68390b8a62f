#include "plan/specialize.hpp"

#include <algorithm>
#include <unordered_set>

#include "ir/op_def.hpp"
#include "pass/graph.hpp"

namespace tl::plan {

using namespace ir;

namespace {

constexpr std::size_t max_folded_bytes = std::size_t{16} << 20;

bool inputs_constant(const Op& op) {
  return std::all_of(op.inputs.begin(), op.inputs.end(), [](const Argument& argument) {
    return std::all_of(argument.bindings.begin(), argument.bindings.end(),
                       [](const Binding& b) { return constant_of(b) != nullptr; });
  });
}

bool fits(const std::vector<Type>& types, std::size_t max_bytes) {
  std::size_t total = 0;
  for (const Type& type : types) {
    if (!type.is_tensor()) return false;
    const auto shape = shape_of(type.tensor());
    if (!shape) return false;
    total += packed_bytes(type.tensor().dtype, element_count(*shape));
  }
  return total <= max_bytes;
}

void fold(Op& op) {
  std::vector<std::vector<Value>> values;
  for (const Argument& argument : op.inputs) {
    auto& bound = values.emplace_back();
    for (const Binding& binding : argument.bindings) bound.push_back(constant_of(binding)->value);
  }
  std::vector<Value> results = evaluate(op, std::move(values));
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    auto constant = std::make_shared<Constant>();
    constant->value = std::move(results[i]);
    constant->type = constant->value.is_tensor()
                         ? Type(constant->value.tensor().dtype(), dims_of(constant->value.tensor().shape()))
                         : op.outputs[i]->type;
    op.outputs[i]->type = constant->type;
    op.outputs[i]->constant = std::move(constant);
  }
}

// The extents of a value are known before the value is.
void fold_shape(Op& op) {
  const TensorType* type = type_of(op.argument("x")->bindings.front()).as<TensorType>();
  const auto shape = type == nullptr ? std::nullopt : shape_of(*type);
  if (!shape) return;
  Tensor extents(DType::i32, {static_cast<std::int64_t>(shape->size())});
  std::transform(shape->begin(), shape->end(), extents.mutable_values<std::int32_t>().begin(),
                 [](std::int64_t extent) { return static_cast<std::int32_t>(std::min<std::int64_t>(extent, INT32_MAX)); });
  op.outputs[0]->constant = make_constant(std::move(extents));
}

void bind_constants(Block& block) {
  for (const auto& op : block.ops) {
    for (Argument& argument : op->inputs) {
      for (Binding& binding : argument.bindings) {
        if (const ConstantPtr constant = constant_of(binding)) binding = constant;
      }
    }
    for (Binding& binding : block.param_bindings) {
      if (const ConstantPtr constant = constant_of(binding)) binding = constant;
    }
    for (const auto& inner : op->blocks) bind_constants(*inner);
  }
}

void infer_blocks(Op& op);

void infer_block(Block& block) {
  for (const auto& op : block.ops) {
    if (op->type == "const" || op->def == nullptr || op->def->unknown_arguments) continue;
    infer_blocks(*op);
    const std::vector<Type> types = infer_types(*op);
    for (std::size_t i = 0; i < types.size(); ++i) op->outputs[i]->type = types[i];
  }
}

// Extents that change from round to round are not known.
Type widened(const Type& type, const Type& next) {
  const auto* a = type.as<TensorType>();
  const auto* b = next.as<TensorType>();
  if (a == nullptr || b == nullptr || a->dtype != b->dtype) return type;
  if (!a->dims || !b->dims || a->dims->size() != b->dims->size()) return TensorType{a->dtype, std::nullopt};
  Dims dims = *a->dims;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != (*b->dims)[i]) dims[i] = Dim::unknown();
  }
  return {a->dtype, std::move(dims)};
}

// The types inside of the blocks of an op, from those of what it reads; a file may declare those of a default shape.
void infer_blocks(Op& op) {
  const Argument* loop = op.type == "while_loop" ? op.argument("loop_vars") : nullptr;
  if (loop == nullptr) {
    for (const auto& block : op.blocks) infer_block(*block);
    return;
  }
  std::vector<Type> types;
  for (const Binding& binding : loop->bindings) types.push_back(type_of(binding));
  for (bool changed = true; changed;) {  // each time another extent becomes unknown
    for (const auto& block : op.blocks) {
      for (std::size_t i = 0; i < types.size() && i < block->params.size(); ++i) block->params[i]->type = types[i];
      infer_block(*block);
    }
    changed = false;
    const auto& outputs = op.blocks.back()->outputs;
    for (std::size_t i = 0; i < types.size() && i < outputs.size(); ++i) {
      const Type next = widened(types[i], outputs[i]->type);
      changed = changed || next != types[i];
      types[i] = next;
    }
  }
}

// The constexpr ops whose result is read as the weight of products, or as a table, only.
std::unordered_set<const Op*> compressed_weights(const Function& function) {
  std::unordered_set<const Op*> result;
  for (const auto& op : function.body.ops) {
    const bool known = op->type == "constexpr_affine_dequantize" || op->type == "constexpr_blockwise_shift_scale" ||
                       op->type == "constexpr_lut_to_dense" || op->type == "constexpr_sparse_to_dense";
    if (known && inputs_constant(*op)) result.insert(op.get());
  }
  const auto drop = [&](const Var* var) {
    if (var->producer != nullptr) result.erase(var->producer);
  };
  for (const Var* output : function.body.outputs) drop(output);
  for_each_op(function.body, [&](const Op& op) {
    for (const auto& inner : op.blocks) {
      for (const Var* output : inner->outputs) drop(output);
    }
    const bool product = op.type == "conv" || op.type == "linear";
    for (const Argument& argument : op.inputs) {
      if ((product && argument.name == "weight") || (op.type == "gather" && argument.name == "x")) continue;
      for (const Binding& binding : argument.bindings) {
        if (const auto* var = std::get_if<Var*>(&binding)) drop(*var);
      }
    }
  });
  return result;
}

// `concrete`: extents are those of the run, not of a default shape that a file declares.
void fold_constants(Function& function, std::size_t max_bytes, bool concrete, bool keep_compressed) {
  const auto kept = keep_compressed ? compressed_weights(function) : std::unordered_set<const Op*>();
  for (const auto& op : function.body.ops) {
    if (op->type == "const" || op->def == nullptr) continue;
    if (concrete) infer_blocks(*op);
    const std::vector<Type> types = infer_types(*op);
    for (std::size_t i = 0; i < types.size(); ++i) {
      const TensorType* inferred = types[i].as<TensorType>();
      const TensorType* declared = op->outputs[i]->type.as<TensorType>();
      // What the arguments say now is never vaguer than what was declared, save for extents that only the file knows.
      if (inferred == nullptr || declared == nullptr || !inferred->dims || all_known(*inferred->dims) || !shape_of(*declared)) {
        op->outputs[i]->type = types[i];
      }
    }
    if (kept.count(op.get()) != 0) continue;
    if (op->def->pure && op->blocks.empty() && inputs_constant(*op) && (op->def->constexpr_op || fits(types, max_bytes)))
      fold(*op);
    if (concrete && op->type == "shape") fold_shape(*op);
  }
  bind_constants(function.body);
  pass::remove_dead(function);
}

}  // namespace

void fold_constants(Function& function, std::size_t max_bytes, bool keep_compressed) {
  fold_constants(function, max_bytes, false, keep_compressed);
}

std::unique_ptr<Function> specialize(const Function& function, std::span<const Type> inputs, bool keep_compressed) {
  auto copy = clone(function);
  for (std::size_t i = 0; i < copy->inputs.size(); ++i) copy->inputs[i]->type = inputs[i];
  return within([&] { return fmt::format("function '{}'", function.name); },
                [&] {
                  // Extents that the file declares for a default shape do not bind a run at another shape; those of custom
                  // layers are all that is known.
                  for (const auto& op : copy->body.ops) {
                    if (op->def == nullptr || op->def->unknown_arguments) continue;
                    for (const auto& output : op->outputs) {
                      if (const auto* tensor = output->type.as<TensorType>();
                          tensor != nullptr && tensor->dims && output->constant == nullptr) {
                        output->type = Type(tensor->dtype, Dims(tensor->dims->size(), Dim::unknown()));
                      }
                    }
                  }
                  fold_constants(*copy, max_folded_bytes, true, keep_compressed);
                  return std::move(copy);
                });
}

}  // namespace tl::plan
