#include "format/spec_program.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/checked.hpp"

namespace tl::format {

using namespace ir;
namespace mil = spec::MILSpec;

namespace {

constexpr int max_depth = 100;

Dim read_dim(const mil::Dimension& message) {
  if (message.has_constant()) return checked_cast<std::int64_t>(message.constant().size(), "extent");
  return Dim::unknown();
}

Type read_type(const mil::ValueType& message, int depth) {
  if (depth > max_depth) fail(ErrorKind::limit, "types are nested over {} deep", max_depth);
  const auto shared = [&](const mil::ValueType& inner) { return std::make_shared<const Type>(read_type(inner, depth + 1)); };
  switch (message.type_case()) {
    case mil::ValueType::kTensorType: {
      const mil::TensorType& tensor = message.tensortype();
      const auto dtype = dtype_from_proto(tensor.datatype());
      if (!dtype) fail(ErrorKind::bad_model, "unknown data type {}", static_cast<int>(tensor.datatype()));
      if (tensor.rank() < 0) return TensorType{*dtype, std::nullopt};
      if (tensor.rank() != tensor.dimensions_size()) {
        fail(ErrorKind::bad_model, "a tensor type of rank {} lists {} dimensions", tensor.rank(), tensor.dimensions_size());
      }
      Dims dims;
      for (const auto& dim : tensor.dimensions()) {
        if (dim.has_unknown() && dim.unknown().variadic()) return TensorType{*dtype, std::nullopt};
        dims.push_back(read_dim(dim));
      }
      return {*dtype, std::move(dims)};
    }
    case mil::ValueType::kListType: return ListType{shared(message.listtype().type()), read_dim(message.listtype().length())};
    case mil::ValueType::kTupleType: {
      TupleType tuple;
      for (const auto& element : message.tupletype().types()) tuple.elements.push_back(read_type(element, depth + 1));
      return tuple;
    }
    case mil::ValueType::kDictionaryType:
      return DictType{shared(message.dictionarytype().keytype()), shared(message.dictionarytype().valuetype())};
    case mil::ValueType::kStateType: return StateType{shared(message.statetype().wrappedtype())};
    case mil::ValueType::TYPE_NOT_SET: break;
  }
  fail(ErrorKind::bad_model, "a type is missing");
}

template <class T, class Values>
Tensor numbers(DType dtype, const Shape& shape, const Values& values) {
  const std::int64_t count = element_count(shape);
  if (count != values.size()) fail(ErrorKind::bad_model, "{} values are given for shape {}", values.size(), to_string(shape));
  Tensor wide(dtype_of<T>::value, shape);
  auto out = wide.template mutable_values<T>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(values.Get(static_cast<int>(i)));
  return wide.cast(dtype);
}

Tensor read_tensor(const mil::TensorValue& message, DType dtype, const Shape& shape) {
  switch (message.value_case()) {
    case mil::TensorValue::kFloats: return numbers<float>(dtype, shape, message.floats().values());
    case mil::TensorValue::kDoubles: return numbers<double>(dtype, shape, message.doubles().values());
    case mil::TensorValue::kInts:
      // The field is signed: unsigned types keep their bits in it.
      if (dtype == DType::u32) return numbers<std::uint32_t>(dtype, shape, message.ints().values());
      return numbers<std::int32_t>(dtype, shape, message.ints().values());
    case mil::TensorValue::kLongInts:
      if (dtype == DType::u64) return numbers<std::uint64_t>(dtype, shape, message.longints().values());
      return numbers<std::int64_t>(dtype, shape, message.longints().values());
    case mil::TensorValue::kBools: return numbers<bool>(dtype, shape, message.bools().values());
    case mil::TensorValue::kStrings: {
      if (dtype != DType::string) fail(ErrorKind::bad_model, "text is given for {}", name(dtype));
      const auto& values = message.strings().values();
      if (element_count(shape) != values.size())
        fail(ErrorKind::bad_model, "{} strings are given for shape {}", values.size(), to_string(shape));
      return Tensor::of_strings(shape, {values.begin(), values.end()});
    }
    case mil::TensorValue::kBytes: {
      const std::string& bytes = message.bytes().values();
      if (dtype == DType::string) fail(ErrorKind::bad_model, "bytes are given for text");
      const std::size_t expected = packed_bytes(dtype, element_count(shape));
      if (bytes.size() != expected)
        fail(ErrorKind::bad_model, "{} bytes are given, {} of {} need {}", bytes.size(), to_string(shape), name(dtype),
             expected);
      const bool flags = dtype == DType::boolean;
      Tensor tensor(flags ? DType::u8 : dtype, shape);
      if (expected != 0) std::memcpy(tensor.mutable_data(), bytes.data(), expected);
      return flags ? tensor.cast(dtype) : tensor;
    }
    case mil::TensorValue::VALUE_NOT_SET:
      if (element_count(shape) == 0) return {dtype, shape};
      fail(ErrorKind::bad_model, "a constant of shape {} has no value", to_string(shape));
  }
  fail(ErrorKind::bad_model, "a constant has no value");
}

class Reader {
 public:
  explicit Reader(const BlobReader& blobs) : blobs_(blobs) {}

  ConstantPtr constant(const mil::Value& message, int depth = 0) const {
    auto result = std::make_shared<Constant>();
    result->type = read_type(message.type(), 0);
    if (message.has_blobfilevalue()) {
      const auto shape = shape_of(result->type.tensor());
      if (!shape) fail(ErrorKind::bad_model, "a weight without a fixed shape");
      result->blob = BlobRef{message.blobfilevalue().filename(), message.blobfilevalue().offset()};
      result->value = blobs_(*result->blob, result->type.tensor().dtype, *shape);
    } else {
      result->value = immediate(message, result->type, depth);
    }
    return result;
  }

