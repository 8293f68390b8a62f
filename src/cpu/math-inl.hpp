// Elementary functions on vectors of float. Included once per target.
#if defined(TL_CPU_MATH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_MATH_INL
#undef TL_CPU_MATH_INL
#else
#define TL_CPU_MATH_INL
#endif

#include <type_traits>

#include "cpu/activation.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

HWY_INLINE V constant(float value) { return hn::Set(f32, value); }

// 2^n for whole n in [-126, 127].
HWY_INLINE V pow2(V n) {
  const hn::RebindToSigned<F32> i32;
  return hn::BitCast(f32, hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(i32, n), hn::Set(i32, 127))));
}

// e^x within 2 ulp; 0 below -104, inf above 88.73, NaN kept. Cody-Waite reduction, polynomial of degree 6 on [-ln2/2, ln2/2].
HWY_INLINE V exp(V x) {
  const V clamped = at_most(constant(89.0f), at_least(constant(-104.0f), x));
  const V n = hn::Round(hn::Mul(clamped, constant(1.44269504088896341f)));
  V r = hn::NegMulAdd(n, constant(0.693145751953125f), clamped);
  r = hn::NegMulAdd(n, constant(1.428606765330187045e-06f), r);
  V p = constant(1.0f / 720.0f);
  p = hn::MulAdd(p, r, constant(1.0f / 120.0f));
  p = hn::MulAdd(p, r, constant(1.0f / 24.0f));
  p = hn::MulAdd(p, r, constant(1.0f / 6.0f));
  p = hn::MulAdd(p, r, constant(0.5f));
  p = hn::MulAdd(p, r, constant(1.0f));
  p = hn::MulAdd(p, r, constant(1.0f));
  // In two steps, so that results near the ends of the range neither overflow nor vanish early.
  const V half = hn::Floor(hn::Mul(n, constant(0.5f)));
  return hn::Mul(hn::Mul(p, pow2(half)), pow2(hn::Sub(n, half)));
}

// Natural logarithm within 2 ulp; -inf at 0, NaN below, inf kept. Mantissa in [sqrt(1/2), sqrt(2)), series of atanh.
HWY_INLINE V log(V x) {
  const hn::RebindToSigned<F32> i32;
  const V tiny = constant(1.17549435e-38f);
  const auto subnormal = hn::Lt(x, tiny);
  const V scaled = hn::IfThenElse(subnormal, hn::Mul(x, constant(8388608.0f)), x);
  const auto bits = hn::BitCast(i32, scaled);
  // Exponent of the value over sqrt(1/2), so that the mantissa is centred on 1.
  const auto shifted = hn::Sub(bits, hn::Set(i32, 0x3F3504F3));
  const auto exponent = hn::ShiftRight<23>(shifted);
  const V m = hn::BitCast(f32, hn::Sub(bits, hn::ShiftLeft<23>(exponent)));
  const V e = hn::Sub(hn::ConvertTo(f32, exponent), hn::IfThenElseZero(subnormal, constant(23.0f)));
  const V f = hn::Sub(m, constant(1.0f));
  const V s = hn::Div(f, hn::Add(m, constant(1.0f)));
  const V z = hn::Mul(s, s);
  V p = constant(2.0f / 11.0f);
  p = hn::MulAdd(p, z, constant(2.0f / 9.0f));
  p = hn::MulAdd(p, z, constant(2.0f / 7.0f));
  p = hn::MulAdd(p, z, constant(2.0f / 5.0f));
  p = hn::MulAdd(p, z, constant(2.0f / 3.0f));
  const V series = hn::MulAdd(hn::Mul(p, z), s, hn::Add(s, s));
  V result = hn::MulAdd(e, constant(0.693145751953125f), hn::MulAdd(e, constant(1.428606765330187045e-06f), series));
  result = hn::IfThenElse(hn::Eq(x, constant(__builtin_inff())), x, result);
  result = hn::IfThenElse(hn::Eq(x, hn::Zero(f32)), constant(-__builtin_inff()), result);
  return hn::IfThenElse(hn::Or(hn::Lt(x, hn::Zero(f32)), hn::IsNaN(x)), constant(__builtin_nanf("")), result);
}

HWY_INLINE V sigmoid(V x) { return hn::Div(constant(1.0f), hn::Add(constant(1.0f), exp(hn::Neg(x)))); }

// tanh within 4 ulp: an odd polynomial near 0, 1 - 2 / (e^2x + 1) elsewhere.
HWY_INLINE V tanh(V x) {
  const V a = hn::Abs(x);
  const V s = hn::Mul(x, x);
  V p = constant(-0.00886323552990219656886f);
  p = hn::MulAdd(p, s, constant(0.0218694885361552028218f));
  p = hn::MulAdd(p, s, constant(-0.0539682539682539682540f));
  p = hn::MulAdd(p, s, constant(0.133333333333333333333f));
  p = hn::MulAdd(p, s, constant(-0.333333333333333333333f));
  const V small = hn::MulAdd(hn::Mul(p, s), x, x);
  const V e = exp(hn::Add(a, a));
  const V large = hn::Sub(constant(1.0f), hn::Div(constant(2.0f), hn::Add(e, constant(1.0f))));
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, constant(0.3f)), small, large), x);
}

