#include <array>
#include <cstring>
#include <utility>

#include "cpu/dot.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/dot_int8.cpp"
#include <hwy/foreach_target.h>

#include "cpu/level_finish-inl.hpp"
#include "cpu/x86_extensions.hpp"

// Bytes: u8 times s8 summed in int32, exact as long as the depth stays below 2^31 / (255 * 128).
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using Word = std::uint32_t;
constexpr std::size_t block_bytes = 4 * dot_block;

// Row `row` from column `column` on.
HWY_INLINE LevelRow row_of(const DotBlock& g, std::size_t row, std::size_t column) {
  const LevelFinish& f = *g.finish;
  const std::size_t at = row * g.c_stride + column;
  LevelRow part = g.level_row;
  part.scale += column;
  part.bias += column;
  if (part.residual != nullptr) part.residual = static_cast<const std::byte*>(part.residual) + at * f.residual_bytes();
  part.out = static_cast<std::byte*>(part.out) + at * f.out_bytes();
  if (part.values != nullptr) part.values = static_cast<std::byte*>(part.values) + at * size_of(f.storage);
  return part;
}

void finish_rows(const DotBlock& g, const std::int32_t* sums, std::size_t rows, std::size_t row, std::size_t column,
                 std::size_t valid) {
  for (std::size_t r = 0; r < rows; ++r) finish_row(*g.finish, row_of(g, row + r, column), sums + r * dot_panel, valid);
}

void start_rows(const DotBlock& g, std::int32_t* sums, std::size_t rows, std::size_t column, std::size_t valid) {
  for (std::size_t r = 0; r < rows; ++r) {
    std::memset(sums + r * dot_panel, 0, dot_panel * sizeof(std::int32_t));
    std::memcpy(sums + r * dot_panel, g.start + column, valid * sizeof(std::int32_t));
  }
}

#if HWY_TARGET == HWY_SCALAR
// Adds the products of rows and `width` columns.
void add_tile(const Word* a, std::size_t rows, const Word* b, std::size_t width, std::size_t words, std::int32_t* sums) {
  for (std::size_t k = 0; k < words; ++k) {
    const Word* tile = a + k / dot_block * rows * dot_block + k % dot_block;
    for (std::size_t byte = 0; byte < 4; ++byte) {
      std::int32_t columns[dot_panel];
      const auto shift = static_cast<unsigned>(24 - 8 * byte);
      for (std::size_t i = 0; i < width; ++i) columns[i] = static_cast<std::int32_t>(b[k * width + i] << shift) >> 24;
      for (std::size_t r = 0; r < rows; ++r) {
        const auto x = static_cast<std::int32_t>(tile[r * dot_block] >> (8 * byte) & 0xFFU);
        std::int32_t* HWY_RESTRICT out = sums + r * dot_panel;
        for (std::size_t i = 0; i < width; ++i) out[i] += x * columns[i];
      }
    }
  }
}
#else
// Adds the products of `rows` rows and `vectors` vectors of columns. The bytes of a word are multiplied as 16-bit neighbours,
// the even ones, then the odd ones: their sums in pairs fit 32 bits.
template <int rows, int vectors>
HWY_INLINE void add_products(const Word* HWY_RESTRICT a, std::size_t tile_rows, const Word* HWY_RESTRICT b, std::size_t width,
                             std::size_t words, std::int32_t* HWY_RESTRICT sums) {
  const hn::CappedTag<std::int32_t, dot_lanes> d;
  const hn::RepartitionToNarrow<decltype(d)> narrow;
  const hn::RebindToUnsigned<decltype(narrow)> plain;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<decltype(d)> low[rows][vectors], high[rows][vectors];
  TL_UNROLL for (int r = 0; r < rows; ++r) { TL_UNROLL for (int v = 0; v < vectors; ++v) low[r][v] = high[r][v] = hn::Zero(d); }
  for (std::size_t k = 0; k < words; ++k) {
    const Word* HWY_RESTRICT tile = a + k / dot_block * tile_rows * dot_block + k % dot_block;
    hn::Vec<decltype(narrow)> even[vectors], odd[vectors];
    TL_UNROLL for (int v = 0; v < vectors; ++v) {
      const auto* column = reinterpret_cast<const std::int32_t*>(b) + k * width + static_cast<std::size_t>(v) * lanes;
      const auto bytes = hn::BitCast(narrow, hn::LoadU(d, column));
      even[v] = hn::ShiftRight<8>(hn::ShiftLeft<8>(bytes));
      odd[v] = hn::ShiftRight<8>(bytes);
    }
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      const auto word = hn::Set(d, static_cast<std::int32_t>(tile[static_cast<std::size_t>(r) * dot_block]));
      const auto x = hn::BitCast(plain, word);
      const auto first = hn::BitCast(narrow, hn::And(x, hn::Set(plain, 0xFF)));
      const auto second = hn::BitCast(narrow, hn::ShiftRight<8>(x));
      TL_UNROLL for (int v = 0; v < vectors; ++v) {
        low[r][v] = hn::ReorderWidenMulAccumulate(d, first, even[v], low[r][v], high[r][v]);
        low[r][v] = hn::ReorderWidenMulAccumulate(d, second, odd[v], low[r][v], high[r][v]);
      }
    }
  }
  TL_UNROLL for (int r = 0; r < rows; ++r) {
    TL_UNROLL for (int v = 0; v < vectors; ++v) {
      std::int32_t* out = sums + static_cast<std::size_t>(r) * dot_panel + static_cast<std::size_t>(v) * lanes;
      hn::StoreU(hn::Add(hn::LoadU(d, out), hn::RearrangeToOddPlusEven(low[r][v], high[r][v])), d, out);
    }
  }
}

