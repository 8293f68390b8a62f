#include "lang/tensor_ops.hpp"

#include <algorithm>
#include <array>

#include "ir/op_def.hpp"

namespace tl::lang {

OpInput in(std::string name, TensorPtr tensor) { return {std::move(name), {std::move(tensor)}, {}}; }
OpInput in(std::string name, std::vector<TensorPtr> tensors) { return {std::move(name), std::move(tensors), {}}; }
OpInput in(std::string name, const std::vector<std::int64_t>& integers) {
  Tensor tensor(DType::i32, {iz(integers.size())});
  auto out = tensor.mutable_values<std::int32_t>();
  for (std::size_t i = 0; i < integers.size(); ++i) out[i] = checked_cast<std::int32_t>(integers[i], "a parameter");
  return {std::move(name), {}, tensor};
}
OpInput in(std::string name, std::int64_t integer) {
  return {std::move(name), {}, Tensor::scalar(checked_cast<std::int32_t>(integer, "a parameter"))};
}
OpInput in(std::string name, double number, DType dtype) { return {std::move(name), {}, Tensor::scalar(number).cast(dtype)}; }
OpInput in(std::string name, bool flag) { return {std::move(name), {}, Tensor::scalar(flag)}; }
OpInput in(std::string name, const char* text) { return {std::move(name), {}, Tensor::scalar(std::string(text))}; }
OpInput in(std::string name, const std::string& text) { return {std::move(name), {}, Tensor::scalar(text)}; }

std::vector<TensorPtr> TensorOps::run_all(const std::string& name, std::vector<OpInput> inputs) {
  ir::Op op;
  op.type = name;
  op.def = ir::find_op(name);
  if (op.def == nullptr) fail(ErrorKind::unsupported, "the operation '{}' is not available", name);
  std::vector<std::vector<tl::Value>> values;
  std::uint64_t work = 1;
  bool tracked = false;
  for (const OpInput& input : inputs) {
    ir::Argument& argument = op.inputs.emplace_back();
    argument.name = input.name;
    auto& bound = values.emplace_back();
    for (const TensorPtr& tensor : input.tensors) {
      tracked = tracked || tensor->learnable || tensor->node != nullptr;
      bound.emplace_back(tensor->data);
      work += static_cast<std::uint64_t>(tensor->data.size());
    }
    if (input.tensors.empty()) bound.push_back(input.constant);
    for (const tl::Value& value : bound) argument.bindings.emplace_back(ir::make_constant(value.tensor()));
  }
  std::uint64_t bytes = 0;
  for (const ir::Type& type : ir::infer_types(op)) {
    Shape shape;
    for (const ir::Dim& dim : *type.tensor().dims) shape.push_back(dim.known() ? dim.extent() : 0);
    const auto count = static_cast<std::uint64_t>(element_count(shape));
    // References widen to eight bytes an element while they run.
    bytes = checked_add(bytes, checked_mul<std::uint64_t>(count, 8, "bytes"), "bytes");
    work = checked_add(work, count, "steps");
  }
  budget_->reserve(bytes);
  budget_->spend(work / 8 + 1);
  std::vector<TensorPtr> result;
  for (tl::Value& value : ir::evaluate(op, std::move(values))) result.push_back(box(value.tensor()));
  if (trace != nullptr) trace->push_back({name, inputs, result});
  if (recording && tracked && result.size() == 1 && is_floating(result[0]->data.dtype())) {
    record(name, std::move(inputs), result[0]);
  }
  return result;
}

void TensorOps::record(const std::string& op, std::vector<OpInput> inputs, const TensorPtr& output) {
  output->node = std::make_shared<GradNode>(GradNode{op, std::move(inputs), output});
  tape.push_back(output->node);
}

void TensorOps::forget() {
  for (const auto& node : tape) node->inputs.clear();
  tape.clear();
}

DType TensorOps::common(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::boolean) return b;
  if (b == DType::boolean) return a;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (is_floating(a)) return a == DType::f64 || b == DType::f64 || a == DType::f32 || b == DType::f32 ? DType::f32 : DType::f16;
  return DType::i32;
}

TensorPtr TensorOps::cast(const TensorPtr& x, DType dtype) {
  if (x->data.dtype() == dtype) return x;
  if (x->data.dtype() == DType::string) fail(ErrorKind::invalid_argument, "a tensor of strings cannot become {}", name(dtype));
  budget_->reserve(static_cast<std::uint64_t>(x->data.size()) * 8);
  TensorPtr result = box(x->data.cast(dtype));
  if (trace != nullptr) trace->push_back({"cast", {in("x", x), in("dtype", std::string(name(dtype)))}, {result}});
  if (recording && (x->learnable || x->node) && is_floating(dtype)) {
    record("cast", {in("x", x)}, result);
  }
  return result;
}

