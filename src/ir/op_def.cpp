#include "ir/op_def.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>

namespace tl::ir {
namespace {

std::string accepted(DTypeSet set) {
  std::string text;
  for (int i = 0; i <= static_cast<int>(DType::string); ++i) {
    const auto dtype = static_cast<DType>(i);
    if ((set & dt::of(dtype)) != 0) text += (text.empty() ? "" : ", ") + std::string(name(dtype));
  }
  return text;
}

bool made_by_constexpr(const Binding& binding) {
  const Op* op = std::get<Var*>(binding)->producer;
  return op != nullptr && op->def != nullptr && op->def->constexpr_op;
}

void check_binding(const Param& param, const Binding& binding) {
  const Type& type = type_of(binding);
  if (param.must_be_constant && constant_of(binding) == nullptr && !made_by_constexpr(binding))
    fail(ErrorKind::bad_model, "must be a constant");
  if (param.non_tensor) return;
  if (!type.is_tensor()) fail(ErrorKind::bad_model, "expected a tensor, got {}", to_string(type));
  const DType dtype = type.tensor().dtype;
  if ((param.dtypes & dt::of(dtype)) == 0) {
    fail(ErrorKind::bad_model, "dtype {} is not accepted, only {}", name(dtype), accepted(param.dtypes));
  }
}

void check_arguments(const Op& op) {
  const OpDef& def = *op.def;
  for (const Argument& argument : op.inputs) {
    const Param* param = def.param(argument.name);
    if (param == nullptr) {
      if (def.unknown_arguments) continue;
      throw Error(ErrorKind::bad_model, "no such parameter", argument.name);
    }
    within([&] { return argument.name; },
           [&] {
             if (argument.bindings.empty() || (argument.bindings.size() > 1 && !param->is_variadic)) {
               fail(ErrorKind::bad_model, "{} values given, expected one", argument.bindings.size());
             }
             for (const Binding& binding : argument.bindings) check_binding(*param, binding);
           });
  }
  for (const Param& param : def.params) {
    if (param.required && op.argument(param.name) == nullptr) {
      throw Error(ErrorKind::bad_model, "required parameter is missing", std::string(param.name));
    }
  }
}

template <class T>
std::vector<T> elements(const Tensor& t) {
  if (t.dtype() == DType::string || is_sub_byte(t.dtype())) {
    const Tensor wide = t.cast(dtype_of<T>::value);
    return {wide.values<T>().begin(), wide.values<T>().end()};
  }
  std::vector<T> result(uz(t.size()));
  if (t.dtype() == DType::f16) {
    if constexpr (std::is_same_v<T, float>) {
      f16_to_f32(t.values<f16>().data(), result.data(), result.size());
      return result;
    } else {
      return elements<T>(t.cast(DType::f32));
    }
  }
  visit_dtype(t.dtype(), [&](auto tag) {
    const auto values = t.values<decltype(tag)>();
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = convert_element<T>(values[i]);
  });
  return result;
}

template <class T, class Set>
void store_as(DType dtype, const Shape& shape, std::span<const T> values, Set&& set) {
  Tensor result(dtype, shape);
  if (uz(result.size()) != values.size()) {
    fail(ErrorKind::internal, "{} values computed for shape {}", values.size(), to_string(shape));
  }
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::f16) {
      f32_to_f16(values.data(), result.mutable_values<f16>().data(), values.size());
      return set(std::move(result));
    }
  }
  visit_dtype(dtype, [&](auto tag) {
    auto out = result.mutable_values<decltype(tag)>();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert_element<decltype(tag)>(values[i]);
  });
  set(std::move(result));
}

}  // namespace

const Param* OpDef::param(std::string_view param_name) const noexcept {
  for (const Param& p : params) {
    if (p.name == param_name) return &p;
  }
  return nullptr;
}

const Binding* OpView::binding(std::string_view param, std::size_t i) const {
  const Argument* argument = op_.argument(param);
  return argument == nullptr || i >= argument->bindings.size() ? nullptr : &argument->bindings[i];
}

bool OpView::has(std::string_view param) const {
  if (op_.argument(param) != nullptr) return true;
  const Param* p = def().param(param);
  return p != nullptr && p->fallback.defined();
}

std::size_t OpView::count(std::string_view param) const {
  const Argument* argument = op_.argument(param);
  return argument == nullptr ? 0 : argument->bindings.size();
}

