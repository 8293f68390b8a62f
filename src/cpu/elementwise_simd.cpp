#include "cpu/elementwise.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/elementwise_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

// out[i] = value(i, n) for runs of n. A rest shorter than a vector is part of a last whole one, which is computed first: `out`
// may be what is read.
template <class T, class F>
HWY_INLINE void put_all(std::size_t count, T* out, F value) {
  if (count < lanes) {
    if (count > 0) store_n(value(std::size_t{0}, count), out, count);
    return;
  }
  const V last = value(count - lanes, lanes);
  for (std::size_t i = 0; i + lanes <= count; i += lanes) store(value(i, lanes), out + i);
  store(last, out + count - lanes);
}

// `once` begins anew after every `period` elements: a vector of it is read from floats that go round.
template <class T, class F>
HWY_INLINE void repeated(const T* all, const T* once, std::size_t period, std::size_t count, T* out, F f) {
  if (count == 0) return;
  HWY_ALIGN float round[longest_period + 2 * lanes];
  const std::size_t span = period < lanes ? (lanes + period - 1) / period * period : period;
  for_lanes(period, [&](std::size_t i, std::size_t n) HWY_ATTR { store(load_up_to(once + i, n), round + i); });
  for (std::size_t i = period; i < span + lanes; ++i) round[i] = round[i - period];
  if (count < lanes) {
    store_n(f(load_n(all, count), load(round)), out, count);
    return;
  }
  const V last = f(load(all + count - lanes), load(round + (count - lanes) % span));
  std::size_t at = 0;
  for (std::size_t i = 0; i + lanes <= count; i += lanes) {
    store(f(load(all + i), load(round + at)), out + i);
    at += lanes;
    if (at >= span) at -= span;
  }
  store(last, out + count - lanes);
}

template <class T, class F>
HWY_INLINE void pairs(const BinaryRun& r, F f) {
  const T* x = static_cast<const T*>(r.x);
  const T* y = static_cast<const T*>(r.y);
  T* out = static_cast<T*>(r.out);
  const auto first = [](const T* p) HWY_ATTR {
    T same[lanes];
    for (T& v : same) v = *p;
    return load(same);
  };
  if (r.y_period != 0) {
    repeated(x, y, r.y_period, r.count, out, f);
  } else if (r.x_period != 0) {
    repeated(y, x, r.x_period, r.count, out, [&](V b, V a) HWY_ATTR { return f(a, b); });
  } else if (r.x_step == 1 && r.y_step == 1) {
    put_all(r.count, out, [&](std::size_t i, std::size_t n) HWY_ATTR { return f(load_up_to(x + i, n), load_up_to(y + i, n)); });
  } else if (r.x_step == 1) {
    const V b = first(y);
    put_all(r.count, out, [&](std::size_t i, std::size_t n) HWY_ATTR { return f(load_up_to(x + i, n), b); });
  } else {
    const V a = first(x);
    put_all(r.count, out,
            [&](std::size_t i, std::size_t n) HWY_ATTR { return f(a, r.y_step == 1 ? load_up_to(y + i, n) : first(y)); });
  }
}

template <class T>
void binary_as(const BinaryRun& r) {
  switch (r.kind) {
    case Binary::add: return pairs<T>(r, [](V a, V b) HWY_ATTR { return hn::Add(a, b); });
    case Binary::sub: return pairs<T>(r, [](V a, V b) HWY_ATTR { return hn::Sub(a, b); });
    case Binary::mul: return pairs<T>(r, [](V a, V b) HWY_ATTR { return hn::Mul(a, b); });
    case Binary::real_div: return pairs<T>(r, [](V a, V b) HWY_ATTR { return hn::Div(a, b); });
    case Binary::mod: return pairs<T>(r, [](V a, V b) HWY_ATTR { return mod(a, b); });
    case Binary::pow: return pairs<T>(r, [](V a, V b) HWY_ATTR { return pow(a, b); });
    // NaN on either side wins.
    case Binary::maximum:
      return pairs<T>(r, [](V a, V b) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b); });
    case Binary::minimum:
      return pairs<T>(r, [](V a, V b) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b); });
  }
}

void binary(const BinaryRun& r) {
  if (r.storage == Storage::f16) {
    binary_as<Half>(r);
  } else {
    binary_as<float>(r);
  }
}

template <class F>
HWY_INLINE void integer_pairs(const BinaryRun& r, F f) {
  const hn::RebindToSigned<F32> i32;
  const auto* x = static_cast<const std::int32_t*>(r.x);
  const auto* y = static_cast<const std::int32_t*>(r.y);
  auto* out = static_cast<std::int32_t*>(r.out);
  for_lanes(r.count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    HWY_ALIGN std::int32_t a[lanes] = {}, b[lanes] = {}, c[lanes];
    if (n == lanes && r.x_step == 1 && r.y_step == 1) {
      hn::StoreU(f(hn::LoadU(i32, x + i), hn::LoadU(i32, y + i)), i32, out + i);
      return;
    }
    for (std::size_t k = 0; k < n; ++k) {
      a[k] = x[(i + k) * r.x_step];
      b[k] = y[(i + k) * r.y_step];
    }
    hn::Store(f(hn::Load(i32, a), hn::Load(i32, b)), i32, c);
    std::memcpy(out + i, c, n * sizeof(std::int32_t));
  });
}

