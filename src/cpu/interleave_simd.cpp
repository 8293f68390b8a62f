#include "cpu/interleave.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/interleave_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/levels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

#if HWY_TARGET <= HWY_AVX3
// For each of the three vectors that are stored, where its lanes come from: a lane of a or (+ 16) of b, a lane of c, the lanes
// of c among them.
struct Lanes {
  alignas(64) std::array<std::array<std::int32_t, 16>, 3> of_ab{}, of_c{};
  std::array<std::uint16_t, 3> c_lanes{};
};
constexpr Lanes make_lanes() {
  Lanes l;
  for (std::size_t i = 0; i < 48; ++i) {
    const auto from = static_cast<std::int32_t>(i / 3);
    l.of_ab[i / 16][i % 16] = i % 3 == 1 ? from + 16 : from;
    l.of_c[i / 16][i % 16] = from;
    if (i % 3 == 2) l.c_lanes[i / 16] = static_cast<std::uint16_t>(l.c_lanes[i / 16] | 1U << i % 16);
  }
  return l;
}
constexpr Lanes from_lanes = make_lanes();
#endif

HWY_INLINE void store_side_by_side(V a, V b, V c, float* HWY_RESTRICT out) {
#if HWY_TARGET <= HWY_AVX3
  TL_UNROLL for (std::size_t k = 0; k < 3; ++k) {
    const __m512i of_ab = _mm512_load_si512(from_lanes.of_ab[k].data());
    const __m512i of_c = _mm512_load_si512(from_lanes.of_c[k].data());
    const __m512 ab = _mm512_permutex2var_ps(a.raw, of_ab, b.raw);
    _mm512_storeu_ps(out + 16 * k, _mm512_mask_permutexvar_ps(ab, from_lanes.c_lanes[k], of_c, c.raw));
  }
#else
  hn::StoreInterleaved3(a, b, c, f32, out);
#endif
}

template <class T>
void interleave_as(const std::array<const void*, 3>& planes, Storage rounding, float* HWY_RESTRICT out, std::size_t count) {
  const std::array from = {static_cast<const T*>(planes[0]), static_cast<const T*>(planes[1]),
                           static_cast<const T*>(planes[2])};
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    const V a = as_stored(load_up_to(from[0] + i, n), rounding);
    const V b = as_stored(load_up_to(from[1] + i, n), rounding);
    const V c = as_stored(load_up_to(from[2] + i, n), rounding);
    if (n == lanes) {
      store_side_by_side(a, b, c, out + 3 * i);
    } else {
      HWY_ALIGN float rest[3 * lanes];
      store_side_by_side(a, b, c, rest);
      std::memcpy(out + 3 * i, rest, 3 * HWY_MIN(n, lanes) * sizeof(float));
    }
  });
}

void interleave(const std::array<const void*, 3>& planes, Storage storage, bool as_half, float* out, std::size_t count) {
  if (storage == Storage::f16) {
    interleave_as<Half>(planes, Storage::f32, out, count);
  } else {
    interleave_as<float>(planes, as_half ? Storage::f16 : Storage::f32, out, count);
  }
}

}  // namespace

InterleavePlanes interleave_planes_of_target() { return &interleave; }

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(interleave_planes_of_target);
InterleavePlanes interleave_planes_kernel() { return HWY_DYNAMIC_DISPATCH(interleave_planes_of_target)(); }
}  // namespace tl::cpu
#endif