Type OpView::type(std::string_view param, std::size_t i) const {
  if (const Binding* bound = binding(param, i)) return type_of(*bound);
  const Param* p = def().param(param);
  if (p == nullptr || !p->fallback.defined()) reject(param, "required parameter is missing");
  return {p->fallback.dtype(), dims_of(p->fallback.shape())};
}

std::int64_t OpView::integer(std::string_view param) const {
  const Tensor value = known(param);
  if (!value.defined()) reject(param, "must be known when the model is planned");
  if (value.size() != 1 || value.dtype() == DType::string)
    reject(param, "expected one integer, got shape {}", to_string(value.shape()));
  return value.integer_at(0);
}

double OpView::number(std::string_view param) const {
  const Tensor value = known(param);
  if (!value.defined()) reject(param, "must be known when the model is planned");
  if (value.size() != 1 || value.dtype() == DType::string)
    reject(param, "expected one number, got shape {}", to_string(value.shape()));
  return value.number_at(0);
}

bool OpView::boolean(std::string_view param) const { return integer(param) != 0; }

std::string OpView::text(std::string_view param) const {
  const Tensor value = known(param);
  if (!value.defined()) reject(param, "must be known when the model is planned");
  if (value.dtype() != DType::string || value.size() != 1) reject(param, "expected one string");
  return value.strings()[0];
}

std::vector<std::int64_t> OpView::ints(std::string_view param) const {
  auto values = maybe_ints(param);
  if (!values) reject(param, "must be known when the model is planned");
  return std::move(*values);
}

std::optional<std::vector<std::int64_t>> OpView::maybe_ints(std::string_view param) const {
  const Tensor value = known(param);
  if (!value.defined()) return std::nullopt;
  if (value.dtype() == DType::string || value.rank() > 1)
    reject(param, "expected a list of integers, got shape {}", to_string(value.shape()));
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < value.size(); ++i) result.push_back(value.integer_at(i));
  return result;
}

void Infer::out(Type type) {
  constexpr std::int64_t most = std::int64_t{1} << 34;
  if (const TensorType* tensor = type.as<TensorType>(); tensor != nullptr && tensor->dims) {
    std::int64_t count = 1;
    for (const Dim d : *tensor->dims) {
      if (!d.known() || d.extent() == 0) continue;
      if (d.extent() > most / count)
        fail(ErrorKind::limit, "output {} is too large: {}", outputs.size(), to_string(*tensor->dims));
      count *= d.extent();
    }
  }
  outputs.push_back(std::move(type));
}

const Value* Infer::given(std::string_view param, std::size_t i) const {
  if (values_ == nullptr) return nullptr;
  for (std::size_t k = 0; k < op_.inputs.size(); ++k) {
    if (op_.inputs[k].name == param && i < (*values_)[k].size()) return &(*values_)[k][i];
  }
  return nullptr;
}

Type Infer::type(std::string_view param, std::size_t i) const {
  if (const Value* v = given(param, i); v != nullptr && v->is_tensor() && OpView::type(param, i).as<StateType>() == nullptr) {
    return {v->tensor().dtype(), dims_of(v->tensor().shape())};
  }
  return OpView::type(param, i);
}

Tensor Infer::known(std::string_view param, std::size_t i) const {
  if (const Value* v = given(param, i)) return v->is_tensor() ? v->tensor() : Tensor();
  if (const Binding* bound = binding(param, i)) {
    const ConstantPtr constant = constant_of(*bound);
    return constant != nullptr && constant->value.is_tensor() ? constant->value.tensor() : Tensor();
  }
  const Param* p = def().param(param);
  return p == nullptr ? Tensor() : p->fallback;
}

DType Infer::dtype(std::string_view param, std::size_t i) const {
  const Type t = type(param, i);
  return within([&] { return std::string(param); }, [&] { return t.tensor().dtype; });
}

Dims Infer::dims(std::string_view param, std::size_t i) const {
  const Type t = type(param, i);
  return within([&] { return std::string(param); },
                [&] {
                  const TensorType& tensor = t.tensor();
                  if (!tensor.dims) fail(ErrorKind::unsupported, "a tensor of unknown rank");
                  return *tensor.dims;
                });
}

std::int64_t OpView::axis(std::string_view param, std::int64_t value, std::int64_t rank) const {
  if (value < -rank || value >= rank) reject(param, "axis {} is outside rank {}", value, rank);
  return value < 0 ? value + rank : value;
}