void add_tile(const Word* a, std::size_t rows, const Word* b, std::size_t width, std::size_t words, std::int32_t* sums) {
  const std::size_t lanes = hn::Lanes(hn::CappedTag<std::int32_t, dot_lanes>());
  constexpr int most = HWY_TARGET == HWY_AVX3 ? 7 : 4;  // rows whose sums stay in registers
  for (std::size_t r = 0; r < rows;) {
    const std::size_t left = rows - r;
    const std::size_t count = left >= most ? most : left >= 2 ? 2 : 1;
    for (std::size_t i = 0; i < width;) {
      const bool two = width - i >= 2 * lanes;
      const auto add = count == most ? (two ? &add_products<most, 2> : &add_products<most, 1>)
                       : count == 2  ? (two ? &add_products<2, 2> : &add_products<2, 1>)
                                     : (two ? &add_products<1, 2> : &add_products<1, 1>);
      add(a + r * dot_block, rows, b + i, width, words, sums + r * dot_panel + i);
      i += two ? 2 * lanes : lanes;
    }
    r += count;
  }
}
#endif

void plain_tile(const Word* a, const Word* b, const DotBlock& g, std::size_t rows, std::size_t row, std::size_t column) {
  HWY_ALIGN std::int32_t sums[dot_rows * dot_panel];
  const std::size_t width = dot_width(g.columns, column);
  const std::size_t valid = HWY_MIN(g.columns - column, width);
  start_rows(g, sums, rows, column, valid);
  add_tile(a, rows, b, width, g.words, sums);
  finish_rows(g, sums, rows, row, column, valid);
}

void plain_multiply(const DotBlock& g) {
  const std::size_t tiles = (g.rows + dot_rows - 1) / dot_rows;
  const std::size_t tile_end = g.tile_end == 0 ? tiles : g.tile_end;
  for (std::size_t p = g.panel_begin; p < g.panel_end; ++p) {
    for (std::size_t t = g.tile_begin; t < tile_end; ++t) {
      const TileRange range = tile_range(g.rows, tiles, t);
      plain_tile(g.a + range.first * padded_words(g.words), g.b + p * dot_panel * g.words, g, range.count, range.first,
                 p * dot_panel);
    }
  }
}

