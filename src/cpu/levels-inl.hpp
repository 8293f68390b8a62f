// Floats to levels in bytes. Included once per target.
#if defined(TL_CPU_LEVELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_LEVELS_INL
#undef TL_CPU_LEVELS_INL
#else
#define TL_CPU_LEVELS_INL
#endif

#include "cpu/levels.hpp"
#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Rounded as a value of `storage` is.
HWY_INLINE V as_stored(V y, Storage storage) {
  if (storage == Storage::f32) return y;
#if HWY_TARGET == HWY_SCALAR
  Half half;
  store(y, &half);
  return load(&half);
#else
  return hn::PromoteTo(f32, hn::DemoteTo(F16(), y));
#endif
}

// The level of y, a whole number.
HWY_INLINE V level_of(V y, const Requantized& q) {
  V level = hn::Add(hn::Round(hn::Div(y, constant(q.scale))), constant(q.zero));
  level = hn::IfThenZeroElse(hn::IsNaN(level), level);
  const V low = constant(q.is_signed ? -128.0F : 0.0F);
  const V high = constant(q.is_signed ? 127.0F : 255.0F);
  return hn::Min(high, hn::Max(low, level));
}

// n <= lanes levels.
HWY_INLINE V load_levels(const std::uint8_t* HWY_RESTRICT x, bool is_signed, std::size_t n) {
#if HWY_TARGET <= HWY_AVX3
  const auto mask = static_cast<__mmask16>(n >= 16 ? 0xFFFFU : (1U << n) - 1U);
  const __m128i bytes = _mm_maskz_loadu_epi8(mask, x);
  return V{_mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes))};
#else
  HWY_ALIGN float values[lanes] = {};
  for (std::size_t i = 0; i < n; ++i)
    values[i] = static_cast<float>(is_signed ? static_cast<std::int8_t>(x[i]) : static_cast<int>(x[i]));
  return hn::Load(f32, values);
#endif
}

// y quantized and dequantized, each time rounded to `storage` first.
HWY_INLINE V through_levels(V y, const Requantized& q, Storage storage) {
  const V level = level_of(as_stored(y, storage), q);
  return as_stored(hn::Mul(constant(q.scale), hn::Sub(level, constant(q.zero))), storage);
}

// n <= lanes values, rounded to `storage` and then to levels, as bytes.
HWY_INLINE void store_levels(V y, const Requantized& q, Storage storage, std::uint8_t* HWY_RESTRICT out, std::size_t n) {
  const V level = level_of(as_stored(y, storage), q);
#if HWY_TARGET <= HWY_AVX3
  const __m512i whole = _mm512_cvtps_epi32(level.raw);
  const auto mask = static_cast<__mmask16>(n >= 16 ? 0xFFFFU : (1U << n) - 1U);
  _mm512_mask_cvtepi32_storeu_epi8(out, mask, whole);
#else
  HWY_ALIGN float values[lanes];
  hn::Store(level, f32, values);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(static_cast<int>(values[i]));
#endif
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