// erf within 3e-7, relatively: x P(x^2) / Q(x^2), fitted on [-3.92, 3.92], beyond which it is 1 in float.
HWY_INLINE V erf(V x) {
  const V a = at_most(constant(3.92f), at_least(constant(-3.92f), x));
  const V s = hn::Mul(a, a);
  V p = constant(2.05006177e-06f);
  p = hn::MulAdd(p, s, constant(0.000284864858f));
  p = hn::MulAdd(p, s, constant(0.00376515905f));
  p = hn::MulAdd(p, s, constant(0.0527472757f));
  p = hn::MulAdd(p, s, constant(0.190396875f));
  p = hn::MulAdd(p, s, constant(1.12837911f));
  V q = constant(3.80905149e-05f);
  q = hn::MulAdd(q, s, constant(0.00116241048f));
  q = hn::MulAdd(q, s, constant(0.0149683021f));
  q = hn::MulAdd(q, s, constant(0.114104986f));
  q = hn::MulAdd(q, s, constant(0.502067566f));
  q = hn::MulAdd(q, s, constant(1.0f));
  return at_most(constant(1.0f), at_least(constant(-1.0f), hn::Div(hn::Mul(a, p), q)));
}

// Elementary functions are long: kernels other than the element-wise ones share one copy, behind a call.
HWY_INLINE V activate_inline(const ActivationSpec& spec, V x) {
  const V one = constant(1.0f);
  const V zero = hn::Zero(f32);
  const V alpha = constant(spec.alpha);
  const V beta = constant(spec.beta);
  switch (spec.kind) {
    case Activation::clamp: return at_most(beta, at_least(alpha, x));
    case Activation::leaky_relu: return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, x), x);
    case Activation::sigmoid: return sigmoid(x);
    case Activation::tanh: return tanh(x);
    case Activation::silu: return hn::Mul(x, sigmoid(x));
    case Activation::gelu:
      return hn::Mul(hn::Mul(constant(0.5f), x), hn::Add(one, erf(hn::Mul(x, constant(0.70710678118654752440f)))));
    case Activation::gelu_tanh: {
      // (1 + tanh(t)) / 2 is sigmoid(2 t), which does not cancel for negative t.
      const V twice = hn::Mul(constant(1.59576912160573071176f), hn::MulAdd(hn::Mul(constant(0.044715f), hn::Mul(x, x)), x, x));
      return hn::Mul(x, sigmoid(twice));
    }
    case Activation::gelu_sigmoid: return hn::Mul(x, sigmoid(hn::Mul(constant(1.702f), x)));
    case Activation::thresholded_relu: return hn::IfThenElse(hn::Lt(x, alpha), zero, x);
    case Activation::hard_sigmoid: return at_most(one, at_least(zero, hn::MulAdd(alpha, x, beta)));
    case Activation::hard_swish: {
      const V kept = hn::IfThenElse(hn::Lt(x, constant(spec.threshold)), zero, x);
      return hn::Mul(kept, at_most(one, at_least(zero, hn::MulAdd(alpha, kept, beta))));
    }
    case Activation::elu: return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, hn::Sub(exp(x), one)), x);
  }
  return x;
}

HWY_MAYBE_UNUSED static HWY_NOINLINE V activate_called(const ActivationSpec& spec, V x) { return activate_inline(spec, x); }

// Calls body with a function of vectors: the choice between the kinds stands outside of its loops.
template <class Body>
HWY_INLINE void with_activation(const ActivationSpec& spec, Body&& body) {
  const auto as = [&](auto kind) HWY_ATTR {
    body([&](V x) HWY_ATTR { return activate_inline({decltype(kind)::value, spec.alpha, spec.beta, spec.threshold}, x); });
  };
  switch (spec.kind) {
#define TL_CASE(name) \
  case Activation::name: return as(std::integral_constant<Activation, Activation::name>());
    TL_CASE(clamp)
    TL_CASE(leaky_relu)
    TL_CASE(sigmoid)
    TL_CASE(tanh)
    TL_CASE(silu)
    TL_CASE(gelu)
    TL_CASE(gelu_tanh)
    TL_CASE(gelu_sigmoid)
    TL_CASE(hard_sigmoid)
    TL_CASE(hard_swish)
    TL_CASE(elu)
    TL_CASE(thresholded_relu)
#undef TL_CASE
  }
}

// In place, of whole vectors.
HWY_MAYBE_UNUSED static HWY_NOINLINE void activate_all(const ActivationSpec& spec, float* values, std::size_t count) {
  with_activation(spec, [&](auto f) HWY_ATTR {
    for (std::size_t i = 0; i < count; i += lanes) store(f(load(values + i)), values + i);
  });
}

HWY_INLINE V activate(const ActivationSpec& spec, V x) {
  if (HWY_LIKELY(spec.kind == Activation::clamp)) return at_most(constant(spec.beta), at_least(constant(spec.alpha), x));
  return activate_called(spec, x);
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