  void block(const mil::Block& message, Block& block, int depth) {
    if (depth > max_depth) fail(ErrorKind::limit, "blocks are nested over {} deep", max_depth);
    scopes_.emplace_back();
    block.attributes = attributes(message.attributes());
    for (const auto& input : message.inputs()) block.params.push_back(define(input));
    block.ops.reserve(static_cast<std::size_t>(message.operations_size()));
    for (const auto& op : message.operations()) block.ops.push_back(operation(op, depth));
    for (const std::string& output : message.outputs()) block.outputs.push_back(find(output));
    scopes_.pop_back();
  }

  std::unique_ptr<Function> function(const std::string& name, const mil::Function& message) {
    auto function = std::make_unique<Function>();
    function->name = name;
    function->opset = opset_from_spec(message.opset());
    function->attributes = attributes(message.attributes());
    scopes_.emplace_back();
    for (const auto& input : message.inputs()) function->inputs.push_back(define(input));
    const auto found = message.block_specializations().find(message.opset());
    if (found == message.block_specializations().end())
      fail(ErrorKind::bad_model, "no block for the opset '{}'", message.opset());
    block(found->second, function->body, 0);
    scopes_.pop_back();
    return function;
  }

  template <class Map>
  Attributes attributes(const Map& map) const {
    Attributes result;
    for (const auto& [name, value] : map) {
      result.emplace_back(name, within([&, &key = name] { return fmt::format("attribute '{}'", key); },
                                       [&, &v = value] { return constant(v); }));
    }
    std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    return result;
  }

 private:
  Value immediate(const mil::Value& message, const Type& type, int depth) const {
    if (depth > max_depth) fail(ErrorKind::limit, "values are nested over {} deep", max_depth);
    const auto& value = message.immediatevalue();
    if (value.has_list() || value.has_tuple()) {
      List list;
      for (const auto& item : value.has_list() ? value.list().values() : value.tuple().values())
        list.items.push_back(constant(item, depth + 1)->value);
      return list;
    }
    if (value.has_dictionary()) {
      Dict dict;
      for (const auto& pair : value.dictionary().values()) {
        dict.items.emplace_back(constant(pair.key(), depth + 1)->value, constant(pair.value(), depth + 1)->value);
      }
      return dict;
    }
    const auto shape = shape_of(type.tensor());
    if (!shape) fail(ErrorKind::bad_model, "a constant without a fixed shape");
    return read_tensor(value.tensor(), type.tensor().dtype, *shape);
  }

  std::unique_ptr<Var> define(const mil::NamedValueType& message) {
    auto var = std::make_unique<Var>();
    var->name = message.name();
    var->type = within([&] { return fmt::format("value '{}'", message.name()); }, [&] { return read_type(message.type(), 0); });
    if (!scopes_.back().emplace(var->name, var.get()).second)
      fail(ErrorKind::bad_model, "value '{}' is defined twice", var->name);
    return var;
  }

  Var* find(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    }
    fail(ErrorKind::bad_model, "value '{}' is not defined", name);
  }

  std::unique_ptr<Op> operation(const mil::Operation& message, int depth) {
    auto op = std::make_unique<Op>();
    op->type = message.type();
    const std::string label = message.outputs_size() > 0 ? message.outputs(0).name() : message.type();
    within([&] { return fmt::format("op '{}' ({})", label, message.type()); },
           [&] {
             op->attributes = attributes(message.attributes());
             for (const auto& [name, argument] : message.inputs()) {
               Argument& target = op->inputs.emplace_back();
               target.name = name;
               for (const auto& binding : argument.arguments()) {
                 if (binding.has_value()) {
                   target.bindings.emplace_back(constant(binding.value()));
                 } else {
                   target.bindings.emplace_back(find(binding.name()));
                 }
               }
             }
             // Older constexpr ops keep their operands among the attributes.
             if (op->type.rfind("constexpr_", 0) == 0) {
               for (auto& [name, value] : op->attributes) {
                 if (name != "name" && op->argument(name) == nullptr) op->inputs.push_back({name, {value}});
               }
               std::erase_if(op->attributes, [](const auto& attribute) { return attribute.first != "name"; });
             }
             std::sort(op->inputs.begin(), op->inputs.end(),
                       [](const Argument& a, const Argument& b) { return a.name < b.name; });
             for (const auto& inner : message.blocks()) {
               op->blocks.push_back(std::make_unique<Block>());
               block(inner, *op->blocks.back(), depth + 1);
             }
             for (const auto& output : message.outputs()) {
               op->outputs.push_back(define(output));
               op->outputs.back()->producer = op.get();
             }
             if (op->type == "const") {
               const ConstantPtr value = op->attribute("val");
               if (value == nullptr || op->outputs.size() != 1)
                 fail(ErrorKind::bad_model, "a const op needs a value and one output");
               op->outputs[0]->constant = value;
             }
           });
    return op;
  }

  const BlobReader& blobs_;
  std::vector<std::unordered_map<std::string, Var*>> scopes_;
};

}  // namespace

std::unique_ptr<Program> read_program(const mil::Program& message, const BlobReader& blobs) {
  auto program = std::make_unique<Program>();
  program->version = message.version();
  Reader reader(blobs);
  program->attributes = reader.attributes(message.attributes());
  std::vector<std::string> names;
  for (const auto& [name, function] : message.functions()) names.push_back(name);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    within([&] { return fmt::format("function '{}'", name); },
           [&] { program->functions.push_back(reader.function(name, message.functions().at(name))); });
  }
  return program;
}

}  // namespace tl::format
