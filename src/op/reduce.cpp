#include <algorithm>
#include <cmath>

#include "ir/op_def.hpp"
#include "op/integers.hpp"

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
    const std::size_t at = uz(axis < 0 ? axis + limit : axis);
    if (reduced[at]) c.reject(param, "axis {} stands twice", at);
    reduced[at] = true;
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
  const std::int64_t line = shape.empty() ? 1 : shape.back();
  const std::int64_t step = shape.empty() ? 0 : strides.back();
  std::int64_t target = 0;
  for (std::int64_t i = 0; i < count; i += line) {
    for (std::int64_t k = 0; k < line; ++k) body(uz(i + k), uz(target + k * step));
    for (std::size_t axis = shape.size(); axis-- > 1;) {
      const std::size_t outer = axis - 1;
      target += strides[outer];
      if (++position[outer] < shape[outer]) break;
      target -= strides[outer] * shape[outer];
      position[outer] = 0;
    }
  }
}

void infer_reduction(Infer& c) {
  const Dims dims = c.dims("x");
  c.out(c.dtype("x"), reduced_dims(dims, reduced_axes(c, "axes", dims.size()), c.boolean("keep_dims")));
}

// For reductions without a value for nothing.
void infer_extreme(Infer& c) {
  const Dims dims = c.dims("x");
  const AxisSet reduced = reduced_axes(c, "axes", dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (reduced[i] && dims[i] == Dim(0)) c.reject("x", "axis {} is empty", i);
  }
  infer_reduction(c);
}

void define_reduction(OpDef& op, InferFn infer, EvalFn eval) {
  op.in("x", dt::numeric);
  op.in("axes", dt::ints).constant().optional();
  op.in("keep_dims", dt::boolean).constant().def(false);
  op.infer = infer;
  op.eval = eval;
}

template <class T, class Step>
std::vector<T> folded(const Eval& c, const std::vector<T>& values, T start, Step step) {
  const Shape& shape = c.shape("x");
  std::vector<T> totals(uz(element_count(c.out_shape())), start);
  for_each_reduced(shape, reduced_axes(c, "axes", shape.size()),
                   [&](std::size_t i, std::size_t target) { totals[target] = step(totals[target], values[i]); });
  return totals;
}

#define TL_FOLD(id, start, real_step, integer_step)                                                                        \
  void evaluate_##id(Eval& c) {                                                                                            \
    if (is_integer(c.out_dtype())) {                                                                                       \
      const auto first = convert_element<std::int64_t>(static_cast<double>(start));                                        \
      auto totals = folded(c, c.integers("x"), first, [](std::int64_t total, std::int64_t x) { return integer_step; });    \
      for (std::int64_t & total : totals) total = wrapped(total, c.out_dtype());                                           \
      c.store(0, totals);                                                                                                  \
    } else {                                                                                                               \
      c.store(0, folded(c, c.doubles("x"), static_cast<double>(start), [](double total, double x) { return real_step; })); \
    }                                                                                                                      \
  }
#define TL_STATISTIC(id, step, result)                                                                     \
  void evaluate_##id(Eval& c) {                                                                            \
    const auto values = c.doubles("x");                                                                    \
    auto totals = folded(c, values, 0.0, [](double total, double x) { return step; });                     \
    [[maybe_unused]] const double count =                                                                  \
        static_cast<double>(values.size()) / static_cast<double>(std::max<std::size_t>(totals.size(), 1)); \
    for (double& total : totals) total = result;                                                           \
    c.store(0, totals);                                                                                    \
  }
#include "op/reduce.inc"

