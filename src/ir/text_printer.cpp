#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/checked.hpp"
#include "base/elements.hpp"
#include "ir/text.hpp"
#include "ir/text_scanner.hpp"

namespace tl::ir {
namespace {

std::string text_literal(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (result += '\\') += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string name_text(const std::string& name) { return is_text_name(name) ? name : text_literal(name); }

// Literals print floats in hexadecimal, items of containers in decimal.
std::string real_text(double value, bool hex, DType dtype) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const int digits = dtype == DType::f64 ? 17 : dtype == DType::f32 ? 9 : 5;
  const auto end =
      hex ? std::to_chars(buffer, buffer + sizeof(buffer), std::fabs(value), std::chars_format::hex).ptr
          : std::to_chars(buffer, buffer + sizeof(buffer), std::fabs(value), std::chars_format::general, digits).ptr;
  return std::string(std::signbit(value) ? "-" : "") + (hex ? "0x" : "") + std::string(buffer, end);
}

class Printer {
 public:
  Printer(const TextStyle& style, const PrintOptions& options) : style_(style), options_(options) {}

  std::string program(const Program& program) {
    out_ = "program(" + style_.version + ")\n";
    if (!program.attributes.empty()) {
      attributes(program.attributes);
      out_ += '\n';
    }
    out_ += "{\n";
    for (const auto& item : program.functions) function(*item);
    out_ += style_.final_newline ? "}\n" : "}";
    return std::move(out_);
  }

 private:
  void function(const Function& function) {
    opset_ = function.opset;
    out_ += "    func " + name_text(function.name) + "<" + name_text(function.opset) + ">(";
    parameters(function.inputs, {});
    out_ += ") ";
    if (!function.attributes.empty()) {
      attributes(function.attributes);
      out_ += ' ';
    }
    body(function.body, 8);
  }

  void parameters(const std::vector<std::unique_ptr<Var>>& vars, const std::vector<Binding>& starts) {
    for (std::size_t i = 0; i < vars.size(); ++i) {
      if (i != 0) out_ += ", ";
      variable(*vars[i]);
      if (i < starts.size()) {
        out_ += " = ";
        binding(starts[i]);
      }
    }
  }

  void variable(const Var& var) {
    type(var.type);
    out_ += ' ' + name_text(var.name);
  }

  void body(const Block& block, std::size_t indent) {
    out_ += "{\n";
    for (const auto& op : block.ops) operation(*op, indent + 4);
    out_ += std::string(indent, ' ') + "} -> (";
    for (std::size_t i = 0; i < block.outputs.size(); ++i) out_ += (i == 0 ? "" : ", ") + name_text(block.outputs[i]->name);
    out_ += ");\n";
  }

  void operation(const Op& op, std::size_t indent) {
    out_ += std::string(indent, ' ');
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
      if (i != 0) out_ += ", ";
      variable(*op.outputs[i]);
    }
    if (!op.outputs.empty()) out_ += " = ";
    out_ += name_text(op.type);
    if (!op.opset.empty()) out_ += "<" + name_text(op.opset) + ">";
    out_ += '(';
    Attributes attributes_of_op = op.attributes;
    const bool literal = std::all_of(op.inputs.begin(), op.inputs.end(), [](const Argument& argument) {
      return argument.bindings.size() == 1 && std::holds_alternative<ConstantPtr>(argument.bindings[0]);
    });
    if (literal && operands_are_attributes(op.type, op.opset.empty() ? opset_ : op.opset)) {
      for (const Argument& argument : op.inputs)
        attributes_of_op.emplace_back(argument.name, std::get<ConstantPtr>(argument.bindings[0]));
      std::sort(attributes_of_op.begin(), attributes_of_op.end(),
                [](const auto& a, const auto& b) { return a.first < b.first; });
    } else {
      arguments(op);
    }
    out_ += ')';
    if (!attributes_of_op.empty()) attributes(attributes_of_op);
    if (!op.blocks.empty()) {
      out_ += " {\n";
      for (std::size_t i = 0; i < op.blocks.size(); ++i) {
        const Block& block = *op.blocks[i];
        out_ += std::string(indent + 4, ' ') + "block" + std::to_string(i) + "(";
        parameters(block.params, block.param_bindings);
        out_ += ") ";
        if (!block.attributes.empty()) {
          attributes(block.attributes);
          out_ += ' ';
        }
        body(block, indent + 4);
      }
      out_ += std::string(indent, ' ') + "}";
    }
    out_ += ";\n";
  }

