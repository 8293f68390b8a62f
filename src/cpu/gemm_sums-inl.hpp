// The sums of a tile of a product. Included once per target.
#if defined(TL_CPU_GEMM_SUMS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_GEMM_SUMS_INL
#undef TL_CPU_GEMM_SUMS_INL
#else
#define TL_CPU_GEMM_SUMS_INL
#endif

#include "cpu/gemm_tile-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Half a vector, for what is left of the columns.
constexpr bool has_half = lanes == 16;
constexpr std::size_t half_lanes = has_half ? lanes / 2 : lanes;
using Half32 = hn::CappedTag<float, half_lanes>;
constexpr Half32 half32{};

template <class W>
HWY_INLINE hn::Vec<Half32> lower(W v) {
  if constexpr (has_half) {
    return hn::LowerHalf(v);
  } else {
    return v;
  }
}

template <class D>
HWY_INLINE hn::Vec<D> read(D d, const float* HWY_RESTRICT p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE void write(D d, hn::Vec<D> v, float* HWY_RESTRICT p) {
  hn::StoreU(v, d, p);
}
#if HWY_TARGET == HWY_SCALAR
template <class D>
HWY_INLINE hn::Vec<D> read(D, const Half* HWY_RESTRICT p) {
  return load(p);
}
template <class D>
HWY_INLINE void write(D, hn::Vec<D> v, Half* HWY_RESTRICT p) {
  store(v, p);
}
#else
template <class D>
HWY_INLINE hn::Vec<D> read(D d, const Half* HWY_RESTRICT p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<Half, D>(), p));
}
template <class D>
HWY_INLINE void write(D, hn::Vec<D> v, Half* HWY_RESTRICT p) {
  const hn::Rebind<Half, D> narrow;
  hn::StoreU(hn::DemoteTo(narrow, v), narrow, p);
}
#endif

// sum += a * b, in the register that holds the sum: left to itself, GCC renames sums and spills some.
HWY_INLINE void add_product(V a, V b, V& sum) {
#if HWY_TARGET <= HWY_AVX3
  __m512 s = sum.raw;
  asm("vfmadd231ps %2, %1, %0" : "+v"(s) : "v"(a.raw), "v"(b.raw));
  sum = V{s};
#else
  sum = hn::MulAdd(a, b, sum);
#endif
}

// Sums of a tile: rows x vectors (and half a vector more) that stay in registers.
template <int rows, int vectors, bool half>
struct Sums {
  static constexpr std::size_t whole = vectors * lanes;
  static constexpr std::size_t width = whole + (half ? half_lanes : 0);
  V full[rows][vectors == 0 ? 1 : vectors];
  hn::Vec<Half32> halves[half ? rows : 1];
  HWY_ATTR Sums() {}  // of vectors: one that the compiler makes lacks the attribute of the target

  // One step of depth of rows [first, last): their elements of A, `pitch` apart, by one row of B.
  template <int first, int last, std::size_t pitch, class B>
  HWY_INLINE void step(const float* HWY_RESTRICT a, const B* HWY_RESTRICT b) {
    V columns[vectors == 0 ? 1 : vectors];
    hn::Vec<Half32> rest;
    TL_UNROLL for (int v = 0; v < vectors; ++v) columns[v] = read(f32, b + static_cast<std::size_t>(v) * lanes);
    if constexpr (half) rest = read(half32, b + whole);
    TL_UNROLL for (int r = first; r < last; ++r) {
      const float* element = a + static_cast<std::size_t>(r) * pitch;
      if constexpr (vectors > 0) {
        const V all = broadcast(element);
        TL_UNROLL for (int v = 0; v < vectors; ++v) add_product(all, columns[v], full[r][v]);
      }
      if constexpr (half) halves[r] = hn::MulAdd(hn::Set(half32, *element), rest, halves[r]);
    }
  }
  // Four steps of all rows.
  template <std::size_t pitch, class B>
  HWY_INLINE void four_steps(const float* HWY_RESTRICT a, const B* HWY_RESTRICT b) {
    step<0, rows, pitch>(a, b);
    step<0, rows, pitch>(a + 1, b + width);
    step<0, rows, pitch>(a + 2, b + 2 * width);
    step<0, rows, pitch>(a + 3, b + 3 * width);
  }
  // Calls body(tag, vector, row, column) for rows [first, last).
  template <int first, int last, class Body>
  HWY_INLINE void each(Body&& body) {
    TL_UNROLL for (int r = first; r < last; ++r) {
      const auto row = static_cast<std::size_t>(r);
      TL_UNROLL for (int v = 0; v < vectors; ++v) body(f32, full[r][v], row, static_cast<std::size_t>(v) * lanes);
      if constexpr (half) body(half32, halves[r], row, whole);
    }
  }
};

// The last steps of the depth run for a few rows after the other, so that what finishes a row meets the products of the next.
constexpr std::size_t closing_steps = 4;

template <int first, std::size_t pitch, int rows, int vectors, bool half, class B, class Finish>
HWY_INLINE void close(Sums<rows, vectors, half>& sums, const float* HWY_RESTRICT a, const B* HWY_RESTRICT b, Finish&& finish) {
  constexpr int together = vectors == 2 ? 4 : 8;
  constexpr int last = HWY_MIN(first + together, rows);
  constexpr std::size_t width = Sums<rows, vectors, half>::width;
  TL_UNROLL for (std::size_t k = 0; k < closing_steps; ++k) sums.template step<first, last, pitch>(a + k, b + k * width);
  sums.template each<first, last>(finish);
  if constexpr (last < rows) close<last, pitch>(sums, a, b, finish);
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
