// What ends a row of products of bytes. Included once per target.
#if defined(TL_CPU_LEVEL_FINISH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_LEVEL_FINISH_INL
#undef TL_CPU_LEVEL_FINISH_INL
#else
#define TL_CPU_LEVEL_FINISH_INL
#endif

#include "cpu/level_finish.hpp"
#include "cpu/levels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

HWY_INLINE V residual_at(const LevelFinish& f, const void* residual, std::size_t i, std::size_t n) {
  if (f.residual.used) {
    const V level = load_levels(static_cast<const std::uint8_t*>(residual) + i, f.residual.is_signed, n);
    return as_stored(hn::Mul(constant(f.residual.scale), hn::Sub(level, constant(f.residual.zero))), f.storage);
  }
  return f.storage == Storage::f16 ? load_up_to(static_cast<const Half*>(residual) + i, n)
                                   : load_up_to(static_cast<const float*>(residual) + i, n);
}

HWY_INLINE void store_value(V y, Storage storage, void* out, std::size_t i, std::size_t n) {
  if (storage == Storage::f16) {
    store_up_to(y, static_cast<Half*>(out) + i, n);
  } else {
    store_up_to(y, static_cast<float*>(out) + i, n);
  }
}

// `count` columns of one row, any finish.
HWY_INLINE void finish_row(const LevelFinish& f, const LevelRow& row, const std::int32_t* HWY_RESTRICT sums,
                           std::size_t count) {
  const hn::RebindToSigned<F32> i32;
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    HWY_ALIGN std::int32_t some[lanes] = {};
    std::memcpy(some, sums + i, n * sizeof(std::int32_t));
    V y = hn::MulAdd(hn::ConvertTo(f32, hn::Load(i32, some)), load(row.scale + i), load(row.bias + i));
    if (f.table != nullptr) {
      std::uint8_t* out = static_cast<std::uint8_t*>(row.out) + i;
      store_levels(y, f.middle, f.storage, out, n);
      for (std::size_t k = 0; k < n; ++k) out[k] = f.table[out[k]];
      return;
    }
    if (f.middle.used) y = through_levels(y, f.middle, f.storage);
    if (row.residual != nullptr) y = hn::Add(y, residual_at(f, row.residual, i, n));
    y = activate(f.activation, y);
    if (f.levels.used) {
      store_levels(y, f.levels, f.storage, static_cast<std::uint8_t*>(row.out) + i, n);
      if (row.values != nullptr) store_value(y, f.storage, row.values, i, n);
    } else {
      store_value(y, f.storage, row.out, i, n);
    }
  });
}

#if HWY_TARGET == HWY_AVX3
// The quick way of float16 values where `exact` holds. y / scale lies, where it is no tie, at least 2^-13.01 from one: both
// have 11 bits. The product with the reciprocal is off by less than 2^-15 as long as it counts (below 300), so that rounding it
// to multiples of 2^-13 first leaves ties ties and nothing else.
struct QuickLevels {
  __m512 inverse, snap, most;
  __m512i zero;
  bool is_signed;

  explicit HWY_INLINE QuickLevels(const Requantized& q)
      : inverse(_mm512_set1_ps(1 / q.scale)),
        snap(_mm512_set1_ps(1536)),
        most(_mm512_set1_ps(1e6F)),
        zero(_mm512_set1_epi32(static_cast<int>(q.zero))),
        is_signed(q.is_signed) {}

  HWY_INLINE __m512 snapped(__m512 y) const { return _mm512_sub_ps(_mm512_fmadd_ps(y, inverse, snap), snap); }
  HWY_INLINE __m512i level(__m512 y) const {
    return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_min_ps(snapped(y), most)), zero);
  }
  // Bytes; lane L holds elements [4 L, 4 L + 4) of each vector in turn.
  HWY_INLINE __m512i pack(const __m512i (&levels)[4]) const {
    const __m512i low = _mm512_packs_epi32(levels[0], levels[1]);
    const __m512i high = _mm512_packs_epi32(levels[2], levels[3]);
    return is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
  }
};

HWY_INLINE __m512 half_rounded(__m512 y) {
  return _mm512_cvtph_ps(_mm512_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// True when results are bytes and nothing is added: `quick_bytes` makes them.
HWY_INLINE bool all_bytes(const LevelFinish& f, const LevelRow& row) {
  return f.exact && f.levels.used && row.residual == nullptr && row.values == nullptr &&
         (f.table != nullptr || (!f.middle.used && f.activation.kind == Activation::clamp));
}

struct QuickBytes {
  QuickLevels levels;
  __m512 low, high;
  const std::uint8_t* table;

  explicit HWY_INLINE QuickBytes(const LevelFinish& f)
      : levels(f.table != nullptr ? f.middle : f.levels),
        low(_mm512_set1_ps(f.activation.alpha)),
        high(_mm512_set1_ps(f.activation.beta)),
        table(f.table) {}

  // `lookup(bytes)` reads the table.
  template <class Lookup>
  HWY_INLINE __m512i operator()(const __m512i (&sums)[4], const __m512 (&scale)[4], const __m512 (&bias)[4],
                                const Lookup& lookup) const {
    __m512i whole[4];
    TL_UNROLL for (int i = 0; i < 4; ++i) {
      __m512 y = half_rounded(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i]), scale[i], bias[i]));
      if (table == nullptr) y = _mm512_min_ps(high, _mm512_max_ps(low, y));
      whole[i] = levels.level(y);
    }
    const __m512i bytes = levels.pack(whole);
    return table == nullptr ? bytes : lookup(bytes);
  }
};

// 64 look-ups by shuffles of 16 bytes.
struct ShuffledTable {
  const std::uint8_t* table;
  HWY_INLINE __m512i operator()(__m512i bytes) const {
    const __m512i low = _mm512_and_si512(bytes, _mm512_set1_epi8(15));
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15));
    __m512i found = _mm512_setzero_si512();
    for (int i = 0; i < 16; ++i) {
      const __m512i part =
          _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * static_cast<std::size_t>(i))));
      found = _mm512_mask_shuffle_epi8(found, _mm512_cmpeq_epi8_mask(high, _mm512_set1_epi8(static_cast<char>(i))), part, low);
    }
    return found;
  }
};
#endif

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vbmi")
namespace tl::cpu::HWY_NAMESPACE {

// 64 look-ups by two permutations of 128 bytes.
struct PermutedTable {
  __m512i parts[4];
  explicit PermutedTable(const std::uint8_t* table) {
    for (std::size_t i = 0; table != nullptr && i < 4; ++i) parts[i] = _mm512_loadu_si512(table + 64 * i);
  }
  __m512i operator()(__m512i bytes) const {
    const __m512i low = _mm512_permutex2var_epi8(parts[0], bytes, parts[1]);
    const __m512i high = _mm512_permutex2var_epi8(parts[2], bytes, parts[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(bytes), high);
  }
};

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#endif

#endif
