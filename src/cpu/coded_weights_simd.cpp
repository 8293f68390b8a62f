#include "cpu/coded_weights.hpp"
#include "cpu/x86_extensions.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/coded_weights_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

#if HWY_TARGET <= HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vbmi2")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

// As `run` below.
void run_vbmi2(const std::uint8_t* masks, std::size_t rows, std::size_t width, std::uint16_t* out) {
  const auto mask = static_cast<__mmask32>((std::uint64_t{1} << width) - 1);
  const std::uint8_t* values = masks + sizeof(std::uint32_t) * sparse_rows;
  for (std::size_t i = 0; i < rows; ++i, out += width) {
    std::uint32_t filled = 0;
    std::memcpy(&filled, masks + i * sizeof filled, sizeof filled);
    _mm512_mask_storeu_epi16(out, mask, _mm512_maskz_expand_epi16(filled, _mm512_loadu_si512(values)));
    values += 2 * static_cast<std::size_t>(__builtin_popcount(filled));
  }
}

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#endif

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t columns = coded_columns;

HWY_INLINE std::uint32_t mask_of_row(const std::uint8_t* masks, std::size_t row) {
  std::uint32_t mask = 0;
  std::memcpy(&mask, masks + row * sizeof mask, sizeof mask);
  return mask;
}

#if HWY_TARGET <= HWY_AVX3
HWY_INLINE void store_row(__m512i row, std::uint16_t* out, __mmask32 mask) { _mm512_mask_storeu_epi16(out, mask, row); }

// 32 numbers below 16 as words.
HWY_INLINE __m512i low_places(const std::uint8_t* from) {
  const __m256i words = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(words), _mm256_srli_epi16(words, 4), 1);
  return _mm512_and_si512(both, _mm512_set1_epi16(15));
}
HWY_INLINE __m512i high_places(const std::uint8_t* from) {
  const __m128i words = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  const __m512i shifts =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi16(2), 1)),
                         _mm256_inserti128_si256(_mm256_set1_epi16(4), _mm_set1_epi16(6), 1), 1);
  const __m512i shifted = _mm512_srlv_epi16(_mm512_broadcast_i32x4(words), shifts);
  return _mm512_slli_epi16(_mm512_and_si512(shifted, _mm512_set1_epi16(3)), 4);
}

HWY_INLINE __m512i halves_of(__m512 low, __m512 high) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtps_ph(low, nearest)), _mm512_cvtps_ph(high, nearest), 1);
}