TensorPtr TensorOps::binary(const std::string& op, TensorPtr a, TensorPtr b) {
  DType dtype = common(a->data.dtype(), b->data.dtype());
  static constexpr std::array<std::string_view, 3> truth = {"logical_and", "logical_or", "logical_xor"};
  const bool logical = std::find(truth.begin(), truth.end(), op) != truth.end();
  if (logical) dtype = DType::boolean;
  if (!logical && (dtype == DType::boolean || (is_integer(dtype) && (op == "real_div" || op == "pow")))) dtype = DType::f16;
  if (dtype == DType::f64) dtype = DType::f32;
  if (is_integer(dtype) && dtype != DType::i32) dtype = DType::i32;
  return run(op, {in("x", cast(a, dtype)), in("y", cast(b, dtype))});
}

TensorPtr TensorOps::reshape(const TensorPtr& x, const Shape& shape) {
  if (shape == x->data.shape()) return x;
  if (shape.empty()) {
    std::vector<std::int64_t> axes(x->data.rank());
    for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = iz(i);
    return run("squeeze", {in("x", x), in("axes", axes)});
  }
  return run("reshape", {in("x", x), in("shape", shape)});
}

TensorPtr TensorOps::fill(DType dtype, const Shape& shape, double value) {
  for (const std::int64_t extent : shape) {
    if (extent < 0) fail(ErrorKind::invalid_argument, "a negative extent in the shape {}", tl::to_string(shape));
  }
  const auto count = static_cast<std::uint64_t>(element_count(shape));
  budget_->reserve(checked_mul<std::uint64_t>(count, 8, "bytes"));
  budget_->spend(count / 8 + 1);
  Tensor tensor(dtype, shape);
  visit_dtype(dtype, [&](auto type) {
    using T = decltype(type);
    std::ranges::fill(tensor.mutable_values<T>(), convert_element<T>(value));
  });
  return box(std::move(tensor));
}

TensorPtr TensorOps::matmul(TensorPtr a, TensorPtr b) {
  DType dtype = common(a->data.dtype(), b->data.dtype());
  if (dtype == DType::boolean) dtype = DType::f16;
  if (is_integer(dtype)) dtype = DType::i32;
  a = cast(a, dtype);
  b = cast(b, dtype);
  const bool left = a->data.rank() == 1;
  const bool right = b->data.rank() == 1;
  if (a->data.rank() == 0 || b->data.rank() == 0)
    fail(ErrorKind::invalid_argument, "a matrix product needs tensors, not numbers; use *");
  if (left) a = reshape(a, {1, a->data.dim(0)});
  if (right) b = reshape(b, {b->data.dim(0), 1});
  const Shape& as = a->data.shape();
  const Shape& bs = b->data.shape();
  if (as.back() != bs[bs.size() - 2]) {
    fail(ErrorKind::invalid_argument, "matrix product of {} and {}: {} columns meet {} rows", tl::to_string(as),
         tl::to_string(bs), as.back(), bs[bs.size() - 2]);
  }
  const std::uint64_t inner = static_cast<std::uint64_t>(as.back());
  budget_->spend(
      checked_mul(inner, static_cast<std::uint64_t>(a->data.size() / std::max<std::int64_t>(as.back(), 1)), "steps") / 8);
  TensorPtr product = run("matmul", {in("x", a), in("y", b)});
  if (!left && !right) return product;
  Shape shape = product->data.shape();
  if (right) shape.pop_back();
  if (left) shape.erase(shape.end() - (right ? 1 : 2));
  return reshape(product, shape);
}

TensorPtr TensorOps::einsum(std::string equation, std::vector<TensorPtr> operands) {
  std::erase(equation, ' ');
  if (equation.find("->") == std::string::npos) {
    std::string once;
    for (char ch = 'A'; ch <= 'z'; ++ch) {
      if (std::isalpha(static_cast<unsigned char>(ch)) != 0 && std::count(equation.begin(), equation.end(), ch) == 1)
        once += ch;
    }
    equation += "->" + once;
  }
  DType dtype = DType::f16;
  for (const TensorPtr& operand : operands) dtype = common(dtype, operand->data.dtype());
  for (TensorPtr& operand : operands) operand = cast(operand, dtype);
  // The product of the extents of all letters is the work.
  std::map<char, std::uint64_t> extents;
  std::size_t operand = 0, axis = 0;
  for (const char ch : equation.substr(0, equation.find("->"))) {
    if (ch == ',') {
      ++operand;
      axis = 0;
    } else if (operand < operands.size() && axis < operands[operand]->data.rank()) {
      extents[ch] = static_cast<std::uint64_t>(operands[operand]->data.dim(axis++));
    }
  }
  std::uint64_t work = 1;
  for (const auto& [letter, extent] : extents)
    work = checked_mul(work, std::max<std::uint64_t>(extent, 1), "the work of this einsum");
  budget_->spend(work / 8);
  return run("einsum", {in("values", std::move(operands)), in("equation", equation)});
}

}  // namespace tl::lang
