#include "lang/gradient.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/checked.hpp"

namespace tl::lang {

namespace {

// One step backwards: the recorded op, the gradient of its output, and where the gradients of its inputs go.
class Step {
 public:
  Step(TensorOps& ops, Gradients& all, const GradNode& node, const TensorPtr& output, TensorPtr g)
      : ops(ops), g(std::move(g)), all_(all), node_(node), out_(output) {}

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const std::vector<TensorPtr>& inputs(std::string_view name) const { return find(name)->tensors; }
  TensorPtr raw(std::string_view name) const { return find(name)->tensors.at(0); }
  TensorPtr in32(std::string_view name) const { return ops.cast(raw(name), DType::f32); }
  TensorPtr out32() const { return ops.cast(out_, DType::f32); }
  std::vector<std::int64_t> integers(std::string_view name) const {
    const Tensor& t = find(name)->constant.tensor();
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < t.size(); ++i) values.push_back(t.integer_at(i));
    return values;
  }
  std::string text(std::string_view name) const { return find(name)->constant.tensor().strings().at(0); }
  double number(std::string_view name) const { return find(name)->constant.tensor().number_at(0); }

  TensorPtr add(const TensorPtr& a, const TensorPtr& b) const { return ops.binary("add", a, b); }
  TensorPtr sub(const TensorPtr& a, const TensorPtr& b) const { return ops.binary("sub", a, b); }
  TensorPtr mul(const TensorPtr& a, const TensorPtr& b) const { return ops.binary("mul", a, b); }
  TensorPtr div(const TensorPtr& a, const TensorPtr& b) const { return ops.binary("real_div", a, b); }
  TensorPtr constant(double value) const { return ops.fill(DType::f32, {}, value); }
  TensorPtr scaled(const TensorPtr& a, double factor) const { return mul(a, constant(factor)); }
  TensorPtr unary(const char* op, const TensorPtr& x) const { return ops.unary(op, x); }
  TensorPtr reduce(const char* op, const TensorPtr& x, std::vector<std::int64_t> axes, bool keep) const {
    if (axes.empty()) return x;
    return ops.run(op, {in("x", x), in("axes", axes), in("keep_dims", keep)});
  }
  // Sums over the axes that broadcasting added or repeated.
  TensorPtr unbroadcast(TensorPtr x, const Shape& shape) const {
    std::vector<std::int64_t> axes;
    const std::size_t extra = x->data.rank() - shape.size();
    for (std::size_t i = 0; i < x->data.rank(); ++i) {
      if (i < extra || (shape[i - extra] == 1 && x->data.dim(i) != 1)) axes.push_back(iz(i));
    }
    return ops.reshape(reduce("reduce_sum", x, axes, true), shape);
  }
  TensorPtr expanded(const TensorPtr& x, const Shape& shape) const { return add(x, ops.fill(DType::f32, shape, 0)); }

  void give(const TensorPtr& input, TensorPtr gradient) const {
    if (!input->learnable && !input->node) return;
    gradient = unbroadcast(gradient, input->data.shape());
    TensorPtr& slot = all_[input.get()];
    slot = slot ? add(slot, gradient) : gradient;
  }
  void give(std::string_view name, TensorPtr gradient) const { give(raw(name), std::move(gradient)); }
  bool wanted(std::string_view name) const { return raw(name)->learnable || raw(name)->node; }

  TensorOps& ops;
  const TensorPtr g;

 private:
  const OpInput* find(std::string_view name) const {
    for (const OpInput& input : node_.inputs) {
      if (input.name == name) return &input;
    }
    return nullptr;
  }
  Gradients& all_;
  const GradNode& node_;
  const TensorPtr& out_;
};

TensorPtr transposed(const Step& s, const TensorPtr& x) {
  std::vector<std::int64_t> perm(x->data.rank());
  for (std::size_t i = 0; i < perm.size(); ++i) perm[i] = iz(i);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return s.ops.run("transpose", {in("x", x), in("perm", perm)});
}

void einsum(const Step& s) {
  const auto& operands = s.inputs("values");
  const std::string equation = s.text("equation");
  const std::size_t arrow = equation.find("->");
  const std::string result = equation.substr(arrow + 2);
  std::vector<std::string> labels(1);
  for (const char ch : equation.substr(0, arrow)) {
    if (ch == ',') {
      labels.emplace_back();
    } else {
      labels.back() += ch;
    }
  }
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i]->learnable && !operands[i]->node) continue;
    std::string terms = result;
    std::vector<TensorPtr> values = {s.g};
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (k == i) continue;
      terms += "," + labels[k];
      values.push_back(s.ops.cast(operands[k], DType::f32));
    }
    for (std::size_t axis = 0; axis < labels[i].size(); ++axis) {
      const char label = labels[i][axis];
      if (std::count(labels[i].begin(), labels[i].end(), label) > 1) {
        fail(ErrorKind::unsupported, "no gradient for an einsum that repeats '{}' within an operand", label);
      }
      if (terms.find(label) != std::string::npos) continue;
      terms += std::string(",") + label;  // summed alone: the gradient repeats along it
      values.push_back(s.ops.fill(DType::f32, {operands[i]->data.dim(axis)}, 1));
    }
    s.give(operands[i], s.ops.einsum(terms + "->" + labels[i], std::move(values)));
  }
}

