#include "lang/builtins.hpp"

#include <algorithm>
#include <cmath>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

const std::map<std::string_view, Builtin>& builtins() {
  static const std::map<std::string_view, Builtin> table = {
#define TL_BUILTIN(id, name, min, max, signature, doc) {name, {name, min, max, signature, doc, builtin_##id}},
#include "lang/builtins.inc"
#undef TL_BUILTIN
  };
  return table;
}

const Builtin* find_builtin(std::string_view name) noexcept {
  const auto found = builtins().find(name);
  return found == builtins().end() ? nullptr : &found->second;
}

TensorOps& Call::ops() const { return session.ops; }
TensorPtr Call::tensor(std::size_t i) const {
  return session.tensor(args[i], fmt::format("a tensor as argument {}", i + 1).c_str());
}
TensorPtr Call::floats(std::size_t i) const {
  TensorPtr x = tensor(i);
  return is_floating(x->data.dtype()) ? x : ops().cast(x, DType::f16);
}
std::int64_t Call::integer(std::size_t i) const { return session.integer(args[i], fmt::format("argument {}", i + 1).c_str()); }
double Call::number(std::size_t i) const { return session.number(args[i], fmt::format("argument {}", i + 1).c_str()); }
std::string Call::text(std::size_t i) const { return session.text(args[i], fmt::format("argument {}", i + 1).c_str()); }
bool Call::flag(std::size_t i, bool fallback) const { return has(i) ? session.truth(args[i], {}) : fallback; }
Shape Call::shape(std::size_t i) const { return session.shape_of(args[i], "the shape"); }

namespace {

// Element by element: an op for tensors, a function of C++ for plain numbers.
Datum map(Call& c, const char* op, double (*scalar)(double)) {
  if (c.args[0].is_number()) return scalar(c.number(0));
  return c.ops().unary(op, c.floats(0));
}

Datum to_whole(Call& c, const char* op, double (*scalar)(double)) {
  if (c.args[0].is_number()) {
    const double value = scalar(c.number(0));
    if (!(std::abs(value) < 9e18)) fail(ErrorKind::invalid_argument, "{} is no integer", c.number(0));
    return static_cast<std::int64_t>(value);
  }
  return c.ops().unary(op, c.floats(0));
}

}  // namespace

#define TL_MAP(name, formula)                                         \
  Datum builtin_##name(Call& c) {                                     \
    return map(c, #name, [](double x) -> double { return formula; }); \
  }
TL_MAP(exp, std::exp(x))
TL_MAP(log, std::log(x))
TL_MAP(sqrt, std::sqrt(x))
TL_MAP(sin, std::sin(x))
TL_MAP(cos, std::cos(x))
TL_MAP(tan, std::tan(x))
TL_MAP(tanh, std::tanh(x))
TL_MAP(sigmoid, 1 / (1 + std::exp(-x)))
TL_MAP(silu, x / (1 + std::exp(-x)))
TL_MAP(erf, std::erf(x))
#undef TL_MAP

