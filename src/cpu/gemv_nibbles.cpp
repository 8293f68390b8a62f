#include "cpu/gemv_nibbles.hpp"

#include <bit>

#include "cpu/x86_extensions.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/gemv_nibbles.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace tl::cpu::HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX3
namespace {

constexpr std::size_t scales_ahead = 128;
constexpr std::size_t vector_words = 32;
constexpr int low_bits = 12;                                                  // of the lower word of x
constexpr std::uint32_t least = (127U - 60) << 23, most = (127U + 60) << 23;  // 2^-60, 2^60

// Which run of `rows` rows row n is in; most often the first, or of one row.
HWY_INLINE std::size_t run_of(std::size_t n, std::size_t rows) { return rows == 1 ? n : n < rows ? 0 : n / rows; }

HWY_INLINE __m512i load_words(const std::int16_t* HWY_RESTRICT p) { return _mm512_loadu_si512(p); }

// 128 words, four to each 64 bits, set apart by their place in those.
HWY_INLINE void store_apart(const __m256i (&words)[8], std::int16_t* HWY_RESTRICT out) {
  __m512i from[4];
  TL_UNROLL for (int i = 0; i < 4; ++i) from[i] = _mm512_inserti64x4(_mm512_castsi256_si512(words[2 * i]), words[2 * i + 1], 1);
  HWY_ALIGN std::int16_t places[vector_words];
  for (std::size_t i = 0; i < vector_words; ++i) places[i] = static_cast<std::int16_t>(i % 16 * 4 + i / 16);
  TL_UNROLL for (int pair = 0; pair < 2; ++pair) {
    const __m512i order = _mm512_add_epi16(load_words(places), _mm512_set1_epi16(static_cast<std::int16_t>(2 * pair)));
    const __m512i left = _mm512_permutex2var_epi16(from[0], order, from[1]);
    const __m512i right = _mm512_permutex2var_epi16(from[2], order, from[3]);
    _mm512_storeu_si512(out, _mm512_shuffle_i64x2(left, right, 0x44));
    _mm512_storeu_si512(out + vector_words, _mm512_shuffle_i64x2(left, right, 0xEE));
    out += 2 * vector_words;
  }
}

// Cuts x into whole numbers of at most 2^bits below the largest of a segment and gives each `step` of them, as vectors, to
// `put`. False when x is out of range.
template <int bits, std::size_t segment, std::size_t step, class Put>
HWY_INLINE bool split_as(const float* x, std::size_t depth, std::byte* parts, Put put) {
  auto* factors = reinterpret_cast<float*>(parts);
  for (std::size_t begin = 0; begin < depth; begin += segment) {
    const std::size_t end = HWY_MIN(begin + segment, depth);
    __m512i all = _mm512_setzero_si512();
    for (std::size_t k = begin; k < end; k += lanes)
      all = _mm512_max_epu32(all, _mm512_and_si512(_mm512_loadu_si512(x + k), _mm512_set1_epi32(0x7FFFFFFF)));
    const std::uint32_t largest = _mm512_reduce_max_epu32(all);
    if (largest != 0 && (largest < least || largest >= most)) return false;
    const int exponent = largest == 0 ? 0 : static_cast<int>(largest >> 23) - 126;  // the largest is below 2^exponent
    const auto power = [](int e) { return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23); };
    *factors++ = power(exponent - bits);
    const __m512 factor = _mm512_set1_ps(power(bits - exponent));
    for (std::size_t k = begin; k < end; k += step) {
      __m512i whole[step / lanes];
      TL_UNROLL for (std::size_t i = 0; i < step / lanes; ++i) {
        const std::size_t at = k + i * lanes;
        const __m512 some = at < end ? _mm512_loadu_ps(x + at) : _mm512_setzero_ps();
        whole[i] = _mm512_cvtps_epi32(_mm512_mul_ps(some, factor));
      }
      put(whole);
    }
  }
  return true;
}

// As two words each: the upper ones, then the lower ones, as `store_apart` orders them.
struct PutWords {
  std::int16_t* out;
  HWY_INLINE void operator()(__m512i (&whole)[8]) {
    __m256i high[8], low[8];
    TL_UNROLL for (int i = 0; i < 8; ++i) {
      const __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(whole[i], _mm512_set1_epi32(1 << (low_bits - 1))), low_bits);
      high[i] = _mm512_cvtepi32_epi16(upper);
      low[i] = _mm512_cvtepi32_epi16(_mm512_sub_epi32(whole[i], _mm512_slli_epi32(upper, low_bits)));
    }
    store_apart(high, out);
    store_apart(low, out + part_chunk);
    out += part_chunk_bytes / sizeof *out;
  }
};

