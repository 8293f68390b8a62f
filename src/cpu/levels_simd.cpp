#include "cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/levels_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/levels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

void quantize(const void* x, Storage storage, const Requantized& levels, std::uint8_t* out, std::size_t count) {
  const auto* half = static_cast<const Half*>(x);
  const auto* single = static_cast<const float*>(x);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    store_levels(storage == Storage::f16 ? load_up_to(half + i, n) : load_up_to(single + i, n), levels, Storage::f32, out + i,
                 n);
  });
}

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

void dequantize(const std::uint8_t* x, const Requantized& levels, void* out, Storage storage, std::size_t count) {
  auto* half = static_cast<Half*>(out);
  auto* single = static_cast<float*>(out);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    const V level = load_levels(x + i, levels.is_signed, n);
    const V y = hn::Mul(constant(levels.scale), hn::Sub(level, constant(levels.zero)));
    if (storage == Storage::f16) {
      store_up_to(y, half + i, n);
    } else {
      store_up_to(y, single + i, n);
    }
  });
}

}  // namespace

const LevelKernels& level_table() {
  static constexpr LevelKernels table = {&quantize, &dequantize};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(level_table);
const LevelKernels& level_kernels() { return HWY_DYNAMIC_DISPATCH(level_table)(); }
}  // namespace tl::cpu
#endif