Datum builtin_relu(Call& c) {
  if (const auto* i = c.args[0].as<std::int64_t>()) return std::max<std::int64_t>(*i, 0);
  return map(c, "relu", [](double x) { return x > 0 ? x : 0.0; });
}
Datum builtin_gelu(Call& c) {
  if (c.args[0].is_number()) {
    const double x = c.number(0);
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  return c.ops().run("gelu", {in("x", c.floats(0)), in("mode", "TANH_APPROXIMATION")});
}
Datum builtin_abs(Call& c) {
  if (const auto* i = c.args[0].as<std::int64_t>()) return *i < 0 ? c.session.negate(*i) : Datum(*i);
  if (c.args[0].is_number()) return std::abs(c.number(0));
  const TensorPtr x = c.tensor(0);
  return c.ops().unary("abs", is_integer(x->data.dtype()) ? c.ops().cast(x, DType::i32) : c.floats(0));
}
Datum builtin_sign(Call& c) {
  return map(c, "sign", [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; });
}
Datum builtin_floor(Call& c) {
  return to_whole(c, "floor", [](double x) { return std::floor(x); });
}
Datum builtin_ceil(Call& c) {
  return to_whole(c, "ceil", [](double x) { return std::ceil(x); });
}
Datum builtin_round(Call& c) {
  return to_whole(c, "round", [](double x) { return std::nearbyint(x); });
}
Datum builtin_pow(Call& c) { return c.session.arithmetic("**", c.args[0], c.args[1]); }
Datum builtin_add(Call& c) { return c.session.arithmetic("+", c.args[0], c.args[1]); }
Datum builtin_sub(Call& c) { return c.session.arithmetic("-", c.args[0], c.args[1]); }
Datum builtin_mul(Call& c) { return c.session.arithmetic("*", c.args[0], c.args[1]); }
Datum builtin_div(Call& c) { return c.session.arithmetic("/", c.args[0], c.args[1]); }
Datum builtin_select(Call& c) {
  TensorPtr a = c.tensor(1);
  TensorPtr b = c.tensor(2);
  const DType dtype = TensorOps::common(a->data.dtype(), b->data.dtype());
  return c.ops().run("select", {in("cond", c.ops().cast(c.tensor(0), DType::boolean)), in("a", c.ops().cast(a, dtype)),
                                in("b", c.ops().cast(b, dtype))});
}

namespace {

Datum reduce(Call& c, const char* op) {
  TensorPtr x = c.tensor(0);
  if (x->data.dtype() == DType::boolean) x = c.ops().cast(x, DType::f16);
  if (is_integer(x->data.dtype())) x = c.ops().cast(x, std::string_view(op) == "reduce_mean" ? DType::f16 : DType::i32);
  const std::int64_t rank = iz(x->data.rank());
  if (rank == 0) return x;
  std::vector<std::int64_t> axes;
  if (c.has(1)) {
    axes = c.shape(1);
    for (const std::int64_t axis : axes) {
      if (axis < -rank || axis >= rank) fail(ErrorKind::invalid_argument, "axis {} of a tensor of {} axes", axis, rank);
    }
  } else {
    for (std::int64_t i = 0; i < rank; ++i) axes.push_back(i);
  }
  if (x->data.size() == 0) fail(ErrorKind::invalid_argument, "{} of no elements", c.name);
  return c.ops().run(op, {in("x", x), in("axes", axes), in("keep_dims", c.flag(2, false))});
}

// `max(a, b)` of two numbers; of a tensor and an integer it is a reduction.
bool two_numbers(Call& c) { return c.args.size() == 2 && c.args[0].is_number() && c.args[1].is_number(); }

Datum arg_reduce(Call& c, const char* op) {
  TensorPtr x = c.floats(0);
  if (x->data.size() == 0) fail(ErrorKind::invalid_argument, "{} of no elements", c.name);
  if (!c.has(1)) {
    TensorPtr flat = c.ops().reshape(x, {x->data.size()});
    return c.ops().run(op, {in("x", flat), in("axis", std::int64_t{0})})->data.integer_at(0);
  }
  return c.ops().run(op, {in("x", x), in("axis", c.integer(1)), in("keep_dims", c.flag(2, false))});
}

}  // namespace

Datum builtin_sum(Call& c) { return reduce(c, "reduce_sum"); }
Datum builtin_mean(Call& c) { return reduce(c, "reduce_mean"); }
Datum builtin_max(Call& c) {
  if (two_numbers(c)) return c.number(0) >= c.number(1) ? c.args[0] : c.args[1];
  return reduce(c, "reduce_max");
}
Datum builtin_min(Call& c) {
  if (two_numbers(c)) return c.number(0) <= c.number(1) ? c.args[0] : c.args[1];
  return reduce(c, "reduce_min");
}
Datum builtin_argmax(Call& c) { return arg_reduce(c, "reduce_argmax"); }
Datum builtin_argmin(Call& c) { return arg_reduce(c, "reduce_argmin"); }

}  // namespace tl::lang