// log(sum(exp(x))), shifted by the largest element so that it neither overflows nor vanishes.
void evaluate_log_sum_exp(Eval& c) {
  const auto values = c.doubles("x");
  const Shape& shape = c.shape("x");
  const auto axes = reduced_axes(c, "axes", shape.size());
  const std::size_t count = uz(element_count(c.out_shape()));
  std::vector<double> tops(count, -INFINITY);
  for_each_reduced(shape, axes, [&](std::size_t i, std::size_t target) {
    tops[target] = std::isnan(values[i]) || values[i] > tops[target] ? values[i] : tops[target];
  });
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
    const std::int64_t axis = c.axis("axis", iz(dims.size()));
    if (dims[uz(axis)].known() && dims[uz(axis)].extent() == 0) c.reject("x", "axis {} is empty", axis);
    const auto dtype = dtype_from_name(c.text("output_dtype"));
    if (!dtype || !is_integer(*dtype)) c.reject("output_dtype", "'{}' is no integer type", c.text("output_dtype"));
    c.out(*dtype, reduced_dims(dims, one_axis(dims.size(), axis), c.boolean("keep_dims")));
  };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    const std::int64_t axis = c.axis("axis", rank);
    std::int64_t inner = 1;
    for (std::int64_t i = axis + 1; i < rank; ++i) inner *= shape[uz(i)];
    const std::size_t count = uz(element_count(c.out_shape()));
    std::vector<std::int64_t> found(count, -1);
    std::vector<double> best(count, 0);
    for_each_reduced(shape, one_axis(shape.size(), axis), [&](std::size_t i, std::size_t target) {
      if (found[target] >= 0 && (std::isnan(best[target]) || !(Better(values[i], best[target]) || std::isnan(values[i]))))
        return;
      best[target] = values[i];
      found[target] = iz(i);
    });
    for (std::int64_t& place : found) place = place / inner % shape[uz(axis)];
    c.store(0, found);
  };
}

// The sums of all elements up to each one along the axis.
template <class T, class Add>
void accumulate(const Eval& c, std::vector<T>& values, Add add) {
  const Shape& shape = c.shape("x");
  const std::int64_t rank = iz(shape.size());
  const std::int64_t axis = c.axis("axis", rank);
  const bool exclusive = c.boolean("exclusive");
  const bool reverse = c.boolean("reverse");
  std::int64_t inner = 1;
  for (std::int64_t i = axis + 1; i < rank; ++i) inner *= shape[uz(i)];
  const std::int64_t extent = shape[uz(axis)];
  for (std::int64_t block = 0; block < iz(values.size()); block += extent * inner) {
    for (std::int64_t i = 0; i < inner; ++i) {
      T total = 0;
      for (std::int64_t step = 0; step < extent; ++step) {
        T& at = values[uz(block + i + (reverse ? extent - 1 - step : step) * inner)];
        const T before = total;
        total = add(total, at);
        at = exclusive ? before : total;
      }
    }
  }
}

bool above(double a, double b) { return a > b; }
bool below(double a, double b) { return a < b; }

}  // namespace

TL_OP(reduce_argmax) { define_arg<above>(op); }
TL_OP(reduce_argmin) { define_arg<below>(op); }
TL_OP(reduce_log_sum_exp) { define_reduction(op, infer_reduction, evaluate_log_sum_exp); }

#define TL_FOLD(id, start, real_step, integer_step) \
  TL_OP(id) { define_reduction(op, std::isinf(static_cast<double>(start)) ? infer_extreme : infer_reduction, evaluate_##id); }
#define TL_STATISTIC(id, step, result) \
  TL_OP(id) { define_reduction(op, infer_reduction, evaluate_##id); }
#include "op/reduce.inc"

TL_OP(cumsum) {
  op.in("x", dt::numeric);
  op.in("axis", dt::i32).constant().def(0);
  op.in("exclusive", dt::boolean).constant().def(false);
  op.in("reverse", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    c.axis("axis", c.rank("x"));
    c.out(c.type("x"));
  };
  op.eval = [](Eval& c) {
    if (is_integer(c.out_dtype())) {
      auto values = c.integers("x");
      accumulate(c, values, wrapping_add);
      for (std::int64_t& v : values) v = wrapped(v, c.out_dtype());
      c.store(0, c.shape("x"), values);
    } else {
      auto values = c.doubles("x");
      accumulate(c, values, [](double total, double x) { return total + x; });
      c.store(0, c.shape("x"), values);
    }
  };
}

}  // namespace tl::op
