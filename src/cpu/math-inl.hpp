// Elementary functions on vectors of float. Included once per target.
#if defined(TL_CPU_MATH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_MATH_INL
#undef TL_CPU_MATH_INL
#else
#define TL_CPU_MATH_INL
#endif

#include <cmath>
#include <type_traits>

#include "cpu/activation.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

HWY_INLINE V constant(float value) { return hn::Set(f32, value); }

// A polynomial by Horner's rule, the highest power first.
template <class D, class... Coefficients>
HWY_INLINE hn::Vec<D> polynomial(D d, hn::Vec<D> x, hn::TFromD<D> highest, Coefficients... others) {
  hn::Vec<D> p = hn::Set(d, highest);
  ((p = hn::MulAdd(p, x, hn::Set(d, others))), ...);
  return p;
}

template <class D, std::size_t count>
HWY_INLINE hn::Vec<D> polynomial(D d, hn::Vec<D> x, const hn::TFromD<D> (&coefficients)[count]) {
  hn::Vec<D> p = hn::Set(d, coefficients[0]);
  TL_UNROLL for (std::size_t i = 1; i < count; ++i) p = hn::MulAdd(p, x, hn::Set(d, coefficients[i]));
  return p;
}

// 2^n for whole n in [-126, 127]: added to 1.5 2^23 + 127, the exponent stands in the lowest bits.
HWY_INLINE V pow2(V n) {
  const hn::RebindToSigned<F32> i32;
  return hn::BitCast(f32, hn::ShiftLeft<23>(hn::BitCast(i32, hn::Add(n, constant(12583039.0f)))));
}

// p 2^n for whole n in [-252, 254], rounded once where the result is subnormal or infinite.
HWY_INLINE V times_pow2(V p, V n) {
#if HWY_TARGET <= HWY_AVX3
  return V{_mm512_scalef_ps(p.raw, n.raw)};
#else
  const V half = hn::Floor(hn::Mul(n, constant(0.5f)));
  return hn::Mul(hn::Mul(p, pow2(half)), pow2(hn::Sub(n, half)));
#endif
}

// e^x within 2 ulp; 0 below -104, inf above 88.73, NaN kept. Cody-Waite reduction, polynomial of degree 6 on [-ln2/2, ln2/2].
HWY_INLINE V exp(V x) {
  const V clamped = at_most(constant(89.0f), at_least(constant(-104.0f), x));
  const V n = hn::Round(hn::Mul(clamped, constant(1.44269504088896341f)));
  V r = hn::NegMulAdd(n, constant(0.693145751953125f), clamped);
  r = hn::NegMulAdd(n, constant(1.428606765330187045e-06f), r);
  return times_pow2(polynomial(f32, r, 1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f), n);
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
  const V p = polynomial(f32, z, 2.0f / 11.0f, 2.0f / 9.0f, 2.0f / 7.0f, 2.0f / 5.0f, 2.0f / 3.0f);
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
  const V p = polynomial(f32, s, -0.00886323552990219656886f, 0.0218694885361552028218f, -0.0539682539682539682540f,
                         0.133333333333333333333f, -0.333333333333333333333f);
  const V small = hn::MulAdd(hn::Mul(p, s), x, x);
  const V e = exp(hn::Add(a, a));
  const V large = hn::Sub(constant(1.0f), hn::Div(constant(2.0f), hn::Add(e, constant(1.0f))));
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, constant(0.3f)), small, large), x);
}

// asin on [0, 1/2], within 1 ulp: an odd polynomial fitted there.
HWY_INLINE V asin_of_small(V a) {
  const V z = hn::Mul(a, a);
  const V p = polynomial(f32, z, 0.0422185138f, 0.0241476279f, 0.045477096f, 0.0749524161f, 0.166667536f);
  return hn::MulAdd(hn::Mul(p, z), a, a);
}

