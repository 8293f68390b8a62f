#include <algorithm>
#include <cmath>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

// Which axes are reduced; all when none are given.
using AxisSet = std::vector<bool>;

AxisSet reduced_axes(const OpView& c, std::string_view param, std::size_t rank) {
  AxisSet reduced(rank, !c.has(param));
  if (!c.has(param)) return reduced;
  const std::int64_t limit = iz(rank);
  for (const std::int64_t axis : c.ints(param)) {
    if (axis < -limit || axis >= limit) c.reject(param, "axis {} is outside rank {}", axis, rank);
    reduced[uz(axis < 0 ? axis + limit : axis)] = true;
  }
  return reduced;
}

AxisSet one_axis(std::size_t rank, std::int64_t axis) {
  AxisSet reduced(rank, false);
  reduced[uz(axis)] = true;
  return reduced;
}

Dims reduced_dims(const Dims& dims, const AxisSet& reduced, bool keep) {
  Dims result;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (!reduced[i]) {
      result.push_back(dims[i]);
    } else if (keep) {
      result.emplace_back(1);
    }
  }
  return result;
}

// For every element of the input, the element of the result that it goes to.
template <class Body>
void for_each_reduced(const Shape& shape, const AxisSet& reduced, Body&& body) {
  std::vector<std::int64_t> strides(shape.size(), 0);
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (reduced[i]) continue;
    strides[i] = stride;
    stride *= shape[i];
  }
  std::vector<std::int64_t> position(shape.size(), 0);
  const std::int64_t count = element_count(shape);
  std::int64_t target = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    body(uz(i), uz(target));
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      target += strides[axis];
      if (++position[axis] < shape[axis]) break;
      target -= strides[axis] * shape[axis];
      position[axis] = 0;
    }
  }
}

void infer_reduction(Infer& c) {
  const Dims dims = c.dims("x");
  c.out(c.dtype("x"), reduced_dims(dims, reduced_axes(c, "axes", dims.size()), c.boolean("keep_dims")));
}

double sum(double total, double x) { return total + x; }
double sum_of_squares(double total, double x) { return total + x * x; }
double sum_of_magnitudes(double total, double x) { return total + std::fabs(x); }
double product(double total, double x) { return total * x; }
double largest(double total, double x) { return std::isnan(x) || x > total ? x : total; }
double smallest(double total, double x) { return std::isnan(x) || x < total ? x : total; }

double unchanged(double total, double) { return total; }
double divided(double total, double count) { return total / count; }
double root(double total, double) { return std::sqrt(total); }
double logarithm(double total, double) { return std::log(total); }

using Step = double (*)(double, double);

// Folds with `F` from `start`, then finishes with `G(total, number of elements)`.
template <Step F, Step G>
void define_reduction(OpDef& op, EvalFn eval) {
  op.in("x", dt::numeric);
  op.in("axes", dt::ints).constant().optional();
  op.in("keep_dims", dt::boolean).constant().def(false);
  op.infer = infer_reduction;
  op.eval = eval;
}

template <Step F, Step G>
void evaluate_reduction(Eval& c, double start) {
  const auto values = c.doubles("x");
  const Shape& shape = c.shape("x");
  const auto axes = reduced_axes(c, "axes", shape.size());
  std::vector<double> totals(uz(element_count(c.out_shape())), start);
  for_each_reduced(shape, axes, [&](std::size_t i, std::size_t target) { totals[target] = F(totals[target], values[i]); });
  double count = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) count *= axes[i] ? static_cast<double>(shape[i]) : 1.0;
  for (double& total : totals) total = G(total, count);
  c.store(0, totals);
}

template <Step F, Step G>
void define(OpDef& op) {
  define_reduction<F, G>(op, [](Eval& c) { evaluate_reduction<F, G>(c, 0); });
}

// log(sum(exp(x))), shifted by the largest element so that it neither overflows nor vanishes.
void evaluate_log_sum_exp(Eval& c) {
  const auto values = c.doubles("x");
  const Shape& shape = c.shape("x");
  const auto axes = reduced_axes(c, "axes", shape.size());
  const std::size_t count = uz(element_count(c.out_shape()));
  std::vector<double> tops(count, -INFINITY);
  for_each_reduced(shape, axes, [&](std::size_t i, std::size_t target) { tops[target] = largest(tops[target], values[i]); });
  std::vector<double> totals(count, 0);
  for_each_reduced(shape, axes, [&](std::size_t i, std::size_t target) {
    totals[target] += std::isinf(tops[target]) ? (values[i] == tops[target] ? 1 : 0) : std::exp(values[i] - tops[target]);
  });
  for (std::size_t i = 0; i < count; ++i) totals[i] = tops[i] + std::log(totals[i]);
  c.store(0, totals);
}