HWY_INLINE __m512i expanded(std::uint32_t mask, const std::uint8_t* values) {
  const auto low = static_cast<__mmask16>(mask);
  const auto high = static_cast<__mmask16>(mask >> 16);
  const auto some = [](const std::uint8_t* p, __mmask16 m) HWY_ATTR {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_cvtepi32_epi16(_mm512_maskz_expand_epi32(m, wide));
  };
  const __m256i first = some(values, low);
  const __m256i second = some(values + 2 * static_cast<std::size_t>(__builtin_popcount(low)), high);
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

// The first rows of a run of sparse ones.
using UnpackRun = void (*)(const std::uint8_t* masks, std::size_t rows, std::size_t width, std::uint16_t* out);

void run(const std::uint8_t* masks, std::size_t rows, std::size_t width, std::uint16_t* out) {
  const auto mask = static_cast<__mmask32>((std::uint64_t{1} << width) - 1);
  const std::uint8_t* values = masks + sizeof(std::uint32_t) * sparse_rows;
  for (std::size_t i = 0; i < rows; ++i, out += width) {
    const std::uint32_t filled = mask_of_row(masks, i);
    store_row(expanded(filled, values), out, mask);
    values += 2 * static_cast<std::size_t>(__builtin_popcount(filled));
  }
}

void unpack(const CodedPanel& p, std::size_t first, std::size_t depth, std::size_t width, std::uint16_t* out) {
  const auto mask = static_cast<__mmask32>((std::uint64_t{1} << width) - 1);
  __m512i table[8];
  const bool tabled = p.code == Code::nibbles || p.code == Code::table4 || p.code == Code::table6 || p.code == Code::table8;
  for (std::size_t i = 0; tabled && i < 8; ++i) table[i] = _mm512_loadu_si512(p.table + 32 * i);
  const std::uint8_t* row = p.rows;
  switch (p.code) {
    case Code::halves:
      row += first * 64;
      for (std::size_t k = 0; k < depth; ++k, row += 64, out += width) store_row(_mm512_loadu_si512(row), out, mask);
      return;
    case Code::bytes: {
      const __m512 low = _mm512_loadu_ps(p.scale);
      const __m512 high = _mm512_loadu_ps(p.scale + 16);
      row += first * 32;
      for (std::size_t k = 0; k < depth; ++k, row += 32, out += width) {
        const auto* at = reinterpret_cast<const __m128i*>(row);
        const __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at)));
        const __m512 y = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at + 1)));
        store_row(halves_of(_mm512_mul_ps(x, low), _mm512_mul_ps(y, high)), out, mask);
      }
      return;
    }
    case Code::nibbles:
      row += first * 16;
      for (std::size_t k = first; k < first + depth;) {
        const float* scale = p.scale + k / p.block * columns;
        const __m512 low = _mm512_loadu_ps(scale);
        const __m512 high = _mm512_loadu_ps(scale + 16);
        const std::size_t end = HWY_MIN(first + depth, (k / p.block + 1) * p.block);
        for (; k < end; ++k, row += 16, out += width) {
          const __m512i levels = _mm512_permutexvar_epi16(low_places(row), table[0]);
          const __m512 x = _mm512_cvtph_ps(_mm512_castsi512_si256(levels));
          const __m512 y = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(levels, 1));
          store_row(halves_of(_mm512_mul_ps(x, low), _mm512_mul_ps(y, high)), out, mask);
        }
      }
      return;
    case Code::table4:
      row += first * 16;
      for (std::size_t k = 0; k < depth; ++k, row += 16, out += width)
        store_row(_mm512_permutexvar_epi16(low_places(row), table[0]), out, mask);
      return;
    case Code::table6:
      row += first * 24;
      for (std::size_t k = 0; k < depth; ++k, row += 24, out += width) {
        const __m512i place = _mm512_or_si512(low_places(row), high_places(row + 16));
        store_row(_mm512_permutex2var_epi16(table[0], place, table[1]), out, mask);
      }
      return;
    case Code::table8:
      row += first * 32;
      for (std::size_t k = 0; k < depth; ++k, row += 32, out += width) {
        const __m512i place = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row)));
        const __mmask32 sixth = _mm512_test_epi16_mask(place, _mm512_set1_epi16(64));
        const __mmask32 seventh = _mm512_test_epi16_mask(place, _mm512_set1_epi16(128));
        const __m512i low = _mm512_mask_mov_epi16(_mm512_permutex2var_epi16(table[0], place, table[1]), sixth,
                                                  _mm512_permutex2var_epi16(table[2], place, table[3]));
        const __m512i high = _mm512_mask_mov_epi16(_mm512_permutex2var_epi16(table[4], place, table[5]), sixth,
                                                   _mm512_permutex2var_epi16(table[6], place, table[7]));
        store_row(_mm512_mask_mov_epi16(low, seventh, high), out, mask);
      }
      return;
    case Code::sparse: {
      static const UnpackRun unpack_run = has_vbmi2() ? &run_vbmi2 : &run;
      for (std::size_t k = 0; k < depth; k += sparse_rows)
        unpack_run(row + p.offsets[(first + k) / sparse_rows], HWY_MIN(sparse_rows, depth - k), width, out + k * width);
      return;
    }
  }
}
#else
void unpack(const CodedPanel& p, std::size_t first, std::size_t depth, std::size_t width, std::uint16_t* out) {
  constexpr std::size_t sizes[] = {64, 32, 16, 16, 24, 32, 0};
  const std::uint8_t* row = p.rows + first * sizes[static_cast<std::size_t>(p.code)];
  const std::uint8_t* masks = nullptr;
  const auto low = [&](std::size_t c) { return static_cast<std::size_t>(row[c % 16] >> (c / 16 * 4) & 15); };
  for (std::size_t k = first; k < first + depth; ++k, out += width, row += sizes[static_cast<std::size_t>(p.code)]) {
    switch (p.code) {
      case Code::halves: std::memcpy(out, row, width * 2); break;
      case Code::bytes:
        for (std::size_t c = 0; c < width; ++c)
          out[c] = to_f16(static_cast<float>(static_cast<std::int8_t>(row[c])) * p.scale[c]).bits;
        break;
      case Code::nibbles:
        for (std::size_t c = 0; c < width; ++c)
          out[c] = to_f16(to_float(f16{p.table[low(c)]}) * p.scale[k / p.block * columns + c]).bits;
        break;
      case Code::table4:
        for (std::size_t c = 0; c < width; ++c) out[c] = p.table[low(c)];
        break;
      case Code::table6:
        for (std::size_t c = 0; c < width; ++c)
          out[c] = p.table[low(c) + 16 * static_cast<std::size_t>(row[16 + c % 8] >> (c / 8 * 2) & 3)];
        break;
      case Code::table8:
        for (std::size_t c = 0; c < width; ++c) out[c] = p.table[row[c]];
        break;
      case Code::sparse: {
        if ((k - first) % sparse_rows == 0) {
          masks = p.rows + p.offsets[k / sparse_rows];
          row = masks + sizeof(std::uint32_t) * sparse_rows;
        }
        const std::uint32_t filled = mask_of_row(masks, k % sparse_rows);
        for (std::size_t c = 0; c < columns; ++c) {
          std::uint16_t value = 0;
          if ((filled >> c & 1) != 0) {
            std::memcpy(&value, row, sizeof value);
            row += 2;
          }
          if (c < width) out[c] = value;
        }
        break;
      }
    }
  }
}
#endif

UnpackPanel unpack_pointer() { return &unpack; }

void add(const std::uint16_t* rows, std::size_t depth, float* sums) {
  for (std::size_t c = 0; c < columns; c += lanes) {
    V sum = load(sums + c);
    for (std::size_t k = 0; k < depth; ++k) {
      const V value = load(reinterpret_cast<const Half*>(rows + k * columns + c));
      sum = hn::MulAdd(value, value, sum);
    }
    store(sum, sums + c);
  }
}
AddSquares add_pointer() { return &add; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(unpack_pointer);
HWY_EXPORT(add_pointer);
UnpackPanel unpack_panel() { return HWY_DYNAMIC_DISPATCH(unpack_pointer)(); }
AddSquares add_squares() { return HWY_DYNAMIC_DISPATCH(add_pointer)(); }
}  // namespace tl::cpu
#endif
