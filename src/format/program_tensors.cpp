#include <algorithm>
#include <bit>
#include <set>
#include <unordered_set>

#include "base/checked.hpp"
#include "format/spec_model.hpp"
#include "format/stored_tensors.hpp"
#include "ir/op_def.hpp"

namespace tl::format {

using namespace ir;

namespace {

using Reader = std::function<Tensor()>;

constexpr std::int64_t smallest_immediate = 10;  // shorter constants are parameters, not weights

bool is_constexpr(const Op& op) { return op.type.rfind("constexpr_", 0) == 0; }

// A chain of constexpr ops is short: indices, their palette, its scales.
constexpr int max_chain = 8;

Reader reader_of(const Binding& binding, int depth = 0);

// Runs a chain of constexpr ops when it is read; holds literals only, so that it outlives the program.
Reader reader_of(const Op& op, std::size_t output, int depth = 0) {
  if (depth > max_chain) fail(ErrorKind::limit, "constexpr ops are chained over {} deep", max_chain);
  std::vector<std::pair<std::string, Reader>> arguments;
  arguments.reserve(op.inputs.size());
  for (const Argument& argument : op.inputs) {
    arguments.emplace_back(argument.name, reader_of(argument.bindings.front(), depth + 1));
  }
  return [type = op.type, arguments = std::move(arguments), output] {
    std::vector<std::pair<std::string, Value>> inputs;
    for (const auto& [name, read] : arguments) inputs.emplace_back(name, read());
    return eager(type, std::move(inputs)).at(output).tensor();
  };
}

Reader reader_of(const Binding& binding, int depth) {
  if (const ConstantPtr constant = constant_of(binding)) return [constant] { return constant->value.tensor(); };
  const Var* var = std::get<Var*>(binding);
  if (var->producer == nullptr || !is_constexpr(*var->producer)) {
    fail(ErrorKind::bad_model, "'{}' is an operand of a constexpr op and no constant", var->name);
  }
  for (std::size_t i = 0; i < var->producer->outputs.size(); ++i) {
    if (var->producer->outputs[i].get() == var) return reader_of(*var->producer, i, depth);
  }
  fail(ErrorKind::internal, "'{}' is no output of its op", var->name);
}

const TensorType* operand_type(const Op& op, std::string_view name) {
  const Argument* argument = op.argument(name);
  return argument == nullptr || argument->bindings.empty() ? nullptr : type_of(argument->bindings.front()).as<TensorType>();
}

std::string plain_storage(DType dtype) {
  switch (info(dtype).kind) {
    case DTypeKind::floating:
      return dtype == DType::bf16     ? "BF16"
             : dtype == DType::f8e4m3 ? "F8_E4M3"
             : dtype == DType::f8e5m2 ? "F8_E5M2"
                                      : fmt::format("F{}", bits(dtype));
    case DTypeKind::signed_integer: return fmt::format("I{}", bits(dtype));
    case DTypeKind::unsigned_integer: return fmt::format("U{}", bits(dtype));
    case DTypeKind::boolean: return "BOOL";
    case DTypeKind::string: return "STRING";
  }
  return "";
}

std::string storage_of(const Op& op) {
  if (const TensorType* source = operand_type(op, "source_val")) return plain_storage(source->dtype);
  if (op.type.find("sparse") != std::string::npos) return "S";
  if (op.type == "constexpr_lut_to_dense") {
    const TensorType* indices = operand_type(op, "indices");
    if (indices != nullptr && is_sub_byte(indices->dtype)) return fmt::format("P{}", bits(indices->dtype));
    // The older form packs its indices into bytes: the palette's length tells their width.
    const TensorType* lut = operand_type(op, "lut");
    const auto shape = lut == nullptr ? std::nullopt : shape_of(*lut);
    if (!shape || shape->empty()) return "P8";
    const std::int64_t entries = shape->size() == 1 ? shape->front() : (*shape)[shape->size() - 2];
    return fmt::format("P{}", std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(entries, 2) - 1)));
  }
  for (const char* name : {"quantized_data", "data"}) {
    if (const TensorType* data = operand_type(op, name)) return fmt::format("W{}", bits(data->dtype));
  }
  const TensorType& type = op.outputs[0]->type.tensor();
  return std::string(name(type.dtype)).substr(0, 2) == "fp" ? fmt::format("F{}", bits(type.dtype))
                                                            : std::string(name(type.dtype));
}

std::uint64_t stored_bytes(const Op& op, int depth = 0) {
  std::uint64_t total = 0;
  if (depth > max_chain) return total;
  for (const Argument& argument : op.inputs) {
    for (const Binding& binding : argument.bindings) {
      if (const ConstantPtr constant = constant_of(binding)) {
        total += constant->value.tensor().bytes();
      } else if (const Var* var = std::get<Var*>(binding); var->producer != nullptr && is_constexpr(*var->producer)) {
        total += stored_bytes(*var->producer, depth + 1);
      }
    }
  }
  return total;
}