template <bool (*Better)(double, double)>
void define_arg(OpDef& op) {
  op.in("x", dt::numeric);
  op.in("axis", dt::ints).constant().def(-1);
  op.in("keep_dims", dt::boolean).constant().def(false);
  op.in("output_dtype", dt::string).constant().def("int32");
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const std::int64_t axis = c.axis("axis", c.integer("axis"), iz(dims.size()));
    if (dims[uz(axis)].known() && dims[uz(axis)].extent() == 0) c.reject("x", "axis {} is empty", axis);
    const auto dtype = dtype_from_name(c.text("output_dtype"));
    if (!dtype || !is_integer(*dtype)) c.reject("output_dtype", "'{}' is no integer type", c.text("output_dtype"));
    c.out(*dtype, reduced_dims(dims, one_axis(dims.size(), axis), c.boolean("keep_dims")));
  };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    const std::int64_t axis = (c.integer("axis") + rank) % rank;
    std::int64_t inner = 1;
    for (std::int64_t i = axis + 1; i < rank; ++i) inner *= shape[uz(i)];
    const std::size_t count = uz(element_count(c.out_shape()));
    std::vector<std::int64_t> found(count, -1);
    std::vector<double> best(count, 0);
    for_each_reduced(shape, one_axis(shape.size(), axis), [&](std::size_t i, std::size_t target) {
      if (found[target] >= 0 && (std::isnan(best[target]) || !(Better(values[i], best[target]) || std::isnan(values[i])))) return;
      best[target] = values[i];
      found[target] = iz(i) / inner % shape[uz(axis)];
    });
    c.store(0, found);
  };
}

bool above(double a, double b) { return a > b; }
bool below(double a, double b) { return a < b; }

}  // namespace

TL_OP(reduce_argmax) { define_arg<above>(op); }
TL_OP(reduce_argmin) { define_arg<below>(op); }
TL_OP(reduce_l1_norm) { define<sum_of_magnitudes, unchanged>(op); }
TL_OP(reduce_l2_norm) { define<sum_of_squares, root>(op); }
TL_OP(reduce_log_sum) { define<sum, logarithm>(op); }
TL_OP(reduce_log_sum_exp) { define_reduction<sum, unchanged>(op, evaluate_log_sum_exp); }
TL_OP(reduce_max) {
  define_reduction<largest, unchanged>(op, [](Eval& c) { evaluate_reduction<largest, unchanged>(c, -INFINITY); });
}
TL_OP(reduce_mean) { define<sum, divided>(op); }
TL_OP(reduce_min) {
  define_reduction<smallest, unchanged>(op, [](Eval& c) { evaluate_reduction<smallest, unchanged>(c, INFINITY); });
}
TL_OP(reduce_prod) {
  define_reduction<product, unchanged>(op, [](Eval& c) { evaluate_reduction<product, unchanged>(c, 1); });
}
TL_OP(reduce_sum) { define<sum, unchanged>(op); }
TL_OP(reduce_sum_square) { define<sum_of_squares, unchanged>(op); }

TL_OP(cumsum) {
  op.in("x", dt::numeric);
  op.in("axis", dt::i32).constant().def(0);
  op.in("exclusive", dt::boolean).constant().def(false);
  op.in("reverse", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    c.axis("axis", c.integer("axis"), c.rank("x"));
    c.out(c.type("x"));
  };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    const std::int64_t axis = (c.integer("axis") + rank) % rank;
    const bool exclusive = c.boolean("exclusive");
    const bool reverse = c.boolean("reverse");
    std::int64_t inner = 1;
    for (std::int64_t i = axis + 1; i < rank; ++i) inner *= shape[uz(i)];
    const std::int64_t extent = shape[uz(axis)];
    for (std::int64_t block = 0; block < iz(values.size()); block += extent * inner) {
      for (std::int64_t i = 0; i < inner; ++i) {
        double total = 0;
        for (std::int64_t step = 0; step < extent; ++step) {
          double& at = values[uz(block + i + (reverse ? extent - 1 - step : step) * inner)];
          const double x = at;
          at = exclusive ? total : total + x;
          total += x;
        }
      }
    }
    c.store(0, shape, values);
  };
}

}  // namespace tl::op
