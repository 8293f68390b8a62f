#include <algorithm>
#include <limits>
#include <map>

#include "op/einsum.hpp"
#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

using Labels = std::vector<int>;

bool holds(const Labels& labels, int label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

Labels joined(Labels a, const Labels& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// An operand of two as a matrix for every value of the batch labels: [batch..., free, inner], or [batch..., inner, free].
struct Operand {
  const Binding* value;
  Labels labels, free;
  bool inner_last = true;
};

class Lowering {
 public:
  explicit Lowering(Function& function) : function_(function) {}

  void run() {
    for (auto& op : function_.body.ops) {
      if (op->type != "einsum" || !lower(*op)) ops_.push_back(std::move(op));
    }
    set_ops(function_, std::move(ops_));
  }

 private:
  // False, and nothing done, where matmul does not say the same.
  bool lower(Op& op) {
    const Argument* values = op.argument("values");
    if (values == nullptr || values->bindings.size() != 2) return false;
    if (constant_of(values->bindings[0]) != nullptr && constant_of(values->bindings[1]) != nullptr) return false;
    std::vector<Shape> shapes;
    for (const Binding& bound : values->bindings) {
      const auto shape = type_of(bound).is_tensor() ? ir::shape_of(type_of(bound).tensor()) : std::nullopt;
      if (!shape || element_count(*shape) == 0) return false;
      shapes.push_back(*shape);
    }
    const op::Equation equation = op::parse_equation(Infer(op), {shapes[0].size(), shapes[1].size()});
    extents_.clear();
    for (std::size_t i = 0; i < 2; ++i) {
      const Labels& labels = equation.operands[i];
      for (std::size_t axis = 0; axis < labels.size(); ++axis) {
        if (std::count(labels.begin(), labels.end(), labels[axis]) != 1) return false;
        const auto [at, fresh] = extents_.emplace(labels[axis], shapes[i][axis]);
        if (!fresh && at->second != shapes[i][axis]) return false;
        if (!holds(equation.operands[1 - i], labels[axis]) && !holds(equation.result, labels[axis])) return false;
      }
    }
    Operand x{&values->bindings[0], equation.operands[0], {}}, y{&values->bindings[1], equation.operands[1], {}};
    // Whose axis is the result's last one stands right.
    if (!equation.result.empty() && !holds(y.labels, equation.result.back())) std::swap(x, y);
    Labels batch, inner;
    for (const int label : equation.result) {
      const bool in_x = holds(x.labels, label), in_y = holds(y.labels, label);
      (in_x && in_y ? batch : in_x ? x.free : y.free).push_back(label);
    }
    for (const int label : x.labels) {
      if (!holds(equation.result, label)) inner.push_back(label);
    }
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    if (std::max({volume(inner), volume(x.free), volume(y.free)}) > most) return false;
    name_ = op.label();
    const Binding left = matrices(x, batch, inner, "_left"), right = matrices(y, batch, inner, "_right");
    Binding product = emit(
        "matmul",
        {{"x", left}, {"y", right}, {"transpose_x", bool_binding(!x.inner_last)}, {"transpose_y", bool_binding(y.inner_last)}},
        "_product");
    const Labels order = joined(joined(batch, x.free), y.free);
    if (x.free.size() != 1 || y.free.size() != 1) product = reshaped(product, extents(order), "_axes");
    product = in_order(product, order, equation.result, "_result");
    give_output(*ops_.back(), std::move(op.outputs[0]));
    return true;
  }

  std::int64_t volume(const Labels& labels) const {
    std::int64_t result = 1;
    for (const int label : labels) result = checked_mul(result, extents_.at(label), "einsum size");
    return result;
  }

  Shape extents(const Labels& labels) const {
    Shape result;
    for (const int label : labels) result.push_back(extents_.at(label));
    return result;
  }

  Binding matrices(Operand& operand, const Labels& batch, const Labels& inner, const char* suffix) {
    const Labels last = joined(joined(batch, operand.free), inner), first = joined(joined(batch, inner), operand.free);
    // Rows stay whole where they can.
    operand.inner_last = operand.labels == last || (operand.labels != first && !holds(operand.free, operand.labels.back()));
    Binding value = in_order(*operand.value, operand.labels, operand.inner_last ? last : first, suffix);
    if (operand.free.size() == 1 && inner.size() == 1) return value;
    Shape shape = extents(batch);
    shape.push_back(volume(operand.inner_last ? operand.free : inner));
    shape.push_back(volume(operand.inner_last ? inner : operand.free));
    return reshaped(value, shape, suffix);
  }

  // A constant stays one.
  Binding emit(std::string_view type, std::vector<std::pair<std::string, Binding>> inputs, const char* suffix) {
    std::vector<std::pair<std::string, Value>> known;
    for (const auto& [param, bound] : inputs) {
      if (const ConstantPtr constant = constant_of(bound)) known.emplace_back(param, constant->value);
    }
    if (known.size() == inputs.size()) return make_constant(eager(type, known).front().tensor());
    ops_.push_back(make_op(type, std::move(inputs), name_ + suffix));
    return ops_.back()->outputs[0].get();
  }

  Binding reshaped(const Binding& value, const Shape& shape, const char* suffix) {
    return emit("reshape", {{"x", value}, {"shape", ints_binding(shape)}}, suffix);
  }

  Binding in_order(const Binding& value, const Labels& have, const Labels& want, const char* suffix) {
    if (have == want) return value;
    std::vector<std::int64_t> perm;
    for (const int label : want) perm.push_back(std::find(have.begin(), have.end(), label) - have.begin());
    return emit("transpose", {{"x", value}, {"perm", ints_binding(perm)}}, suffix);
  }

  Function& function_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::map<int, std::int64_t> extents_;
  std::string name_;
};

}  // namespace

void einsum_to_matmul(Function& function) { Lowering(function).run(); }

}  // namespace tl::pass