void collect(const Block& block, std::vector<StoredTensor>& tensors) {
  std::unordered_set<const Var*> operands;  // parts of a compressed weight
  for_each_op(block, [&](const Op& op) {
    if (!is_constexpr(op)) return;
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) {
        if (const auto* var = std::get_if<Var*>(&binding)) operands.insert(*var);
      }
    }
  });
  for_each_op(block, [&](const Op& op) {
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
      const Var& var = *op.outputs[i];
      if (operands.count(&var) != 0) continue;
      if (is_constexpr(op)) {
        const auto shape = shape_of(var.type.tensor());
        if (!shape) continue;
        tensors.push_back({var.name, *shape, storage_of(op), stored_bytes(op), reader_of(op, i)});
      } else if (op.type == "const" && var.constant != nullptr && var.constant->value.is_tensor()) {
        const Tensor& value = var.constant->value.tensor();
        if (value.dtype() == DType::string || (!var.constant->blob && value.size() < smallest_immediate)) continue;
        tensors.push_back(
            {var.name, value.shape(), plain_storage(value.dtype()), value.bytes(), reader_of(Binding(var.constant))});
      }
    }
    // Weights that are bound without a name of their own are listed under their op and parameter.
    if (is_constexpr(op)) return;
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) {
        const auto* constant = std::get_if<ConstantPtr>(&binding);
        if (constant == nullptr || !(*constant)->blob) continue;
        const Tensor& value = (*constant)->value.tensor();
        tensors.push_back(
            {op.label() + "." + argument.name, value.shape(), plain_storage(value.dtype()), value.bytes(), reader_of(binding)});
      }
    }
  });
}

// Weights of 8 bits between ops that quantize their inputs as well.
bool quantizes_activations(const Program& program) {
  for (const auto& function : program.functions) {
    for (const auto& op : function->body.ops) {
      if (op->type != "quantize") continue;
      const Argument* input = op->argument("input");
      if (input != nullptr && constant_of(input->bindings.front()) == nullptr) return true;
    }
  }
  return false;
}

// Programs without weights are named after the type that they compute in.
std::string computed_type(const Program& program) {
  for (const auto& function : program.functions) {
    for (const auto& op : function->body.ops) {
      for (const auto& output : op->outputs) {
        const auto* type = output->type.as<TensorType>();
        if (op->type != "const" && op->type != "cast" && type != nullptr && is_floating(type->dtype))
          return plain_storage(type->dtype);
      }
    }
  }
  return "";
}

void read_labels(const Program& program, ModelInfo& info) {
  for (const auto& function : program.functions) {
    for_each_op(function->body, [&](const Op& op) {
      const bool samples = op.type == "tl.nearest_neighbors";  // a label for each
      const Argument* classes = op.type == "classify" ? op.argument("classes") : samples ? op.argument("labels") : nullptr;
      const ConstantPtr constant = classes == nullptr ? nullptr : constant_of(classes->bindings.front());
      if (constant == nullptr) return;
      std::vector<Tensor> parts;
      if (constant->value.is_tensor()) parts.push_back(constant->value.tensor());
      if (constant->value.is_list()) {
        for (const Value& item : constant->value.list().items) parts.push_back(item.tensor());
      }
      info.string_labels.clear();
      info.integer_labels.clear();
      std::set<std::string> seen;
      for (const Tensor& part : parts) {
        for (std::int64_t i = 0; i < part.size(); ++i) {
          const bool text = part.dtype() == DType::string;
          if (samples && !seen.insert(text ? part.strings()[uz(i)] : std::to_string(part.integer_at(i))).second) continue;
          if (text) {
            info.string_labels.push_back(part.strings()[uz(i)]);
          } else {
            info.integer_labels.push_back(part.integer_at(i));
          }
        }
      }
    });
  }
}

}  // namespace

void list_program_tensors(ir::Model& model) {
  model.tensors.clear();
  for (const auto& function : model.program->functions) {
    for_each_op(function->body, [](const Op& op) {
      for (const Argument& argument : op.inputs) {
        if (argument.bindings.empty()) fail(ErrorKind::bad_model, "op '{}': {} has no value", op.label(), argument.name);
      }
    });
  }
  for (const auto& function : model.program->functions) collect(function->body, model.tensors);
  sort_by_name(model.tensors);
  const auto same = [](const StoredTensor& a, const StoredTensor& b) { return a.name == b.name; };
  model.tensors.erase(std::unique(model.tensors.begin(), model.tensors.end(), same), model.tensors.end());
  model.info.quantization = model.tensors.empty() ? computed_type(*model.program) : majority_storage(model.tensors);
  if (model.info.quantization == "W8" && quantizes_activations(*model.program)) model.info.quantization = "W8A8";
  read_labels(*model.program, model.info);
}

}  // namespace tl::format