// n <= 64 bytes made unsigned; zeros behind them, up to 64 in all. A null source: bytes of `fill`.
HWY_INLINE void put_block(const std::uint8_t* HWY_RESTRICT source, std::uint8_t* HWY_RESTRICT target, std::size_t n,
                          std::uint8_t flip, std::uint8_t fill) {
#if HWY_TARGET <= HWY_AVX3
  const __mmask64 mask = n >= block_bytes ? ~__mmask64{0} : (__mmask64{1} << n) - 1;
  const __m512i bytes =
      source == nullptr ? _mm512_set1_epi8(static_cast<char>(fill))
                        : _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, source), _mm512_set1_epi8(static_cast<char>(flip)));
  _mm512_storeu_si512(target, _mm512_maskz_mov_epi8(mask, bytes));
#else
  for (std::size_t i = 0; i < n; ++i) target[i] = source == nullptr ? fill : static_cast<std::uint8_t>(source[i] ^ flip);
  std::memset(target + n, 0, block_bytes - n);
#endif
}

// n <= 64 bytes and nothing behind them.
HWY_INLINE void put_bytes(const std::uint8_t* HWY_RESTRICT source, std::uint8_t* HWY_RESTRICT target, std::size_t n,
                          std::uint8_t flip, std::uint8_t fill) {
#if HWY_TARGET <= HWY_AVX3
  const __mmask64 mask = n >= block_bytes ? ~__mmask64{0} : (__mmask64{1} << n) - 1;
  const __m512i bytes =
      source == nullptr ? _mm512_set1_epi8(static_cast<char>(fill))
                        : _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, source), _mm512_set1_epi8(static_cast<char>(flip)));
  _mm512_mask_storeu_epi8(target, mask, bytes);
#else
  for (std::size_t i = 0; i < n; ++i) target[i] = source == nullptr ? fill : static_cast<std::uint8_t>(source[i] ^ flip);
#endif
}