void join(const Step& s, bool stacked) {
  const auto& values = s.inputs("values");
  const std::int64_t rank = iz(s.g->data.rank());
  std::int64_t axis = s.integers("axis").at(0);
  if (axis < 0) axis += rank;
  std::int64_t at = 0;
  for (const TensorPtr& value : values) {
    const std::int64_t extent = stacked ? 1 : value->data.dim(uz(axis));
    std::vector<std::int64_t> begin(uz(rank), 0), end(s.g->data.shape());
    begin[uz(axis)] = at;
    end[uz(axis)] = at += extent;
    TensorPtr part = s.ops.run("slice_by_index", {in("x", s.g), in("begin", begin), in("end", end)});
    s.give(value, s.ops.reshape(part, value->data.shape()));
  }
}

void reduction(const Step& s, const std::string& op) {
  const Shape& shape = s.raw("x")->data.shape();
  Shape kept = shape;
  std::int64_t count = 1;
  for (std::int64_t axis : s.integers("axes")) {
    if (axis < 0) axis += iz(shape.size());
    count *= shape[uz(axis)];
    kept[uz(axis)] = 1;
  }
  TensorPtr g = s.ops.reshape(s.g, kept);
  if (op == "reduce_mean") g = s.scaled(g, 1.0 / static_cast<double>(count));
  if (op == "reduce_max" || op == "reduce_min") {  // shared among equal extremes
    TensorPtr x = s.in32("x");
    TensorPtr hit = s.ops.cast(s.ops.binary("equal", x, s.ops.reshape(s.out32(), kept)), DType::f32);
    g = s.div(s.mul(hit, g), s.reduce("reduce_sum", hit, s.integers("axes"), true));
  }
  s.give("x", s.expanded(g, shape));
}

void layer_norm(const Step& s) {
  const std::vector<std::int64_t> axes = s.integers("axes");
  TensorPtr x = s.in32("x");
  const auto mean = [&](const TensorPtr& t) { return s.reduce("reduce_mean", t, axes, true); };
  TensorPtr centred = s.sub(x, mean(x));
  TensorPtr deviation = s.unary("sqrt", s.add(mean(s.mul(centred, centred)), s.constant(s.number("epsilon"))));
  TensorPtr normal = s.div(centred, deviation);
  TensorPtr g = s.has("gamma") ? s.mul(s.g, s.in32("gamma")) : s.g;
  s.give("x", s.div(s.sub(s.sub(g, mean(g)), s.mul(normal, mean(s.mul(g, normal)))), deviation));
  if (s.has("gamma")) s.give("gamma", s.mul(s.g, normal));
  if (s.has("beta")) s.give("beta", s.g);
}

void linear(const Step& s) {
  TensorPtr x = s.in32("x");
  const std::int64_t inputs = x->data.shape().back();
  const std::int64_t outputs = s.g->data.shape().back();
  TensorPtr rows = s.ops.reshape(x, {x->data.size() / std::max<std::int64_t>(inputs, 1), inputs});
  TensorPtr g = s.ops.reshape(s.g, {s.g->data.size() / std::max<std::int64_t>(outputs, 1), outputs});
  s.give("x", s.ops.reshape(s.ops.matmul(g, s.in32("weight")), x->data.shape()));
  s.give("weight", s.ops.matmul(transposed(s, g), rows));
  if (s.has("bias")) s.give("bias", s.unbroadcast(s.g, s.raw("bias")->data.shape()));
}