  void arguments(const Op& op) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const Argument& argument = op.inputs[i];
      if (i != 0) out_ += ", ";
      out_ += name_text(argument.name) + " = ";
      const bool single = argument.bindings.size() == 1 && argument.name != "values";
      if (!single) out_ += '(';
      for (std::size_t j = 0; j < argument.bindings.size(); ++j) {
        if (j != 0) out_ += ", ";
        binding(argument.bindings[j]);
      }
      if (!single) out_ += ')';
    }
  }

  void binding(const Binding& binding) {
    if (const auto* var = std::get_if<Var*>(&binding)) {
      out_ += name_text((*var)->name);
    } else {
      literal(*std::get<ConstantPtr>(binding));
    }
  }

  void attributes(const Attributes& list) {
    out_ += '[';
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i != 0) out_ += ", ";
      out_ += name_text(list[i].first) + " = ";
      literal(*list[i].second);
    }
    out_ += ']';
  }

  void literal(const Constant& constant) {
    type(constant.type);
    out_ += '(';
    if (constant.blob) {
      const Type text(DType::string, {});
      const Type number(DType::u64, {});
      out_ += "BLOBFILE(path = ";
      type(text);
      out_ += "(" + text_literal(constant.blob->file) + "), offset = ";
      type(number);
      out_ += "(" + std::to_string(constant.blob->offset) + "))";
    } else {
      value(constant.type, constant.value, true);
    }
    out_ += ')';
  }

  void value(const Type& type, const Value& value_of, bool hex) {
    if (value_of.empty()) {
      out_ += "...";
    } else if (value_of.is_dict()) {
      const auto* dict = type.as<DictType>();
      if (dict == nullptr) fail(ErrorKind::internal, "a dictionary of type {}", to_string(type));
      out_ += '{';
      bool first = true;
      for (const auto& [key, item] : value_of.dict().items) {
        out_ += first ? "{" : ", {";
        first = false;
        value(*dict->key, key, false);
        out_ += ", ";
        value(*dict->value, item, false);
        out_ += '}';
      }
      out_ += '}';
    } else if (value_of.is_list()) {
      const auto* list = type.as<ListType>();
      const auto* tuple = type.as<TupleType>();
      const auto& items = value_of.list().items;
      if (list == nullptr && (tuple == nullptr || tuple->elements.size() != items.size())) {
        fail(ErrorKind::internal, "a list of type {}", to_string(type));
      }
      out_ += list != nullptr ? '[' : '(';
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (i != 0) out_ += ", ";
        value(list != nullptr ? *list->element : tuple->elements[i], items[i], false);
      }
      out_ += list != nullptr ? ']' : ')';
    } else {
      const Tensor& tensor = value_of.tensor();
      if (options_.max_elements >= 0 && tensor.size() > options_.max_elements) {
        out_ += "...";
      } else {
        std::int64_t next = 0;
        elements(tensor, 0, next, hex);
      }
    }
  }

  void elements(const Tensor& tensor, std::size_t axis, std::int64_t& next, bool hex) {
    if (axis == tensor.rank()) {
      element(tensor, next++, hex);
      return;
    }
    out_ += '[';
    for (std::int64_t i = 0; tensor.size() != 0 && i < tensor.dim(axis); ++i) {
      if (i != 0) out_ += ", ";
      elements(tensor, axis + 1, next, hex);
    }
    out_ += ']';
  }

  void element(const Tensor& tensor, std::int64_t index, bool hex) {
    const DType dtype = tensor.dtype();
    if (dtype == DType::string) {
      out_ += text_literal(tensor.strings()[uz(index)]);
    } else if (dtype == DType::boolean) {
      out_ += tensor.integer_at(index) != 0 ? "true" : "false";
    } else if (dtype == DType::u64) {
      out_ += std::to_string(tensor.values<std::uint64_t>()[uz(index)]);
    } else if (is_floating(dtype)) {
      out_ += real_text(tensor.number_at(index), hex, dtype);
    } else {
      out_ += std::to_string(tensor.integer_at(index));
    }
  }

  void type(const Type& t) {
    if (const auto* tensor = t.as<TensorType>()) {
      if (style_.plain_scalars && tensor->dims && tensor->dims->empty()) {
        out_ += name(tensor->dtype);
      } else {
        out_ += to_string(t);
      }
    } else if (const auto* list = t.as<ListType>()) {
      out_ += "list<";
      type(*list->element);
      out_ += ", " + (list->length.known() ? std::to_string(list->length.extent()) : "?") + ">";
    } else if (const auto* dict = t.as<DictType>()) {
      out_ += "dict<";
      type(*dict->key);
      out_ += ", ";
      type(*dict->value);
      out_ += '>';
    } else if (const auto* state = t.as<StateType>()) {
      out_ += "state<";
      type(*state->wrapped);
      out_ += '>';
    } else if (const auto* buffer = t.as<BufferType>()) {
      out_ += fmt::format("tensor_buffer<{}, shape={}, strides={}, interleave_factors={}>", name(buffer->tensor.dtype),
                          buffer->tensor.dims ? to_string(*buffer->tensor.dims) : std::string("[...]"),
                          tl::to_string(buffer->strides), tl::to_string(buffer->interleave_factors));
    } else {
      out_ += "tuple<";
      const auto& items = t.as<TupleType>()->elements;
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (i != 0) out_ += ", ";
        type(items[i]);
      }
      out_ += '>';
    }
  }

  const TextStyle& style_;
  const PrintOptions& options_;
  std::string out_;
  std::string opset_;
};

}  // namespace

std::string print_mil(const Program& program, const PrintOptions& options) {
  return Printer(program.style, options).program(program);
}

}  // namespace tl::ir