// asin and acos within 3 ulp; NaN beyond 1. Above 1/2: asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)).
HWY_INLINE V asin(V x) {
  const V a = hn::Abs(x);
  const auto near = hn::Le(a, constant(0.5f));
  const V rest = hn::Sqrt(hn::Mul(constant(0.5f), hn::Sub(constant(1.0f), a)));
  const V s = asin_of_small(hn::IfThenElse(near, a, rest));
  return hn::CopySign(hn::IfThenElse(near, s, hn::NegMulAdd(constant(2.0f), s, constant(1.57079632679489661923f))), x);
}
HWY_INLINE V acos(V x) {
  const V a = hn::Abs(x);
  const auto near = hn::Le(a, constant(0.5f));
  const V rest = hn::Sqrt(hn::Mul(constant(0.5f), hn::Sub(constant(1.0f), a)));
  const V s = asin_of_small(hn::IfThenElse(near, a, rest));
  const V twice = hn::Add(s, s);
  const V far = hn::IfThenElse(hn::Lt(x, hn::Zero(f32)), hn::Sub(constant(3.14159265358979323846f), twice), twice);
  return hn::IfThenElse(near, hn::Sub(constant(1.57079632679489661923f), hn::CopySign(s, x)), far);
}

// atanh within 3 ulp: its series near 0, half a logarithm elsewhere.
HWY_INLINE V atanh(V x) {
  const V one = constant(1.0f);
  const V z = hn::Mul(x, x);
  const V p = polynomial(f32, z, 1.0f / 11.0f, 1.0f / 9.0f, 1.0f / 7.0f, 1.0f / 5.0f, 1.0f / 3.0f);
  const V near = hn::MulAdd(hn::Mul(p, z), x, x);
  const V a = hn::Abs(x);
  const V far = hn::Mul(constant(0.5f), log(hn::Div(hn::Add(one, a), hn::Sub(one, a))));
  return hn::IfThenElse(hn::Lt(a, constant(0.25f)), near, hn::CopySign(far, x));
}