// The lower and the upper 32 bits of pairs from a and b in turn: the order of `lane_begin`.
HWY_INLINE void interleave(__m512i a, __m512i b, __m512i& lower, __m512i& upper) {
  const __m512 left = _mm512_castsi512_ps(a), right = _mm512_castsi512_ps(b);
  lower = _mm512_castps_si512(_mm512_shuffle_ps(left, right, 0x88));
  upper = _mm512_castps_si512(_mm512_shuffle_ps(left, right, 0xDD));
}

constexpr std::size_t segment_parts = 13;  // vectors

// As three bytes each, from the highest to the lowest; of each those of even places, lower and upper, then those of odd ones.
// Behind them what the least level adds to the sums of each lane.
struct PutBytes {
  std::byte* out;
  std::int32_t least_level;
  // Takes the lowest byte of each number away: those of even places, then those of odd ones.
  static HWY_INLINE void lowest_bytes(__m512i* whole, __m512i (&bytes)[2]) {
    __m512i both[2];
    TL_UNROLL for (int half = 0; half < 2; ++half) {
      __m128i quarter[4];
      TL_UNROLL for (int i = 0; i < 4; ++i) {
        __m512i& some = whole[4 * half + i];
        quarter[i] = _mm512_cvtepi32_epi8(some);
        const __m512i lowest = _mm512_srai_epi32(_mm512_slli_epi32(some, 24), 24);
        some = _mm512_srai_epi32(_mm512_sub_epi32(some, lowest), 8);
      }
      const __m256i left = _mm256_inserti128_si256(_mm256_castsi128_si256(quarter[0]), quarter[1], 1);
      const __m256i right = _mm256_inserti128_si256(_mm256_castsi128_si256(quarter[2]), quarter[3], 1);
      both[half] = _mm512_inserti64x4(_mm512_castsi256_si512(left), right, 1);
    }
    TL_UNROLL for (int odd = 0; odd < 2; ++odd) {
      const __m256i left = _mm512_cvtepi16_epi8(odd == 0 ? both[0] : _mm512_srli_epi16(both[0], 8));
      const __m256i right = _mm512_cvtepi16_epi8(odd == 0 ? both[1] : _mm512_srli_epi16(both[1], 8));
      bytes[odd] = _mm512_inserti64x4(_mm512_castsi256_si512(left), right, 1);
    }
  }
  HWY_INLINE void operator()(__m512i (&whole)[16]) {
    __m512i planes[12];
    TL_UNROLL for (int plane = 8; plane >= 0; plane -= 4) {
      __m512i first[2], second[2];
      lowest_bytes(whole, first);
      lowest_bytes(whole + 8, second);
      TL_UNROLL for (int odd = 0; odd < 2; ++odd)
          interleave(first[odd], second[odd], planes[plane + 2 * odd], planes[plane + 2 * odd + 1]);
    }
    __m512i sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < 12; ++i) {
      if (i == 4 || i == 8) sum = _mm512_slli_epi32(sum, 8);
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), planes[i]);
      _mm512_storeu_si512(out + i * sizeof planes[i], planes[i]);
    }
    _mm512_storeu_si512(out + sizeof planes, _mm512_mullo_epi32(sum, _mm512_set1_epi32(least_level)));
    out += segment_parts * sizeof planes[0];
  }
};

bool split(const NibbleRows& g, const float* x, std::byte* parts) {
  std::byte* out = parts + part_factor_bytes(g.depth);
  if (g.entries == nullptr) return split_as<22, byte_segment, byte_segment>(x, g.depth, parts, PutBytes{out, g.least_level});
  return split_as<23, word_segment, part_chunk>(x, g.depth, parts, PutWords{reinterpret_cast<std::int16_t*>(out)});
}

// The sums of the lanes of four vectors.
HWY_INLINE __m128 sums_of_lanes(const __m512 (&v)[4]) {
  const __m512 left = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
  const __m512 right = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
  const __m512 four = _mm512_add_ps(_mm512_shuffle_ps(left, right, 0x44), _mm512_shuffle_ps(left, right, 0xEE));
  const __m256 two = _mm256_add_ps(_mm512_castps512_ps256(four), _mm512_extractf32x8_ps(four, 1));
  return _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1));
}

// The nibbles of the chunk at k of `rows` rows, `step` bytes apart; zeros behind the end of a row.
template <int rows>
HWY_INLINE void read_chunk(const NibbleRows& g, const std::uint8_t* HWY_RESTRICT w, std::size_t step, std::size_t k,
                           __m512i (&chunk)[rows]) {
  w += k / 2;
  if (k + part_chunk <= g.depth) {
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      const std::uint8_t* row = w + static_cast<std::size_t>(r) * step;
      __builtin_prefetch(row + ahead, 0, 3);
      chunk[r] = _mm512_loadu_si512(row);
    }
  } else {
    const __mmask64 mask = k < g.depth ? (__mmask64{1} << ((g.depth - k) / 2)) - 1 : 0;
    TL_UNROLL for (int r = 0; r < rows; ++r) chunk[r] = _mm512_maskz_loadu_epi8(mask, w + static_cast<std::size_t>(r) * step);
  }
}