void pack_tile(const DotPack& a) {
  const ConvShape& s = *a.shape;
  const std::size_t channels = s.in_c / s.groups;
  const std::size_t depth = s.depth();
  const std::size_t step = a.count * block_bytes;
  const auto* x = static_cast<const std::uint8_t*>(a.x) + a.group * channels;
  auto* row = reinterpret_cast<std::uint8_t*>(a.row);
  auto* tile = reinterpret_cast<std::uint8_t*>(a.tile);
  const bool direct = channels % block_bytes == 0 || s.kernel_h * s.kernel_w == 1;
  const bool single = !direct && depth <= block_bytes;
  const std::size_t gathered = !direct && !single && depth <= dot_gathered ? a.count : 1;
  const std::size_t row_step = padded_words((depth + 3) / 4) * 4 + block_bytes;
  const bool joined = s.dilation_w == 1 && s.groups == 1;
  std::size_t ox = a.first % s.out_w;
  std::size_t oy = a.first / s.out_w % s.out_h;
  std::size_t image = a.first / s.out_w / s.out_h;
  for (std::size_t r = 0; r < a.count; ++r) {
    std::uint8_t* out = direct || single ? tile + r * block_bytes : row + r % gathered * row_step;
    if (single) std::memset(out + depth / 16 * 16, 0, block_bytes - depth / 16 * 16);
    const auto put = [&](const std::uint8_t* source, std::size_t count) HWY_ATTR {
      if (single) {
        put_bytes(source, out, count, a.flip, a.zero);
        out += count;
        return;
      }
      std::size_t i = 0;
#if HWY_TARGET <= HWY_AVX3
      const __m512i flip = _mm512_set1_epi8(static_cast<char>(a.flip));
      if (source != nullptr && direct) {
        for (; i + block_bytes <= count; i += block_bytes, out += step)
          _mm512_storeu_si512(out, _mm512_xor_si512(_mm512_loadu_si512(source + i), flip));
      }
#endif
      for (; i < count; i += block_bytes) {
        const std::size_t n = HWY_MIN(block_bytes, count - i);
        put_block(source == nullptr ? nullptr : source + i, out, n, a.flip, a.zero);
        out += direct ? step : n;
      }
    };
    const auto left = static_cast<std::ptrdiff_t>(ox * s.stride_w) - s.pad_left;
    const bool inside = left >= 0 && left + static_cast<std::ptrdiff_t>(s.kernel_w) <= static_cast<std::ptrdiff_t>(s.in_w);
    for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
      const auto iy = static_cast<std::ptrdiff_t>(oy * s.stride_h + ky * s.dilation_h) - s.pad_top;
      if (iy < 0 || iy >= static_cast<std::ptrdiff_t>(s.in_h)) {
        put(nullptr, s.kernel_w * channels);
        continue;
      }
      const std::uint8_t* line = x + (image * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c;
      if (joined && inside) {
        put(line + static_cast<std::size_t>(left) * s.in_c, s.kernel_w * channels);
        continue;
      }
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::ptrdiff_t ix = left + static_cast<std::ptrdiff_t>(kx * s.dilation_w);
        const bool padding = ix < 0 || ix >= static_cast<std::ptrdiff_t>(s.in_w);
        put(padding ? nullptr : line + static_cast<std::size_t>(ix) * s.in_c, channels);
      }
    }
    if (!direct && !single) std::memset(out, 0, block_bytes);
    if (!direct && !single && (r + 1) % gathered == 0) {
      for (std::size_t g = 0; g < gathered; ++g) {
        std::uint8_t* to = tile + (r + 1 - gathered + g) * block_bytes;
        for (std::size_t k = 0; k < depth; k += block_bytes, to += step) std::memcpy(to, row + g * row_step + k, block_bytes);
      }
    }
    if (++ox == s.out_w) {
      ox = 0;
      if (++oy == s.out_h) {
        oy = 0;
        ++image;
      }
    }
  }
}

}  // namespace

const DotKernels& int8_plain() {
  static constexpr DotKernels table = {"gemm_int8", 4, &plain_multiply, &pack_tile};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr int tile_vectors = dot_panel / dot_lanes;
using Finish = void (*)(const DotBlock& g, const std::int32_t* sums, std::size_t rows, std::size_t row, std::size_t column,
                        std::size_t valid);

// Rows that become bytes, four vectors at a time: two rows of two, or four of one.
template <int vectors, class Lookup>
HWY_INLINE void bytes_of_rows(const DotBlock& g, const std::int32_t* HWY_RESTRICT sums, std::size_t rows, const LevelRow& first,
                              std::size_t valid, const Lookup& lookup) {
  constexpr std::size_t together = 4 / vectors;
  const QuickBytes quick(*g.finish);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512 scale[4], bias[4];
  TL_UNROLL for (int i = 0; i < 4; ++i) {
    scale[i] = _mm512_loadu_ps(first.scale + static_cast<std::size_t>(i % vectors) * dot_lanes);
    bias[i] = _mm512_loadu_ps(first.bias + static_cast<std::size_t>(i % vectors) * dot_lanes);
  }
  const auto mask = static_cast<__mmask32>((std::uint64_t{1} << valid) - 1);
  auto* HWY_RESTRICT out = static_cast<std::uint8_t*>(first.out);
  for (std::size_t r = 0; r < rows; r += together) {
    __m512i some[4];
    TL_UNROLL for (int i = 0; i < 4; ++i) {
      const std::size_t from = HWY_MIN(r + static_cast<std::size_t>(i / vectors), rows - 1);
      some[i] = _mm512_load_si512(sums + from * dot_panel + static_cast<std::size_t>(i % vectors) * dot_lanes);
    }
    const __m512i bytes = _mm512_permutexvar_epi32(order, quick(some, scale, bias, lookup));
    if (vectors == 2) {
      _mm256_mask_storeu_epi8(out, mask, _mm512_castsi512_si256(bytes));
      if (r + 1 < rows) _mm256_mask_storeu_epi8(out + g.c_stride, mask, _mm512_extracti64x4_epi64(bytes, 1));
    } else {
      const auto narrow = static_cast<__mmask16>(mask);
      _mm_mask_storeu_epi8(out, narrow, _mm512_castsi512_si128(bytes));
      if (r + 1 < rows) _mm_mask_storeu_epi8(out + g.c_stride, narrow, _mm512_extracti32x4_epi32(bytes, 1));
      if (r + 2 < rows) _mm_mask_storeu_epi8(out + 2 * g.c_stride, narrow, _mm512_extracti32x4_epi32(bytes, 2));
      if (r + 3 < rows) _mm_mask_storeu_epi8(out + 3 * g.c_stride, narrow, _mm512_extracti32x4_epi32(bytes, 3));
    }
    out += together * g.c_stride;
  }
}

// 16 values of the residual, those of `mask`.
template <bool levels>
HWY_INLINE __m512 residual_of(const LevelFinish& f, const std::byte* at, __mmask16 mask) {
  if (!levels) return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at));
  const __m128i bytes = _mm_maskz_loadu_epi8(mask, at);
  const __m512 level = _mm512_cvtepi32_ps(f.residual.is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
  return half_rounded(_mm512_mul_ps(_mm512_set1_ps(f.residual.scale), _mm512_sub_ps(level, _mm512_set1_ps(f.residual.zero))));
}