Type Eval::type(std::string_view param, std::size_t i) const {
  const Type declared = OpView::type(param, i);
  if (!declared.is_tensor()) return declared;
  const Tensor t = in(param, i);
  return {t.dtype(), dims_of(t.shape())};
}

const Value& Eval::value(std::string_view param, std::size_t i) const {
  for (std::size_t k = 0; k < op_.inputs.size(); ++k) {
    if (op_.inputs[k].name == param && i < inputs_[k].size()) return inputs_[k][i];
  }
  reject(param, "required parameter is missing");
}

Tensor Eval::known(std::string_view param, std::size_t i) const {
  if (binding(param, i) != nullptr) {
    const Value& v = value(param, i);
    return v.is_tensor() ? v.tensor() : Tensor();
  }
  const Param* p = def().param(param);
  return p == nullptr ? Tensor() : p->fallback;
}

Tensor Eval::in(std::string_view param, std::size_t i) const {
  Tensor t = known(param, i);
  if (!t.defined()) reject(param, "a tensor is missing");
  return t;
}

const Shape& Eval::shape(std::string_view param, std::size_t i) const { return value(param, i).tensor().shape(); }

std::vector<float> Eval::floats(std::string_view param, std::size_t i) const { return elements<float>(in(param, i)); }

std::vector<double> Eval::doubles(std::string_view param, std::size_t i) const { return elements<double>(in(param, i)); }

std::vector<std::int64_t> Eval::integers(std::string_view param, std::size_t i) const {
  return elements<std::int64_t>(in(param, i));
}

Shape Eval::out_shape(std::size_t i) const {
  auto shape = shape_of(output_types_[i].tensor());
  if (!shape) fail(ErrorKind::internal, "output {} has no shape before it is computed", i);
  return std::move(*shape);
}

void Eval::store(std::size_t i, const Shape& shape, std::span<const double> values) {
  store_as(out_dtype(i), shape, values, [&](Tensor t) { set(i, std::move(t)); });
}
void Eval::store(std::size_t i, const Shape& shape, std::span<const float> values) {
  store_as(out_dtype(i), shape, values, [&](Tensor t) { set(i, std::move(t)); });
}
void Eval::store(std::size_t i, const Shape& shape, std::span<const std::int64_t> values) {
  store_as(out_dtype(i), shape, values, [&](Tensor t) { set(i, std::move(t)); });
}

std::vector<Type> infer_types(const Op& op) {
  return within([&] { return fmt::format("op '{}' ({})", op.label(), op.type); },
                [&] {
                  if (op.def == nullptr) fail(ErrorKind::unsupported, "op '{}' is not supported", op.type);
                  check_arguments(op);
                  Infer infer(op);
                  op.def->infer(infer);
                  return std::move(infer.outputs);
                });
}

std::vector<Value> evaluate(const Op& op, std::vector<std::vector<Value>> inputs, BlockRunner run_block,
                            std::function<StateCell&(std::string_view)> state) {
  return within([&] { return fmt::format("op '{}' ({})", op.label(), op.type); },
                [&] {
                  if (op.def == nullptr || op.def->eval == nullptr)
                    fail(ErrorKind::unsupported, "op '{}' is not supported", op.type);
                  Infer infer(op, inputs);
                  op.def->infer(infer);
                  Eval eval(op, std::move(inputs), std::move(infer.outputs));
                  eval.run_block = std::move(run_block);
                  eval.state = std::move(state);
                  try {
                    op.def->eval(eval);
                  } catch (const std::bad_alloc&) {
                    fail(ErrorKind::limit, "not enough memory");
                  } catch (const std::length_error&) {
                    fail(ErrorKind::limit, "not enough memory");
                  }
                  return std::move(eval.outputs());
                });
}

std::vector<Value> eager(std::string_view op_name, std::vector<std::pair<std::string, Value>> inputs) {
  Op op;
  op.type = op_name;
  op.def = find_op(op_name);
  std::vector<std::vector<Value>> values;
  for (auto& [param, value] : inputs) {
    Argument& argument = op.inputs.emplace_back();
    argument.name = param;
    const Param* declared = op.def == nullptr ? nullptr : op.def->param(param);
    auto& bound = values.emplace_back();
    if (value.is_list() && declared != nullptr && declared->is_variadic) {
      bound = value.list().items;
    } else {
      bound.push_back(std::move(value));
    }
    for (const Value& v : bound) argument.bindings.emplace_back(make_constant(v.tensor()));
  }
  infer_types(op);
  return evaluate(op, std::move(values));
}

}  // namespace tl::ir