void integers(const BinaryRun& r) {
  using I = hn::Vec<hn::RebindToSigned<F32>>;
  switch (r.kind) {
    case Binary::add: return integer_pairs(r, [](I a, I b) HWY_ATTR { return hn::Add(a, b); });
    case Binary::sub: return integer_pairs(r, [](I a, I b) HWY_ATTR { return hn::Sub(a, b); });
    case Binary::mul: return integer_pairs(r, [](I a, I b) HWY_ATTR { return hn::Mul(a, b); });
    case Binary::maximum: return integer_pairs(r, [](I a, I b) HWY_ATTR { return hn::Max(a, b); });
    default: return integer_pairs(r, [](I a, I b) HWY_ATTR { return hn::Min(a, b); });
  }
}

template <class T, class U, class F>
HWY_INLINE void each(const UnaryRun& r, F f) {
  const T* HWY_RESTRICT x = static_cast<const T*>(r.x);
  U* out = static_cast<U*>(r.out);
  for_lanes(r.count, [&](std::size_t i, std::size_t n) HWY_ATTR { store_up_to(f(load_up_to(x + i, n)), out + i, n); });
}

template <class T, class U>
void unary_as(const UnaryRun& r) {
  const V alpha = constant(r.activation.alpha);
  const V beta = constant(r.activation.beta);
  const V one = constant(1.0f);
  const V zero = hn::Zero(f32);
  switch (r.kind) {
    case Unary::activation: return with_activation<U>(r.activation, [&](auto f) HWY_ATTR { each<T, U>(r, f); });
    case Unary::abs: return each<T, U>(r, [](V x) HWY_ATTR { return hn::Abs(x); });
    case Unary::acos: return each<T, U>(r, [](V x) HWY_ATTR { return acos(x); });
    case Unary::asin: return each<T, U>(r, [](V x) HWY_ATTR { return asin(x); });
    case Unary::atanh: return each<T, U>(r, [](V x) HWY_ATTR { return atanh(x); });
    case Unary::ceil: return each<T, U>(r, [](V x) HWY_ATTR { return hn::CopySign(hn::Ceil(x), x); });
    case Unary::clamped_relu:
      return each<T, U>(r, [=](V x) HWY_ATTR { return at_most(beta, hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, x), x)); });
    case Unary::cosh: return each<T, U>(r, [](V x) HWY_ATTR { return cosh(x); });
    case Unary::erf: return each<T, U>(r, [](V x) HWY_ATTR { return erf(x); });
    case Unary::exp: return each<T, U>(r, [](V x) HWY_ATTR { return exp(x); });
    case Unary::exp2:
      return each<T, U>(r, [](V x) HWY_ATTR {
        const V whole = hn::Round(at_most(constant(130.0f), at_least(constant(-152.0f), x)));
        const V rest = hn::Mul(hn::Sub(x, whole), constant(0.69314718055994530942f));
        const V small = times_pow2(exp(rest), whole);
        return hn::IfThenElse(hn::Gt(x, constant(128.0f)), constant(__builtin_inff()), small);
      });
    case Unary::floor: return each<T, U>(r, [](V x) HWY_ATTR { return hn::CopySign(hn::Floor(x), x); });
    case Unary::inverse: return each<T, U>(r, [=](V x) HWY_ATTR { return hn::Div(one, hn::Add(x, alpha)); });
    case Unary::linear: return each<T, U>(r, [=](V x) HWY_ATTR { return hn::MulAdd(alpha, x, beta); });
    case Unary::log: return each<T, U>(r, [=](V x) HWY_ATTR { return log(hn::Add(x, alpha)); });
    case Unary::round: return each<T, U>(r, [](V x) HWY_ATTR { return hn::Round(x); });
    case Unary::rsqrt: return each<T, U>(r, [=](V x) HWY_ATTR { return hn::Div(one, hn::Sqrt(hn::Add(x, alpha))); });
    case Unary::scaled_tanh: return each<T, U>(r, [=](V x) HWY_ATTR { return hn::Mul(alpha, tanh(hn::Mul(beta, x))); });
    case Unary::sign:
      return each<T, U>(r, [=](V x) HWY_ATTR {
        return hn::IfThenElse(hn::Gt(x, zero), one, hn::IfThenElse(hn::Lt(x, zero), hn::Neg(one), x));
      });
    case Unary::sinh: return each<T, U>(r, [](V x) HWY_ATTR { return sinh(x); });
    case Unary::softplus: return each<T, U>(r, [](V x) HWY_ATTR { return softplus(x); });
    case Unary::softplus_parametric:
      return each<T, U>(r, [=](V x) HWY_ATTR { return hn::Mul(alpha, softplus(hn::Mul(beta, x))); });
    case Unary::softsign: return each<T, U>(r, [=](V x) HWY_ATTR { return hn::Div(x, hn::Add(one, hn::Abs(x))); });
    case Unary::sqrt: return each<T, U>(r, [](V x) HWY_ATTR { return hn::Sqrt(x); });
    case Unary::square: return each<T, U>(r, [](V x) HWY_ATTR { return hn::Mul(x, x); });
    case Unary::threshold: return each<T, U>(r, [=](V x) HWY_ATTR { return hn::IfThenElse(hn::Lt(x, alpha), alpha, x); });
  }
}

void unary(const UnaryRun& r) {
  if (r.from == Storage::f16) {
    if (r.to == Storage::f16) {
      unary_as<Half, Half>(r);
    } else {
      each<Half, float>(r, [](V x) HWY_ATTR { return x; });
    }
  } else if (r.to == Storage::f16) {
    each<float, Half>(r, [](V x) HWY_ATTR { return x; });
  } else {
    unary_as<float, float>(r);
  }
}

}  // namespace

const ElementwiseKernels& elementwise_table() {
  static const ElementwiseKernels table = {&binary, &integers, &unary};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(elementwise_table);
const ElementwiseKernels& elementwise_kernels() { return HWY_DYNAMIC_DISPATCH(elementwise_table)(); }
}  // namespace tl::cpu
#endif
