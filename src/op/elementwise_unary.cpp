#include <algorithm>
#include <cmath>

#include "op/elementwise.hpp"
#include "op/integers.hpp"

namespace tl::op {

using namespace ir;

namespace {

using FloatFormula = double (*)(double);
using IntegerFormula = std::int64_t (*)(std::int64_t);

template <FloatFormula F>
void define_unary(OpDef& op) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.infer = infer_same;
  op.eval = [](Eval& c) { map_elements(c, F); };
}

template <FloatFormula F, IntegerFormula I>
void define_integer_unary(OpDef& op) {
  define_unary<F>(op);
  op.params[0].dtypes = dt::numeric;
  op.eval = [](Eval& c) {
    if (is_integer(c.out_dtype())) {
      map_integers(c, I);
    } else {
      map_elements(c, F);
    }
  };
}

#define TL_UNARY(id, formula) \
  double formula_##id(double x) { return formula; }
#define TL_INTEGER_UNARY(id, formula, integers) \
  TL_UNARY(id, formula)                         \
  std::int64_t integer_##id(std::int64_t x) { return integers; }
#include "op/elementwise_unary.inc"

// x plus a small number, which guards a pole.
template <double (*F)(double)>
void define_guarded(OpDef& op, double epsilon) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.in("epsilon", dt::floats).constant().def(epsilon);
  op.infer = [](Infer& c) {
    c.number("epsilon");
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const double epsilon = c.number("epsilon");
    map_elements(c, [&](double x) { return F(x + epsilon); });
  };
}

double reciprocal(double x) { return 1 / x; }
double reciprocal_root(double x) { return 1 / std::sqrt(x); }
double logarithm(double x) { return std::log(x); }

}  // namespace

#define TL_UNARY(id, formula) \
  TL_OP(id) { define_unary<formula_##id>(op); }
#define TL_INTEGER_UNARY(id, formula, integers) \
  TL_OP(id) { define_integer_unary<formula_##id, integer_##id>(op); }
#include "op/elementwise_unary.inc"

TL_OP(inverse) { define_guarded<reciprocal>(op, 1e-4); }
TL_OP(rsqrt) { define_guarded<reciprocal_root>(op, 1e-12); }
TL_OP(log) { define_guarded<logarithm>(op, 1e-45); }

TL_OP(logical_not) {
  op.elementwise = true;
  op.in("x", dt::boolean);
  op.infer = infer_same;
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    Tensor result(DType::boolean, x.shape());
    const auto out = result.mutable_values<bool>();
    const auto in = x.values<bool>();
    std::transform(in.begin(), in.end(), out.begin(), [](bool v) { return !v; });
    c.set(0, std::move(result));
  };
}

TL_OP(clip) {
  op.elementwise = true;
  op.in("x", dt::numeric);
  op.in("alpha", dt::numeric).constant();
  op.in("beta", dt::numeric).constant();
  op.infer = [](Infer& c) {
    c.number("alpha");
    c.number("beta");
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const double low = c.number("alpha");
    const double high = c.number("beta");
    map_elements(c, [=](double x) {
      const double raised = x < low ? low : x;
      return raised > high ? high : raised;
    });
  };
}

TL_OP(threshold) {
  op.elementwise = true;
  op.in("x", dt::numeric);
  op.in("alpha", dt::numeric).constant();
  op.infer = [](Infer& c) {
    c.number("alpha");
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const double alpha = c.number("alpha");
    map_elements(c, [=](double x) { return x < alpha ? alpha : x; });
  };
}

TL_OP(cast) {
  op.elementwise = true;
  op.in("x", dt::any);
  op.in("dtype", dt::string).constant();
  op.infer = [](Infer& c) {
    const std::string target = c.text("dtype");
    const auto dtype = dtype_from_name(target);
    if (!dtype || *dtype == DType::string) c.reject("dtype", "cannot cast to '{}'", target);
    if (c.dtype("x") == DType::string) c.reject("x", "text cannot be cast");
    c.out(TensorType{*dtype, c.type("x").tensor().dims});
  };
  op.eval = [](Eval& c) { c.set(0, c.in("x").cast(c.out_dtype())); };
}

}  // namespace tl::op
