// The tile of sums that stays in registers. Included once per target.
#if defined(TL_CPU_GEMM_TILE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_GEMM_TILE_INL
#undef TL_CPU_GEMM_TILE_INL
#else
#define TL_CPU_GEMM_TILE_INL
#endif

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int tile_rows = lanes == 16 ? 14 : 8;
#else
constexpr int tile_rows = 6;
#endif
constexpr int tile_vectors = 2;
constexpr std::size_t panel_columns = tile_vectors * lanes;

// One element in all lanes.
HWY_INLINE V broadcast(const float* HWY_RESTRICT p) {
#if HWY_TARGET <= HWY_AVX3
  // Zen 4 loads two of these a cycle, but one vbroadcastss, which takes a slot of its vector units as well.
  __m512 all;
  asm("vpbroadcastd %1, %0" : "=v"(all) : "m"(*p));
  return V{all};
#else
  return hn::Set(f32, *p);
#endif
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
