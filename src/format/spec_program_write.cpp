#include <array>

#include "base/checked.hpp"
#include "format/spec_program.hpp"

namespace tl::format {

using namespace ir;
namespace mil = spec::MILSpec;

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> opsets = {
    {{"CoreML5", "ios15"}, {"CoreML6", "ios16"}, {"CoreML7", "ios17"}, {"CoreML8", "ios18"}, {"CoreML9", "ios26"}}};

void write_dim(Dim dim, mil::Dimension& message) {
  if (dim.known()) {
    message.mutable_constant()->set_size(static_cast<std::uint64_t>(dim.extent()));
  } else {
    message.mutable_unknown()->set_variadic(false);
  }
}

void write_type(const Type& type, mil::ValueType& message) {
  if (const auto* tensor = type.as<TensorType>()) {
    mil::TensorType& target = *message.mutable_tensortype();
    target.set_datatype(static_cast<mil::DataType>(info(tensor->dtype).proto));
    target.set_rank(tensor->dims ? iz(tensor->dims->size()) : -1);
    if (!tensor->dims) return;
    for (const Dim dim : *tensor->dims) write_dim(dim, *target.add_dimensions());
  } else if (const auto* list = type.as<ListType>()) {
    write_type(*list->element, *message.mutable_listtype()->mutable_type());
    write_dim(list->length, *message.mutable_listtype()->mutable_length());
  } else if (const auto* tuple = type.as<TupleType>()) {
    for (const Type& element : tuple->elements) write_type(element, *message.mutable_tupletype()->add_types());
  } else if (const auto* dict = type.as<DictType>()) {
    write_type(*dict->key, *message.mutable_dictionarytype()->mutable_keytype());
    write_type(*dict->value, *message.mutable_dictionarytype()->mutable_valuetype());
  } else if (const auto* state = type.as<StateType>()) {
    write_type(*state->wrapped, *message.mutable_statetype()->mutable_wrappedtype());
  } else {
    fail(ErrorKind::unsupported, "the type {} has no place in a package", to_string(type));
  }
}

template <class T, class Field>
void append(const Tensor& tensor, Field& field) {
  field.Reserve(checked_cast<int>(tensor.size(), "number of values"));
  const Tensor wide = tensor.cast(dtype_of<T>::value);
  for (const T value : wide.values<T>()) field.Add(value);
}

void write_tensor(const Tensor& tensor, mil::TensorValue& message) {
  switch (tensor.dtype()) {
    case DType::boolean: append<bool>(tensor, *message.mutable_bools()->mutable_values()); break;
    case DType::f32: append<float>(tensor, *message.mutable_floats()->mutable_values()); break;
    case DType::f64: append<double>(tensor, *message.mutable_doubles()->mutable_values()); break;
    case DType::i16:
    case DType::u16:
    case DType::i32: append<std::int32_t>(tensor, *message.mutable_ints()->mutable_values()); break;
    case DType::u32:
      // The field is signed: the bits are kept.
      for (const std::uint32_t value : tensor.values<std::uint32_t>())
        message.mutable_ints()->add_values(static_cast<std::int32_t>(value));
      break;
    case DType::i64: append<std::int64_t>(tensor, *message.mutable_longints()->mutable_values()); break;
    case DType::u64:
      for (const std::uint64_t value : tensor.values<std::uint64_t>())
        message.mutable_longints()->add_values(static_cast<std::int64_t>(value));
      break;
    case DType::string:
      for (const std::string& text : tensor.strings()) message.mutable_strings()->add_values(text);
      if (tensor.size() == 0) message.mutable_strings();
      break;
    default: message.mutable_bytes()->set_values(tensor.data(), tensor.bytes()); break;
  }
}

void write_value(const Value& value, const Type& type, mil::Value& message);

Type element_type(const Type& type, std::size_t i, const Value& item) {
  if (const auto* list = type.as<ListType>()) return *list->element;
  if (const auto* tuple = type.as<TupleType>(); tuple != nullptr && i < tuple->elements.size()) return tuple->elements[i];
  return {item.tensor().dtype(), dims_of(item.tensor().shape())};
}

void write_immediate(const Value& value, const Type& type, mil::Value::ImmediateValue& message) {
  if (value.is_tensor()) {
    write_tensor(value.tensor(), *message.mutable_tensor());
  } else if (value.is_list()) {
    const auto& items = value.list().items;
    const bool tuple = type.as<TupleType>() != nullptr;
    if (!tuple) message.mutable_list();
    for (std::size_t i = 0; i < items.size(); ++i) {
      write_value(items[i], element_type(type, i, items[i]),
                  tuple ? *message.mutable_tuple()->add_values() : *message.mutable_list()->add_values());
    }
  } else {
    const auto* dict = type.as<DictType>();
    if (dict == nullptr) fail(ErrorKind::bad_model, "a dictionary of type {}", to_string(type));
    message.mutable_dictionary();
    for (const auto& [key, item] : value.dict().items) {
      auto& pair = *message.mutable_dictionary()->add_values();
      write_value(key, *dict->key, *pair.mutable_key());
      write_value(item, *dict->value, *pair.mutable_value());
    }
  }
}

void write_value(const Value& value, const Type& type, mil::Value& message) {
  write_type(type, *message.mutable_type());
  write_immediate(value, type, *message.mutable_immediatevalue());
}

void write_constant(const Constant& constant, mil::Value& message) {
  if (!constant.blob) return write_value(constant.value, constant.type, message);
  write_type(constant.type, *message.mutable_type());
  message.mutable_blobfilevalue()->set_filename(constant.blob->file);
  message.mutable_blobfilevalue()->set_offset(constant.blob->offset);
}

template <class Map>
void write_attributes(const Attributes& attributes, Map& map) {
  for (const auto& [name, value] : attributes) write_constant(*value, map[name]);
}

void write_var(const Var& var, mil::NamedValueType& message) {
  message.set_name(var.name);
  write_type(var.type, *message.mutable_type());
}

// The constexpr ops of iOS 16 keep their operands among the attributes; those of iOS 18 take arguments.
bool operands_are_attributes(const Op& op) {
  if (op.type == "constexpr_affine_dequantize" || op.type == "constexpr_cast") return true;
  return (op.type == "constexpr_lut_to_dense" || op.type == "constexpr_sparse_to_dense") && op.argument("shape") != nullptr;
}

void write_block(const Block& block, mil::Block& message);

void write_op(const Op& op, mil::Operation& message) {
  message.set_type(op.type);
  write_attributes(op.attributes, *message.mutable_attributes());
  if (op.attribute("name") == nullptr) write_constant(*make_constant(op.label()), (*message.mutable_attributes())["name"]);
  if (op.type == "const" && op.attribute("val") == nullptr) {
    if (op.outputs.size() != 1 || op.outputs[0]->constant == nullptr) fail(ErrorKind::bad_model, "a const op without a value");
    write_constant(*op.outputs[0]->constant, (*message.mutable_attributes())["val"]);
  }
  const bool as_attributes = operands_are_attributes(op);
  for (const Argument& argument : op.inputs) {
    if (as_attributes) {
      const ConstantPtr constant = constant_of(argument.bindings.at(0));
      if (constant == nullptr) fail(ErrorKind::bad_model, "{}: must be a constant", argument.name);
      write_constant(*constant, (*message.mutable_attributes())[argument.name]);
      continue;
    }
    mil::Argument& target = (*message.mutable_inputs())[argument.name];
    for (const Binding& binding : argument.bindings) {
      if (const auto* var = std::get_if<Var*>(&binding)) {
        target.add_arguments()->set_name((*var)->name);
      } else {
        write_constant(*std::get<ConstantPtr>(binding), *target.add_arguments()->mutable_value());
      }
    }
  }
  for (const auto& inner : op.blocks) write_block(*inner, *message.add_blocks());
  for (const auto& output : op.outputs) write_var(*output, *message.add_outputs());
}

void write_block(const Block& block, mil::Block& message) {
  write_attributes(block.attributes, *message.mutable_attributes());
  for (const auto& param : block.params) write_var(*param, *message.add_inputs());
  for (const auto& op : block.ops) {
    within([&] { return fmt::format("op '{}' ({})", op->label(), op->type); },
           [&] { write_op(*op, *message.add_operations()); });
  }
  for (const Var* output : block.outputs) message.add_outputs(output->name);
}

}  // namespace

std::string opset_from_spec(const std::string& name) {
  for (const auto& [spec, ios] : opsets) {
    if (name == spec) return std::string(ios);
  }
  return name;
}

std::string opset_to_spec(const std::string& name) {
  for (const auto& [spec, ios] : opsets) {
    if (name == ios) return std::string(spec);
  }
  return name;
}

void write_program(const Program& program, mil::Program& message) {
  message.set_version(program.version);
  write_attributes(program.attributes, *message.mutable_attributes());
  for (const auto& function : program.functions) {
    within([&] { return fmt::format("function '{}'", function->name); },
           [&] {
             mil::Function& target = (*message.mutable_functions())[function->name];
             for (const auto& input : function->inputs) write_var(*input, *target.add_inputs());
             const std::string opset = opset_to_spec(function->opset);
             target.set_opset(opset);
             write_attributes(function->attributes, *target.mutable_attributes());
             write_block(function->body, (*target.mutable_block_specializations())[opset]);
           });
  }
}

}  // namespace tl::format