void gelu(const Step& s) {
  if (!s.has("mode") || s.text("mode") != "TANH_APPROXIMATION")
    fail(ErrorKind::unsupported, "no gradient for this form of gelu");
  TensorPtr x = s.in32("x");
  const double root = std::sqrt(2 / M_PI);
  TensorPtr square = s.mul(x, x);
  TensorPtr t = s.unary("tanh", s.mul(x, s.add(s.scaled(square, 0.044715 * root), s.constant(root))));
  TensorPtr inner = s.add(s.scaled(square, 3 * 0.044715 * root), s.constant(root));
  TensorPtr slope = s.mul(s.mul(x, inner), s.sub(s.constant(1), s.mul(t, t)));
  s.give("x", s.mul(s.g, s.scaled(s.add(s.add(t, s.constant(1)), slope), 0.5)));
}

void power(const Step& s) {
  TensorPtr x = s.in32("x");
  TensorPtr p = s.in32("y");
  s.give("x", s.mul(s.g, s.mul(p, s.ops.binary("pow", x, s.sub(p, s.constant(1))))));
  if (s.wanted("y")) s.give("y", s.mul(s.g, s.mul(s.out32(), s.unary("log", x))));
}

void softmax(const Step& s) {
  TensorPtr o = s.out32();
  TensorPtr weighted = s.mul(s.g, o);
  s.give("x", s.sub(weighted, s.mul(o, s.reduce("reduce_sum", weighted, s.integers("axis"), true))));
}

void slice(const Step& s) {
  const Shape& shape = s.raw("x")->data.shape();
  s.give("x", s.ops.run("slice_update", {in("x", s.ops.fill(DType::f32, shape, 0)), in("update", s.g),
                                         in("begin", s.integers("begin")), in("end", s.integers("end"))}));
}

void slice_update(const Step& s) {
  const auto begin = s.integers("begin");
  const auto end = s.integers("end");
  TensorPtr none = s.ops.fill(DType::f32, s.raw("update")->data.shape(), 0);
  s.give("x", s.ops.run("slice_update", {in("x", s.g), in("update", none), in("begin", begin), in("end", end)}));
  s.give("update", s.ops.run("slice_by_index", {in("x", s.g), in("begin", begin), in("end", end)}));
}

void scatter_back(const Step& s, const char* op) {
  TensorPtr zero = s.ops.fill(DType::f32, s.raw("x")->data.shape(), 0);
  s.give("x", s.ops.run(op, {in("data", zero), in("indices", s.raw("indices")), in("updates", s.g),
                             in("axis", s.integers("axis").at(0)), in("mode", "add")}));
}

TensorPtr mask(const Step& s, const TensorPtr& condition) { return s.ops.cast(condition, DType::f32); }