// `rows` rows of table entries from row n on, `apart` rows apart, without the unit of a table.
template <int rows>
HWY_INLINE __m128 entry_rows(const NibbleRows& g, std::size_t n, std::size_t apart) {
  const std::size_t step = apart * g.depth / 2;
  const std::uint8_t* w = g.w + n * g.depth / 2;
  const auto* factors = reinterpret_cast<const float*>(g.x);
  const auto* x = reinterpret_cast<const std::int16_t*>(g.x + part_factor_bytes(g.depth));
  __m512i table[rows];
  __m512 sums[4];
  TL_UNROLL for (int r = 0; r < 4; ++r) sums[r] = _mm512_setzero_ps();
  TL_UNROLL for (int r = 0; r < rows; ++r) table[r] =
      load_words(g.entries + run_of(n + static_cast<std::size_t>(r) * apart, g.table_rows) * vector_words);
  for (std::size_t begin = 0; begin < g.depth; begin += word_segment, ++factors) {
    __m512i high[rows], low[rows];
    TL_UNROLL for (int r = 0; r < rows; ++r) high[r] = low[r] = _mm512_setzero_si512();
    const std::size_t end = HWY_MIN(begin + word_segment, g.depth);
    for (std::size_t k = begin; k < end; k += part_chunk, x += 2 * part_chunk) {
      __m512i chunk[rows];
      read_chunk(g, w, step, k, chunk);
      TL_UNROLL for (std::size_t i = 0; i < 4; ++i) {
        const __m512i upper = load_words(x + i * vector_words);
        const __m512i lower = load_words(x + (i + 4) * vector_words);
        TL_UNROLL for (int r = 0; r < rows; ++r) {
          const __m512i entries = _mm512_permutexvar_epi16(chunk[r], table[r]);
          high[r] = _mm512_dpwssd_epi32(high[r], entries, upper);
          low[r] = _mm512_dpwssd_epi32(low[r], entries, lower);
          chunk[r] = _mm512_srli_epi16(chunk[r], 4);
        }
      }
    }
    const __m512 lower = _mm512_set1_ps(*factors);
    const __m512 upper = _mm512_set1_ps(*factors * (1 << low_bits));
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[r]), upper, sums[r]);
      sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(low[r]), lower, sums[r]);
    }
  }
  return sums_of_lanes(sums);
}

// The factors of the blocks in `mask` times that of their segment.
struct Halves {
  using Stored = Half;
  static HWY_INLINE __m512 read(const Half* HWY_RESTRICT p, __mmask16 mask, __m512 factor) {
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p)), factor);
  }
};
struct Floats {
  using Stored = float;
  static HWY_INLINE __m512 read(const float* HWY_RESTRICT p, __mmask16 mask, __m512 factor) {
    return _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, p), factor);
  }
};
// Of eight blocks at most.
struct FewHalves {
  using Stored = Half;
  static HWY_INLINE __m512 read(const Half* HWY_RESTRICT p, __mmask16 mask, __m512 factor) {
    const __m256 scales = _mm256_cvtph_ps(_mm_maskz_loadu_epi16(static_cast<__mmask8>(mask), p));
    return _mm512_castps256_ps512(_mm256_mul_ps(scales, _mm512_castps512_ps256(factor)));
  }
};

