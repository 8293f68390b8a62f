// Vectors of float over stored float or float16. Included once per target by files that use Highway's foreach_target.
#if defined(TL_CPU_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_SIMD_INL
#undef TL_CPU_SIMD_INL
#else
#define TL_CPU_SIMD_INL
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/f16.hpp"

// Before a loop of constant length whose body indexes registers.
#undef TL_UNROLL
#if HWY_COMPILER_CLANG
#define TL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TL_UNROLL _Pragma("GCC unroll 32")
#endif
#undef TL_TARGET_NAME
#if HWY_TARGET <= HWY_AVX3
#define TL_TARGET_NAME "avx512"
#elif HWY_TARGET == HWY_AVX2
#define TL_TARGET_NAME "avx2"
#elif HWY_TARGET == HWY_NEON
#define TL_TARGET_NAME "neon"
#else
#define TL_TARGET_NAME "baseline"
#endif

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that the packed forms are the same for every target.
using F32 = hn::CappedTag<float, 16>;
using V = hn::Vec<F32>;
using Half = hwy::float16_t;
using F16 = hn::Rebind<Half, F32>;
using U16 = hn::Rebind<std::uint16_t, F32>;
constexpr F32 f32{};
constexpr std::size_t lanes = hn::MaxLanes(F32());

HWY_INLINE V load(const float* HWY_RESTRICT p) { return hn::LoadU(f32, p); }
HWY_INLINE void store(V v, float* HWY_RESTRICT p) { hn::StoreU(v, f32, p); }
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE V load(const Half* HWY_RESTRICT p) { return hn::Set(f32, tl::to_float(tl::f16{p->bits})); }
HWY_INLINE void store(V v, Half* HWY_RESTRICT p) { p->bits = tl::to_f16(hn::GetLane(v)).bits; }
#else
HWY_INLINE V load(const Half* HWY_RESTRICT p) { return hn::PromoteTo(f32, hn::LoadU(F16(), p)); }
HWY_INLINE void store(V v, Half* HWY_RESTRICT p) { hn::StoreU(hn::DemoteTo(F16(), v), F16(), p); }
#endif

// x kept within bounds; NaN passes, and so does the sign of a zero.
template <class W>
HWY_INLINE W at_least(W low, W x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return hn::Max(low, x);  // the second operand when either is NaN or both are zero
#else
  return hn::IfThenElse(hn::Lt(x, low), low, x);
#endif
}
template <class W>
HWY_INLINE W at_most(W high, W x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return hn::Min(high, x);
#else
  return hn::IfThenElse(hn::Gt(x, high), high, x);
#endif
}

// The first n < lanes elements; the others load as zero and are not stored.
template <class T>
HWY_INLINE V load_n(const T* HWY_RESTRICT p, std::size_t n) {
  HWY_ALIGN T buffer[lanes] = {};
  std::memcpy(buffer, p, HWY_MIN(n, lanes) * sizeof(T));
  return load(buffer);
}
template <class T>
HWY_INLINE void store_n(V v, T* HWY_RESTRICT p, std::size_t n) {
  HWY_ALIGN T buffer[lanes];
  store(v, buffer);
  std::memcpy(p, buffer, HWY_MIN(n, lanes) * sizeof(T));
}
#if HWY_TARGET <= HWY_AVX3
template <>
HWY_INLINE V load_n(const float* HWY_RESTRICT p, std::size_t n) {
  return hn::MaskedLoad(hn::FirstN(f32, n), f32, p);
}
template <>
HWY_INLINE V load_n(const Half* HWY_RESTRICT p, std::size_t n) {
  const auto bits = hn::MaskedLoad(hn::FirstN(U16(), n), U16(), reinterpret_cast<const std::uint16_t*>(p));
  return hn::PromoteTo(f32, hn::BitCast(F16(), bits));
}
template <>
HWY_INLINE void store_n(V v, float* HWY_RESTRICT p, std::size_t n) {
  hn::BlendedStore(v, hn::FirstN(f32, n), f32, p);
}
template <>
HWY_INLINE void store_n(V v, Half* HWY_RESTRICT p, std::size_t n) {
  hn::BlendedStore(hn::BitCast(U16(), hn::DemoteTo(F16(), v)), hn::FirstN(U16(), n), U16(),
                   reinterpret_cast<std::uint16_t*>(p));
}
#endif

// Calls body(i, n) for runs of n = lanes elements and a last shorter one.
template <class Body>
HWY_INLINE void for_lanes(std::size_t count, Body&& body) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, lanes);
  if (i < count) body(i, count - i);
}
template <class T>
HWY_INLINE V load_up_to(const T* HWY_RESTRICT p, std::size_t n) {
  return n == lanes ? load(p) : load_n(p, n);
}
template <class T>
HWY_INLINE void store_up_to(V v, T* HWY_RESTRICT p, std::size_t n) {
  if (n == lanes) {
    store(v, p);
  } else {
    store_n(v, p, n);
  }
}

// 8 x 8 elements: three perfect shuffles of all 64.
HWY_INLINE void transpose_8x8(const std::uint16_t* HWY_RESTRICT from, std::size_t stride, std::uint16_t* HWY_RESTRICT to,
                              std::size_t width) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t r = 0; r < 8; ++r) {
    for (std::size_t c = 0; c < 8; ++c) to[c * width + r] = from[r * stride + c];
  }
#else
  const hn::FixedTag<std::uint16_t, 8> d;
  using W = hn::Vec<decltype(d)>;
  W rows[8];
  TL_UNROLL for (std::size_t r = 0; r < 8; ++r) rows[r] = hn::LoadU(d, from + r * stride);
  TL_UNROLL for (int pass = 0; pass < 3; ++pass) {
    W next[8];
    TL_UNROLL for (std::size_t r = 0; r < 4; ++r) {
      next[2 * r] = hn::InterleaveLower(d, rows[r], rows[r + 4]);
      next[2 * r + 1] = hn::InterleaveUpper(d, rows[r], rows[r + 4]);
    }
    TL_UNROLL for (std::size_t r = 0; r < 8; ++r) rows[r] = next[r];
  }
  TL_UNROLL for (std::size_t c = 0; c < 8; ++c) hn::StoreU(rows[c], d, to + c * width);
#endif
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