const std::map<std::string, void (*)(const Step&)>& rules() {
  static const std::map<std::string, void (*)(const Step&)> table = {
      {"cast", [](const Step& s) { s.give("x", s.g); }},
      {"add", [](const Step& s) { s.give("x", s.g), s.give("y", s.g); }},
      {"sub", [](const Step& s) { s.give("x", s.g), s.give("y", s.scaled(s.g, -1)); }},
      {"mul", [](const Step& s) { s.give("x", s.mul(s.g, s.in32("y"))), s.give("y", s.mul(s.g, s.in32("x"))); }},
      {"real_div",
       [](const Step& s) {
         TensorPtr part = s.div(s.g, s.in32("y"));
         s.give("x", part);
         s.give("y", s.scaled(s.mul(part, s.div(s.in32("x"), s.in32("y"))), -1));
       }},
      {"pow", power},
      {"matmul",
       [](const Step& s) {
         if (s.wanted("x")) s.give("x", s.ops.matmul(s.g, transposed(s, s.in32("y"))));
         if (s.wanted("y")) s.give("y", s.ops.matmul(transposed(s, s.in32("x")), s.g));
       }},
      {"linear", linear},
      {"einsum", einsum},
      {"concat", [](const Step& s) { join(s, false); }},
      {"stack", [](const Step& s) { join(s, true); }},
      {"relu", [](const Step& s) { s.give("x", s.mul(s.g, mask(s, s.ops.binary("greater", s.in32("x"), s.constant(0))))); }},
      {"sigmoid", [](const Step& s) { s.give("x", s.mul(s.g, s.mul(s.out32(), s.sub(s.constant(1), s.out32())))); }},
      {"tanh", [](const Step& s) { s.give("x", s.mul(s.g, s.sub(s.constant(1), s.mul(s.out32(), s.out32())))); }},
      {"exp", [](const Step& s) { s.give("x", s.mul(s.g, s.out32())); }},
      {"log", [](const Step& s) { s.give("x", s.div(s.g, s.in32("x"))); }},
      {"sqrt", [](const Step& s) { s.give("x", s.div(s.scaled(s.g, 0.5), s.out32())); }},
      {"sin", [](const Step& s) { s.give("x", s.mul(s.g, s.unary("cos", s.in32("x")))); }},
      {"cos", [](const Step& s) { s.give("x", s.scaled(s.mul(s.g, s.unary("sin", s.in32("x"))), -1)); }},
      {"abs", [](const Step& s) { s.give("x", s.mul(s.g, s.unary("sign", s.in32("x")))); }},
      {"erf",
       [](const Step& s) {
         TensorPtr x = s.in32("x");
         s.give("x", s.mul(s.g, s.scaled(s.unary("exp", s.scaled(s.mul(x, x), -1)), 2 / std::sqrt(M_PI))));
       }},
      {"silu",
       [](const Step& s) {
         TensorPtr x = s.in32("x");
         TensorPtr gate = s.unary("sigmoid", x);
         s.give("x", s.mul(s.g, s.mul(gate, s.add(s.constant(1), s.mul(x, s.sub(s.constant(1), gate))))));
       }},
      {"gelu", gelu},
      {"softmax", softmax},
      {"layer_norm", layer_norm},
      {"reduce_sum", [](const Step& s) { reduction(s, "reduce_sum"); }},
      {"reduce_mean", [](const Step& s) { reduction(s, "reduce_mean"); }},
      {"reduce_max", [](const Step& s) { reduction(s, "reduce_max"); }},
      {"reduce_min", [](const Step& s) { reduction(s, "reduce_min"); }},
      {"reshape", [](const Step& s) { s.give("x", s.ops.reshape(s.g, s.raw("x")->data.shape())); }},
      {"squeeze", [](const Step& s) { s.give("x", s.ops.reshape(s.g, s.raw("x")->data.shape())); }},
      {"expand_dims", [](const Step& s) { s.give("x", s.ops.reshape(s.g, s.raw("x")->data.shape())); }},
      {"transpose",
       [](const Step& s) {
         const auto perm = s.integers("perm");
         std::vector<std::int64_t> back(perm.size());
         for (std::size_t i = 0; i < perm.size(); ++i) back[uz(perm[i] < 0 ? perm[i] + iz(perm.size()) : perm[i])] = iz(i);
         s.give("x", s.ops.run("transpose", {in("x", s.g), in("perm", back)}));
       }},
      {"tile", [](const Step& s) { s.give("x", s.g); }},  // made by broadcast_to: repeated axes had extent 1
      {"slice_by_index", slice},
      {"slice_update", slice_update},
      {"gather", [](const Step& s) { scatter_back(s, "scatter"); }},
      {"gather_along_axis", [](const Step& s) { scatter_back(s, "scatter_along_axis"); }},
      {"select",
       [](const Step& s) {
         TensorPtr chosen = mask(s, s.raw("cond"));
         s.give("a", s.mul(s.g, chosen));
         s.give("b", s.mul(s.g, s.sub(s.constant(1), chosen)));
       }},
  };
  return table;
}

}  // namespace

Gradients gradients(TensorOps& ops, const TensorPtr& loss) {
  Gradients all;
  const bool recording = std::exchange(ops.recording, false);
  try {
    all[loss.get()] = ops.fill(DType::f32, loss->data.shape(), 1);
    for (auto node = ops.tape.rbegin(); node != ops.tape.rend(); ++node) {
      const TensorPtr output = (*node)->output.lock();
      const auto found = output ? all.find(output.get()) : all.end();
      if (found == all.end()) continue;
      const auto rule = rules().find((*node)->op);
      if (rule == rules().end()) fail(ErrorKind::unsupported, "no gradient for the operation '{}'", (*node)->op);
      rule->second(Step(ops, all, **node, output, found->second));
      if (!output->learnable) all.erase(output.get());
    }
  } catch (...) {
    ops.recording = recording;
    throw;
  }
  ops.recording = recording;
  return all;
}

}  // namespace tl::lang