// Rows that a residual is added to, bounded, and stored as bytes, as values, or as both; two rows of two vectors at a time.
template <bool middle, bool levels>
void summed_rows(const DotBlock& g, const std::int32_t* HWY_RESTRICT sums, std::size_t rows, const LevelRow& first,
                 std::size_t valid) {
  const LevelFinish& f = *g.finish;
  const QuickLevels quick(f.levels);
  const QuickLevels between(f.middle);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512 middle_scale = _mm512_set1_ps(f.middle.scale);
  const __m512 middle_low = _mm512_set1_ps((f.middle.is_signed ? -128.0F : 0.0F) - f.middle.zero);
  const __m512 middle_high = _mm512_set1_ps((f.middle.is_signed ? 127.0F : 255.0F) - f.middle.zero);
  const __m512 low = _mm512_set1_ps(f.activation.alpha);
  const __m512 high = _mm512_set1_ps(f.activation.beta);
  const auto mask = static_cast<__mmask32>((std::uint64_t{1} << valid) - 1);
  const __mmask16 masks[2] = {static_cast<__mmask16>(mask), static_cast<__mmask16>(mask >> 16)};
  const __m512 scale[2] = {_mm512_loadu_ps(first.scale), _mm512_loadu_ps(first.scale + dot_lanes)};
  const __m512 bias[2] = {_mm512_loadu_ps(first.bias), _mm512_loadu_ps(first.bias + dot_lanes)};
  void* all_values = f.levels.used ? first.values : first.out;
  for (std::size_t r = 0; r < rows; r += 2) {
    const std::size_t from[2] = {r, HWY_MIN(r + 1, rows - 1)};
    __m256i values[4];
    __m512i whole[4];
    TL_UNROLL for (int i = 0; i < 4; ++i) {
      const int v = i % 2;
      const std::size_t row = from[i / 2];
      const __m512i sum = _mm512_load_si512(sums + row * dot_panel + static_cast<std::size_t>(v) * dot_lanes);
      __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale[v], bias[v]);
      if (middle) {
        const __m512 level =
            _mm512_roundscale_ps(between.snapped(half_rounded(y)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        y = half_rounded(_mm512_mul_ps(middle_scale, _mm512_min_ps(middle_high, _mm512_max_ps(middle_low, level))));
      }
      const std::size_t at = row * g.c_stride + static_cast<std::size_t>(v) * dot_lanes;
      y = _mm512_add_ps(
          y, residual_of<levels>(f, static_cast<const std::byte*>(first.residual) + at * (levels ? 1 : 2), masks[v]));
      values[i] = _mm512_cvtps_ph(_mm512_min_ps(high, _mm512_max_ps(low, y)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      y = _mm512_cvtph_ps(values[i]);
      whole[i] = quick.level(y);
      if (!levels) whole[i] = _mm512_maskz_mov_epi32(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), whole[i]);
    }
    if (all_values != nullptr) {
      TL_UNROLL for (int i = 0; i < 4; ++i) _mm256_mask_storeu_epi16(
          static_cast<std::byte*>(all_values) + 2 * (from[i / 2] * g.c_stride + static_cast<std::size_t>(i % 2) * dot_lanes),
          masks[i % 2], values[i]);
    }
    if (f.levels.used) {
      const __m512i bytes = _mm512_permutexvar_epi32(order, quick.pack(whole));
      auto* out = static_cast<std::uint8_t*>(first.out) + r * g.c_stride;
      _mm256_mask_storeu_epi8(out, mask, _mm512_castsi512_si256(bytes));
      if (r + 1 < rows) _mm256_mask_storeu_epi8(out + g.c_stride, mask, _mm512_extracti64x4_epi64(bytes, 1));
    }
  }
}

template <class Lookup>
HWY_INLINE void quick_rows(const DotBlock& g, const std::int32_t* sums, std::size_t rows, std::size_t row, std::size_t column,
                           std::size_t valid, const Lookup& lookup) {
  const LevelFinish& f = *g.finish;
  if (all_bytes(f, g.level_row)) {
    const LevelRow first = row_of(g, row, column);
    return valid <= dot_lanes ? bytes_of_rows<1>(g, sums, rows, first, valid, lookup)
                              : bytes_of_rows<2>(g, sums, rows, first, valid, lookup);
  }
  if (f.exact && g.level_row.residual != nullptr && f.activation.kind == Activation::clamp) {
    const LevelRow first = row_of(g, row, column);
    const auto sum = f.middle.used     ? f.residual.used ? &summed_rows<true, true> : &summed_rows<true, false>
                         : f.residual.used ? &summed_rows<false, true>
                                       : &summed_rows<false, false>;
    return sum(g, sums, rows, first, valid);
  }
  finish_rows(g, sums, rows, row, column, valid);
}

void finish_shuffled(const DotBlock& g, const std::int32_t* sums, std::size_t rows, std::size_t row, std::size_t column,
                     std::size_t valid) {
  quick_rows(g, sums, rows, row, column, valid, ShuffledTable{g.finish->table});
}

template <int rows, int vectors>
HWY_INLINE void step(__m512i (&sums)[rows][vectors], const Word* HWY_RESTRICT a, const Word* HWY_RESTRICT b) {
  __m512i columns[vectors];
  TL_UNROLL for (int v = 0; v < vectors; ++v) columns[v] = _mm512_loadu_si512(b + static_cast<std::size_t>(v) * dot_lanes);
  TL_UNROLL for (int r = 0; r < rows; ++r) {
    const __m512i word = _mm512_set1_epi32(static_cast<int>(a[static_cast<std::size_t>(r) * dot_block]));
    TL_UNROLL for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], word, columns[v]);
  }
}