// `rows` rows of whole numbers, with the factors of their blocks.
template <int rows, class Scales>
HWY_INLINE __m128 level_rows(const NibbleRows& g, std::size_t n, std::size_t apart) {
  const std::size_t step = apart * g.depth / 2;
  const std::uint8_t* w = g.w + n * g.depth / 2;
  const auto* factors = reinterpret_cast<const float*>(g.x);
  const std::byte* x = g.x + part_factor_bytes(g.depth);
  const __m512i four_bits = _mm512_set1_epi8(15);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(g.flip));
  using Scale = typename Scales::Stored;
  const Scale* scale[rows];
  TL_UNROLL for (int r = 0; r < rows; ++r) scale[r] =
      static_cast<const Scale*>(g.scale) + run_of(n + static_cast<std::size_t>(r) * apart, g.scale_rows) * g.blocks;
  __m512 sums[4];
  TL_UNROLL for (int r = 0; r < 4; ++r) sums[r] = _mm512_setzero_ps();
  const SegmentScales* segment = g.segments;
  for (std::size_t begin = 0; begin < g.depth; begin += byte_segment, ++factors, ++segment) {
    const __m512i lane = _mm512_loadu_si512(segment->lane.data());
    const __m512 factor = _mm512_set1_ps(*factors);
    __m512i first[rows], second[rows];
    read_chunk(g, w, step, begin, first);
    read_chunk(g, w, step, begin + part_chunk, second);
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      constexpr int bits_of_one_flipped = 0x6A;  // (a & b) ^ c
      __m512i both[2], levels[4];
      interleave(first[r], second[r], both[0], both[1]);
      TL_UNROLL for (int i = 0; i < 2; ++i) {
        levels[i] = _mm512_ternarylogic_epi32(both[i], four_bits, flip, bits_of_one_flipped);
        levels[i + 2] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(both[i], 4), four_bits, flip, bits_of_one_flipped);
      }
      const auto part = [&](int i) { return _mm512_loadu_si512(x + i * static_cast<int>(sizeof(__m512i))); };
      __m512i upper = _mm512_setzero_si512(), lower = part(12);
      TL_UNROLL for (int i = 0; i < 4; ++i) {
        upper = _mm512_dpbusd_epi32(upper, levels[i], part(i));
        lower = _mm512_dpbusd_epi32(lower, levels[i], part(i + 8));
      }
      upper = _mm512_slli_epi32(upper, 8);
      TL_UNROLL for (int i = 0; i < 4; ++i) upper = _mm512_dpbusd_epi32(upper, levels[i], part(i + 4));
      const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(upper, 8), lower);
      __builtin_prefetch(scale[r] + segment->first + scales_ahead, 0, 3);
      const __m512 scales = Scales::read(scale[r] + segment->first, segment->mask, factor);
      sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_permutexvar_ps(lane, scales), sums[r]);
    }
    x += segment_parts * sizeof(__m512i);
  }
  return sums_of_lanes(sums);
}

struct SumEntries {
  const NibbleRows& g;
  template <int rows>
  HWY_INLINE __m128 some(std::size_t n, std::size_t apart) const {
    return entry_rows<rows>(g, n, apart);
  }
};

template <class Scales>
struct SumLevels {
  const NibbleRows& g;
  template <int rows>
  HWY_INLINE __m128 some(std::size_t n, std::size_t apart) const {
    return level_rows<rows, Scales>(g, n, apart);
  }
};

template <class Sum>
HWY_INLINE void sum_rows(const Sum& sum, std::size_t first, std::size_t count, std::size_t apart, float* HWY_RESTRICT sums) {
  for (std::size_t i = 0; i < count; ++i) {
    if (apart == 0) {
      sums[i] = _mm_cvtss_f32(sum.template some<1>(first + i, 0));
      continue;
    }
    HWY_ALIGN float four[4];
    _mm_store_ps(four, sum.template some<4>(first + i, apart));
    TL_UNROLL for (std::size_t r = 0; r < 4; ++r) sums[r * count + i] = four[r];
  }
}

// Sums of table entries of neighbouring rows times their units.
HWY_INLINE void scale_by_units(const NibbleRows& g, std::size_t first, std::size_t count, float* HWY_RESTRICT sums) {
  const std::size_t one_table = HWY_MIN(count, g.table_rows - HWY_MIN(first, g.table_rows));
  for_lanes(one_table, [&](std::size_t i, std::size_t n)
                           HWY_ATTR { store_up_to(hn::Mul(load_up_to(sums + i, n), hn::Set(f32, *g.unit)), sums + i, n); });
  for (std::size_t i = one_table; i < count; ++i) sums[i] *= g.unit[(first + i) / g.table_rows];
}

// Aligned, or its loops run some per cent slower with every other build.
[[gnu::aligned(64)]] void all_sums(const NibbleRows& g, std::size_t first, std::size_t count, std::size_t apart,
                                   float* HWY_RESTRICT sums) {
  if (g.entries != nullptr) {
    sum_rows(SumEntries{g}, first, count, apart, sums);
    for (std::size_t r = 0; r < (apart == 0 ? 1 : 4); ++r) scale_by_units(g, first + r * apart, count, sums + r * count);
  } else if (g.scale_storage != Storage::f16) {
    sum_rows(SumLevels<Floats>{g}, first, count, apart, sums);
  } else if (g.depth / g.blocks >= byte_segment / 8) {
    sum_rows(SumLevels<FewHalves>{g}, first, count, apart, sums);
  } else {
    sum_rows(SumLevels<Halves>{g}, first, count, apart, sums);
  }
}

}  // namespace

const NibbleKernels* nibble_table() {
  static constexpr NibbleKernels table = {&split, &all_sums};
  return &table;
}
#else
const NibbleKernels* nibble_table() { return nullptr; }
#endif
}  // namespace tl::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3
HWY_POP_ATTRIBUTES
#else
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(nibble_table);
const NibbleKernels* nibble_kernels() {
  static const NibbleKernels* table = has_vnni() ? HWY_DYNAMIC_DISPATCH(nibble_table)() : nullptr;
  return table;
}
}  // namespace tl::cpu
#endif
