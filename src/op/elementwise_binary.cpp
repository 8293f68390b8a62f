#include <cmath>

#include "op/broadcast.hpp"
#include "op/integers.hpp"

namespace tl::op {

using namespace ir;

namespace {

// NumPy's maximum and minimum: a NaN on either side wins.
double larger(double x, double y) { return std::isnan(x) || x > y ? x : y; }
double smaller(double x, double y) { return std::isnan(x) || x < y ? x : y; }

double floor_remainder(double x, double y) {
  // Of floats whose quotient is small the remainder is exact in double; elsewhere fmod, which is slow.
  const double q = std::trunc(x / y);
  const bool narrow = static_cast<double>(static_cast<float>(x)) == x && static_cast<double>(static_cast<float>(y)) == y;
  const double r = narrow && std::isfinite(y) && std::fabs(q) < 0x1p28 ? std::copysign(x - q * y, x) : std::fmod(x, y);
  if (r == 0) return std::copysign(r, y);
  return (r < 0) != (y < 0) ? r + y : r;
}

// Division by zero gives 0, as NumPy's integer division does.
std::int64_t floor_quotient(std::int64_t x, std::int64_t y) {
  if (y == 0) return 0;
  if (y == -1) return wrapping_sub(0, x);
  const std::int64_t q = x / y;
  return x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q;
}

std::int64_t truncated_quotient(std::int64_t x, std::int64_t y) { return y == 0 ? 0 : y == -1 ? wrapping_sub(0, x) : x / y; }

std::int64_t integer_remainder(std::int64_t x, std::int64_t y) {
  return y == 0 ? 0 : wrapping_sub(x, wrapping_mul(floor_quotient(x, y), y));
}

std::int64_t integer_power(std::int64_t x, std::int64_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 == 0 ? 1 : -1) : 0;
  std::uint64_t result = 1;
  auto base = static_cast<std::uint64_t>(x);
  for (; y > 0; y >>= 1) {
    if ((y & 1) != 0) result *= base;
    base *= base;
  }
  return static_cast<std::int64_t>(result);
}

template <class T, class Out, class F>
std::vector<Out> combine(const Eval& c, const Shape& out, F f) {
  const Tensor x = c.in("x").cast(dtype_of<T>::value);
  const Tensor y = c.in("y").cast(dtype_of<T>::value);
  const auto xs = x.values<T>();
  const auto ys = y.values<T>();
  std::vector<Out> result(uz(element_count(out)));
  for_each_broadcast<2>(out, {&x.shape(), &y.shape()},
                        [&](std::size_t o, const auto& at) { result[o] = f(xs[uz(at[0])], ys[uz(at[1])]); });
  return result;
}

void infer_pair(Infer& c, std::optional<DType> result) {
  const DType x = c.dtype("x");
  const DType y = c.dtype("y");
  if (x != y) c.reject("y", "dtype {} does not match x, which is {}", name(y), name(x));
  c.out(result.value_or(x), broadcast_dims(c, "y", c.dims("x"), c.dims("y")));
}

using FloatFormula = double (*)(double, double);
using IntegerFormula = std::int64_t (*)(std::int64_t, std::int64_t);

template <FloatFormula F, IntegerFormula I>
void define_binary(OpDef& op) {
  op.elementwise = true;
  op.in("x", dt::numeric);
  op.in("y", dt::numeric);
  op.infer = [](Infer& c) { infer_pair(c, std::nullopt); };
  op.eval = [](Eval& c) {
    const Shape out = c.out_shape();
    if (is_integer(c.out_dtype())) {
      const DType dtype = c.out_dtype();
      c.store(0, combine<std::int64_t, std::int64_t>(c, out,
                                                     [=](std::int64_t x, std::int64_t y) { return wrapped(I(x, y), dtype); }));
    } else {
      c.store(0, combine<double, double>(c, out, F));
    }
  };
}

template <bool (*F)(double, double), bool (*I)(std::int64_t, std::int64_t)>
void define_comparison(OpDef& op, DTypeSet dtypes) {
  op.elementwise = true;
  op.in("x", dtypes);
  op.in("y", dtypes);
  op.infer = [](Infer& c) { infer_pair(c, DType::boolean); };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const Tensor y = c.in("y");
    Tensor result(DType::boolean, c.out_shape());
    visit_dtype(x.dtype(), [&](auto tag) {
      using T = decltype(tag);
      const auto xs = x.values<T>();
      const auto ys = y.values<T>();
      const auto out = result.mutable_values<bool>();
      for_each_broadcast<2>(result.shape(), {&x.shape(), &y.shape()}, [&](std::size_t o, const auto& at) {
        const T a = xs[uz(at[0])];
        const T b = ys[uz(at[1])];
        if constexpr (std::is_same_v<T, float> || is_small_float<T> || std::is_same_v<T, double>) {
          out[o] = F(static_cast<double>(load_element(a)), static_cast<double>(load_element(b)));
        } else if constexpr (std::is_same_v<T, std::uint64_t>) {
          out[o] = I(convert_element<std::int64_t>(a), convert_element<std::int64_t>(b));
        } else {
          out[o] = I(a, b);
        }
      });
    });
    c.set(0, std::move(result));
  };
}

#define TL_BINARY(id, floats, integers)                    \
  double float_##id(double x, double y) { return floats; } \
  std::int64_t integer_##id(std::int64_t x, std::int64_t y) { return integers; }
#include "op/elementwise_binary.inc"
#undef TL_BINARY

#define TL_COMPARISON(id, dtypes, formula) \
  template <class T>                       \
  bool compare_##id(T x, T y) {            \
    return formula;                        \
  }
#include "op/comparison.inc"
#undef TL_COMPARISON

}  // namespace

#define TL_BINARY(id, floats, integers) \
  TL_OP(id) { define_binary<float_##id, integer_##id>(op); }
#include "op/elementwise_binary.inc"
#undef TL_BINARY

#define TL_COMPARISON(id, dtypes, formula) \
  TL_OP(id) { define_comparison<compare_##id<double>, compare_##id<std::int64_t>>(op, dtypes); }
#include "op/comparison.inc"
#undef TL_COMPARISON

TL_OP(select) {
  op.elementwise = true;
  op.in("cond", dt::boolean);
  op.in("a", dt::numeric | dt::boolean);
  op.in("b", dt::numeric | dt::boolean);
  op.infer = [](Infer& c) {
    if (c.dtype("a") != c.dtype("b"))
      c.reject("b", "dtype {} does not match a, which is {}", name(c.dtype("b")), name(c.dtype("a")));
    const Dims values = broadcast_dims(c, "b", c.dims("a"), c.dims("b"));
    c.out(c.dtype("a"), broadcast_dims(c, "cond", c.dims("cond"), values));
  };
  op.eval = [](Eval& c) {
    const Tensor cond = c.in("cond");
    const Tensor a = c.in("a");
    const Tensor b = c.in("b");
    const auto choose = cond.values<bool>();
    Tensor result(c.out_dtype(), c.out_shape());
    visit_dtype(c.out_dtype(), [&](auto tag) {
      using T = decltype(tag);
      const auto as = a.values<T>();
      const auto bs = b.values<T>();
      auto out = result.mutable_values<T>();
      for_each_broadcast<3>(result.shape(), {&cond.shape(), &a.shape(), &b.shape()},
                            [&](std::size_t o, const auto& at) { out[o] = choose[uz(at[0])] ? as[uz(at[1])] : bs[uz(at[2])]; });
    });
    c.set(0, std::move(result));
  };
}

}  // namespace tl::op