template <int rows, int vectors>
void tile(const Word* HWY_RESTRICT a, const Word* HWY_RESTRICT b, const DotBlock& g, std::size_t row, std::size_t column,
          Finish finish) {
  constexpr std::size_t width = vectors * dot_lanes;
  const std::size_t valid = HWY_MIN(g.columns - column, width);
  HWY_ALIGN std::int32_t results[rows * dot_panel];
  __m512i sums[rows][vectors];
  TL_UNROLL for (int v = 0; v < vectors; ++v) {
    const __m512i start = _mm512_loadu_si512(g.start + column + static_cast<std::size_t>(v) * dot_lanes);
    TL_UNROLL for (int r = 0; r < rows; ++r) sums[r][v] = start;
  }
  for (std::size_t block = g.words / dot_block; block > 0; --block) {
    for (std::size_t k = 0; k < dot_block; k += 4) {
      step<rows, vectors>(sums, a + k, b);
      step<rows, vectors>(sums, a + k + 1, b + width);
      step<rows, vectors>(sums, a + k + 2, b + 2 * width);
      step<rows, vectors>(sums, a + k + 3, b + 3 * width);
      b += 4 * width;
    }
    a += rows * dot_block;
  }
  for (std::size_t k = 0; k < g.words % dot_block; ++k, b += width) step<rows, vectors>(sums, a + k, b);
  TL_UNROLL for (int r = 0; r < rows; ++r) {
    TL_UNROLL for (int v = 0; v < vectors; ++v) _mm512_store_si512(
        results + static_cast<std::size_t>(r) * dot_panel + static_cast<std::size_t>(v) * dot_lanes, sums[r][v]);
  }
  finish(g, results, rows, row, column, valid);
}

