#include <cmath>

#include "op/elementwise.hpp"

namespace tl::op {

using namespace ir;

namespace {

template <double (*F)(double)>
void define_unary(OpDef& op, DTypeSet dtypes) {
  op.elementwise = true;
  op.in("x", dtypes);
  op.infer = infer_same;
  op.eval = [](Eval& c) { map_elements(c, F); };
}

#define TL_UNARY(id, dtypes, formula) \
  double formula_##id(double x) { return formula; }
#include "op/elementwise_unary.inc"
#undef TL_UNARY

// x plus a small number, which guards a pole.
template <double (*F)(double)>
void define_guarded(OpDef& op, double epsilon) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.in("epsilon", dt::floats).constant().def(epsilon);
  op.infer = infer_same;
  op.eval = [](Eval& c) {
    const double epsilon = c.number("epsilon");
    map_elements(c, [&](double x) { return F(x + epsilon); });
  };
}

double reciprocal(double x) { return 1 / x; }
double reciprocal_root(double x) { return 1 / std::sqrt(x); }
double logarithm(double x) { return std::log(x); }

}  // namespace

#define TL_UNARY(id, dtypes, formula) \
  TL_OP(id) { define_unary<formula_##id>(op, dtypes); }
#include "op/elementwise_unary.inc"
#undef TL_UNARY

TL_OP(inverse) { define_guarded<reciprocal>(op, 1e-4); }
TL_OP(rsqrt) { define_guarded<reciprocal_root>(op, 1e-12); }
TL_OP(log) { define_guarded<logarithm>(op, 1e-45); }

TL_OP(logical_not) {
  op.elementwise = true;
  op.in("x", dt::boolean);
  op.infer = infer_same;
  op.eval = [](Eval& c) {
    auto values = c.integers("x");
    for (auto& v : values) v = v == 0 ? 1 : 0;
    c.store(0, c.shape("x"), values);
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
    map_elements(c, [=](double x) { return x < low ? low : x > high ? high : x; });
  };
}

TL_OP(threshold) {
  op.elementwise = true;
  op.in("x", dt::numeric);
  op.in("alpha", dt::numeric).constant();
  op.infer = infer_same;
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
