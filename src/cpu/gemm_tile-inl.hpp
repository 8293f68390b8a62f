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

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