using Tile = void (*)(const Word*, const Word*, const DotBlock&, std::size_t, std::size_t, Finish);

template <int vectors, std::size_t... r>
constexpr auto tiles_of(std::index_sequence<r...>) {
  return std::array<Tile, sizeof...(r)>{&tile<static_cast<int>(r) + 1, vectors>...};
}

void multiply_with(const DotBlock& g, Finish finish) {
  static constexpr std::array<Tile, dot_rows> wide = tiles_of<tile_vectors>(std::make_index_sequence<dot_rows>());
  static constexpr std::array<Tile, dot_rows> narrow = tiles_of<1>(std::make_index_sequence<dot_rows>());
  const std::size_t tiles = (g.rows + dot_rows - 1) / dot_rows;
  const std::size_t tile_end = g.tile_end == 0 ? tiles : g.tile_end;
  for (std::size_t p = g.panel_begin; p < g.panel_end; ++p) {
    const std::size_t column = p * dot_panel;
    const auto& family = g.columns - column <= dot_lanes ? narrow : wide;
    for (std::size_t t = g.tile_begin; t < tile_end; ++t) {
      const TileRange range = tile_range(g.rows, tiles, t);
      family[range.count - 1](g.a + range.first * padded_words(g.words), g.b + column * g.words, g, range.first, column,
                              finish);
    }
  }
}

void multiply_shuffled(const DotBlock& g) { multiply_with(g, &finish_shuffled); }

}  // namespace

const DotKernels* int8_vnni() {
  static constexpr DotKernels table = {"gemm_int8_vnni", 4, &multiply_shuffled, &pack_tile};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni,avx512vbmi")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

void finish_permuted(const DotBlock& g, const std::int32_t* sums, std::size_t rows, std::size_t row, std::size_t column,
                     std::size_t valid) {
  quick_rows(g, sums, rows, row, column, valid, PermutedTable(g.finish->table));
}

void multiply_permuted(const DotBlock& g) { multiply_with(g, &finish_permuted); }

}  // namespace

const DotKernels* int8_vnni_vbmi() {
  static constexpr DotKernels table = {"gemm_int8_vnni", 4, &multiply_permuted, &pack_tile};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#else
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
const DotKernels* int8_vnni() { return nullptr; }
const DotKernels* int8_vnni_vbmi() { return nullptr; }
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(int8_plain);
HWY_EXPORT(int8_vnni);
HWY_EXPORT(int8_vnni_vbmi);

const DotKernels& int8_kernels() {
  static const DotKernels& best = best_for_bytes(&HWY_DYNAMIC_DISPATCH(int8_plain)(), HWY_DYNAMIC_DISPATCH(int8_vnni)(),
                                                 HWY_DYNAMIC_DISPATCH(int8_vnni_vbmi)());
  return best;
}

}  // namespace tl::cpu
#endif