// sinh and cosh within 6 ulp; e^|x| = h^2 may be above the largest number where half of it is not.
HWY_INLINE V sinh(V x) {
  const V a = hn::Abs(x);
  const V z = hn::Mul(x, x);
  const V p = polynomial(f32, z, 1.0f / 362880.0f, 1.0f / 5040.0f, 1.0f / 120.0f, 1.0f / 6.0f);
  const V near = hn::MulAdd(hn::Mul(p, z), x, x);
  const V h = exp(hn::Mul(constant(0.5f), a));
  const V far = hn::NegMulAdd(constant(0.5f), hn::Div(constant(1.0f), hn::Mul(h, h)), hn::Mul(h, hn::Mul(constant(0.5f), h)));
  return hn::IfThenElse(hn::Lt(a, constant(1.0f)), near, hn::CopySign(far, x));
}
HWY_INLINE V cosh(V x) {
  const V h = exp(hn::Mul(constant(0.5f), hn::Abs(x)));
  return hn::MulAdd(constant(0.5f), hn::Div(constant(1.0f), hn::Mul(h, h)), hn::Mul(h, hn::Mul(constant(0.5f), h)));
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
HWY_INLINE V softplus(V x) {
  const V tail = log(hn::Add(constant(1.0f), exp(hn::Neg(hn::Abs(x)))));
  return hn::Add(hn::IfThenElse(hn::Lt(x, hn::Zero(f32)), hn::Zero(f32), x), tail);
}

// x P(x^2) / Q(x^2), the highest powers first.
struct OddFraction {
  float p[6], q[6];
};
// erf(x) within 3e-7, relatively; fitted on [-3.92, 3.92], beyond which it is 1 in float.
constexpr OddFraction erf_fraction = {
    {2.05006177e-06f, 0.000284864858f, 0.00376515905f, 0.0527472757f, 0.190396875f, 1.12837911f},
    {3.80905149e-05f, 0.00116241048f, 0.0149683021f, 0.114104986f, 0.502067566f, 1.0f}};
// erf(x / sqrt(2)) / 2, on [-5.54, 5.54].
constexpr OddFraction gelu_fraction = [] {
  OddFraction f = erf_fraction;
  double power = 1.0 / 32;  // of x^2 / 2
  for (int i = 0; i < 6; ++i, power *= 2) {
    f.p[i] = static_cast<float>(f.p[i] * power * 0.35355339059327376220);  // sqrt(1 / 8)
    f.q[i] = static_cast<float>(f.q[i] * power);
  }
  return f;
}();

// erf within 3e-7, relatively.
HWY_INLINE V erf(V x) {
  const V a = at_most(constant(3.92f), at_least(constant(-3.92f), x));
  const V s = hn::Mul(a, a);
  const V p = polynomial(f32, s, erf_fraction.p);
  const V q = polynomial(f32, s, erf_fraction.q);
  return at_most(constant(1.0f), at_least(constant(-1.0f), hn::Div(hn::Mul(a, p), q)));
}

// a / b within 2 ulp, b in [2^-100, 2^100].
HWY_INLINE V quotient(V a, V b) {
#if HWY_TARGET <= HWY_AVX3
  // Newton's step on an estimate of 14 bits: cheaper than the division.
  const V r = hn::ApproximateReciprocal(b);
  return hn::Mul(a, hn::MulAdd(r, hn::NegMulAdd(b, r, constant(1.0f)), r));
#else
  return hn::Div(a, b);
#endif
}

// x (1 + erf(x / sqrt(2))) / 2 with the fit of erf: the second factor within 3e-7.
HWY_INLINE V gelu(V x) {
  const V a = at_most(constant(5.66f), at_least(constant(-5.66f), x));
  const V s = hn::Mul(a, a);
  const V p = polynomial(f32, s, gelu_fraction.p);
  const V q = polynomial(f32, s, gelu_fraction.q);
  const V factor = hn::Add(quotient(hn::Mul(a, p), q), constant(0.5f));
  return hn::Mul(x, at_most(constant(1.0f), at_least(hn::Zero(f32), factor)));
}

// gelu for results of float16, within an eighth of half a unit of them: max(x, 0) - |x| Phi(-|x|), the latter in 16 pieces of
// degree four, 3/8 wide.
HWY_INLINE V gelu_to_half(V x) {
#if HWY_TARGET <= HWY_AVX3
  static constexpr float pieces[5][16] = {
      {0.065456897f, 0.0472722501f, 0.00491260411f, -0.0284889191f, -0.0357311592f, -0.0233342461f, -0.00752134621f,
       0.00174105447f, 0.00402046973f, 0.00296730455f, 0.00149074907f, 0.000579952146f, 0.000183103257f, 4.73941509e-05f,
       1.01747864e-05f, 1.83464351e-06f},
      {0.000168926636f, 0.0888542458f, 0.128391981f, 0.108132042f, 0.0567795448f, 0.0107987076f, -0.0123354886f, -0.0159669351f,
       -0.0110788643f, -0.00561095728f, -0.00224605389f, -0.000735071488f, -0.000200207302f, -4.58537288e-05f, -8.8933275e-06f,
       -1.46792274e-06f},
      {-0.398950011f, -0.345724285f, -0.216445282f, -0.0778001249f, 0.0161827803f, 0.0521169975f, 0.0485936962f, 0.031111896f,
       0.0155120315f, 0.0062986589f, 0.00212770631f, 0.000605014386f, 0.000145860788f, 2.99757303e-05f, 5.27096881e-06f,
       7.95017854e-07f},
      {0.50000006f, 0.214392036f, 0.000783156778f, -0.108062334f, -0.127470165f, -0.0985812321f, -0.0591924042f, -0.0290695913f,
       -0.0119456574f, -0.00415690849f, -0.00123358262f, -0.000313571509f, -6.84821935e-05f, -1.28771608e-05f, -2.08803158e-06f,
       -2.92301422e-07f},
      {0.0f, 0.132686421f, 0.169970527f, 0.146581322f, 0.100210823f, 0.05699322f, 0.0275050998f, 0.011372692f, 0.00404969323f,
       0.00124563277f, 0.000331559888f, 7.64624419e-05f, 1.52893917e-05f, 2.65224321e-06f, 3.99275621e-07f, 5.21776649e-08f}};
  const V a = at_most(constant(5.8f), hn::Abs(x));
  // Leaves the next whole number in the lowest bits, which are all that the lookup reads.
  const V whole = constant(12582912.0f);
  const V n = hn::MulAdd(a, constant(8.0f / 3.0f), whole);
  const V f = hn::NegMulAdd(hn::Sub(n, whole), constant(0.375f), a);
  const auto piece = [&](std::size_t power) HWY_ATTR {
    return V{_mm512_permutexvar_ps(_mm512_castps_si512(n.raw), hn::LoadU(f32, pieces[power]).raw)};
  };
  V p = piece(0);
  TL_UNROLL for (std::size_t power = 1; power < 5; ++power) p = hn::MulAdd(p, f, piece(power));
  return hn::Sub(at_least(hn::Zero(f32), x), p);
#else
  return gelu(x);
#endif
}

// The remainder with the sign of the divisor, exact before its one rounding where the quotient is small.
HWY_MAYBE_UNUSED static HWY_NOINLINE V mod(V x, V y) {
  const hn::CappedTag<double, 8> f64;
  const hn::Rebind<float, decltype(f64)> narrow;
  using W = hn::Vec<decltype(f64)>;
  HWY_ALIGN float top[lanes], bottom[lanes], result[lanes];
  store(x, top);
  store(y, bottom);
  for (std::size_t i = 0; i < lanes; i += hn::Lanes(f64)) {
    const W a = hn::PromoteTo(f64, hn::LoadU(narrow, top + i));
    const W b = hn::PromoteTo(f64, hn::LoadU(narrow, bottom + i));
    const W q = hn::Trunc(hn::Div(a, b));
    const auto small = hn::And(hn::Lt(hn::Abs(q), hn::Set(f64, 0x1p28)), hn::Lt(hn::Abs(b), hn::Set(f64, 0x1p128)));
    if (HWY_UNLIKELY(!hn::AllTrue(f64, small))) {
      for (std::size_t k = i; k < i + hn::Lanes(f64); ++k) {
        const double r = std::fmod(static_cast<double>(top[k]), static_cast<double>(bottom[k]));
        const bool other = r != 0 && (r < 0) != (bottom[k] < 0);
        result[k] = static_cast<float>(r == 0 ? std::copysign(r, static_cast<double>(bottom[k])) : other ? r + bottom[k] : r);
      }
      continue;
    }
    const W zero = hn::Zero(f64);
    const W r = hn::CopySign(hn::Sub(a, hn::Mul(q, b)), a);
    const auto other = hn::Xor(hn::MaskFromVec(hn::VecFromMask(f64, hn::Lt(r, zero))), hn::Lt(b, zero));
    const W moved = hn::IfThenElse(other, hn::Add(r, b), r);
    hn::StoreU(hn::DemoteTo(narrow, hn::IfThenElse(hn::Eq(r, zero), hn::CopySign(r, b), moved)), narrow, result + i);
  }
  return load(result);
}

// |x|^y of `lanes` elements, x neither zero nor infinite, y finite. In double inside: the logarithm's error is multiplied by y
// log x.
HWY_MAYBE_UNUSED static HWY_NOINLINE void pow_block(const float* x, const float* y, float* out) {
  const hn::CappedTag<double, 8> f64;
  using D = decltype(f64);
  const hn::Rebind<float, D> narrow;
  const hn::RebindToSigned<D> i64;
  using W = hn::Vec<D>;
  const auto number = [&](double v) HWY_ATTR { return hn::Set(f64, v); };
  // Added to a whole number of less than 2^51, it leaves that number in the lowest bits.
  const W shifter = number(6755399441055744.0);
  for (std::size_t i = 0; i < lanes; i += hn::Lanes(f64)) {
    const auto base = hn::LoadU(narrow, x + i);
    const auto exponent = hn::LoadU(narrow, y + i);
    const W a = hn::PromoteTo(f64, hn::Abs(base));
    // a = m 2^e, m in [sqrt(1/2), sqrt(2)); log a = e log 2 + 2 atanh((m - 1) / (m + 1)).
    const auto bits = hn::BitCast(i64, a);
    const auto shifted = hn::Sub(bits, hn::Set(i64, 0x3FE6A09E667F3BCDLL));
    const auto top = hn::And(shifted, hn::Set(i64, static_cast<std::int64_t>(0xFFF0000000000000ULL)));
    const W m = hn::BitCast(f64, hn::Sub(bits, top));
    // The exponent, biased to be positive, moved into the mantissa of 2^52.
    const auto biased =
        hn::ShiftRight<52>(hn::BitCast(hn::RebindToUnsigned<D>(), hn::Add(top, hn::Set(i64, 0x4000000000000000LL))));
    const W e = hn::Sub(hn::BitCast(f64, hn::Or(biased, hn::Set(hn::RebindToUnsigned<D>(), 0x4330000000000000ULL))),
                        number(4503599627370496.0 + 1024.0));
    const W s = hn::Div(hn::Sub(m, number(1.0)), hn::Add(m, number(1.0)));
    const W z = hn::Mul(s, s);
    const W p =
        polynomial(f64, z, 2.0 / 17.0, 2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0);
    const W logarithm = hn::MulAdd(e, number(0.69314718055994530942), hn::Mul(p, s));
    W t = hn::Mul(logarithm, hn::PromoteTo(f64, exponent));
    t = hn::Max(number(-150.0), hn::Min(number(150.0), t));
    const W whole = hn::Add(hn::Mul(t, number(1.44269504088896340736)), shifter);
    const W r = hn::NegMulAdd(hn::Sub(whole, shifter), number(0.69314718055994530942), t);
    const W q = polynomial(f64, r, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0,
                           1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0);
    const W scale = hn::BitCast(f64, hn::ShiftLeft<52>(hn::Add(hn::BitCast(i64, whole), hn::Set(i64, 1023))));
    hn::StoreU(hn::DemoteTo(narrow, hn::Mul(q, scale)), narrow, out + i);
  }
}

HWY_INLINE V pow(V x, V y) {
  const V zero = hn::Zero(f32);
  const V infinity = constant(__builtin_inff());
  const V a = hn::Abs(x);
  HWY_ALIGN float base[lanes], exponent[lanes], result[lanes];
  store(x, base);
  store(y, exponent);
  const auto plain = hn::And(hn::And(hn::Gt(a, zero), hn::Lt(a, infinity)), hn::Lt(hn::Abs(y), infinity));
  if (HWY_UNLIKELY(!hn::AllTrue(f32, plain))) {
    for (std::size_t i = 0; i < lanes; ++i) result[i] = static_cast<float>(std::pow(static_cast<double>(base[i]), exponent[i]));
    return load(result);
  }
  pow_block(base, exponent, result);
  const V power = load(result);
  const V half = hn::Mul(y, constant(0.5f));
  const V odd = hn::IfThenElse(hn::Eq(hn::Round(half), half), power, hn::Neg(power));
  const V negative = hn::IfThenElse(hn::Eq(hn::Round(y), y), odd, constant(__builtin_nanf("")));
  return hn::IfThenElse(hn::Lt(x, zero), negative, power);
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
    case Activation::gelu: return gelu(x);
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

// Calls body with a function of vectors, whose results are stored as T: the choice between the kinds stands outside of its
// loops.
template <class T = float, class Body>
HWY_INLINE void with_activation(const ActivationSpec& spec, Body&& body) {
  const auto as = [&](auto kind) HWY_ATTR {
    body([&](V x) HWY_ATTR {
      if constexpr (std::is_same_v<T, Half> && decltype(kind)::value == Activation::gelu) return gelu_to_half(x);
      return activate_inline({decltype(kind)::value, spec.alpha, spec.beta, spec.threshold}, x);
    });
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
