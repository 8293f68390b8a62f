#include <array>
#include <cstring>
#include <utility>

#include "base/knobs.hpp"
#include "cpu/cache_line.hpp"
#include "cpu/dot.hpp"
#include "cpu/x86_extensions.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/dot_bf16.cpp"
#include <hwy/foreach_target.h>

#include "cpu/finish-inl.hpp"

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr int tile_vectors = dot_panel / dot_lanes;
constexpr std::size_t block_elements = 2 * dot_block;
using Word = std::uint32_t;
using Bf16 = std::uint16_t;

HWY_INLINE __m512 dot(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

// 32 elements of bf16 from two vectors.
HWY_INLINE __m512i narrowed(V low, V high) { return (__m512i)_mm512_cvtne2ps_pbh(high.raw, low.raw); }

// One word of depth: the words of rows [first, last) against `vectors` vectors of columns.
template <int first, int last, int rows, int vectors>
HWY_INLINE void step(__m512 (&sums)[rows][vectors], const Word* HWY_RESTRICT a, const Word* HWY_RESTRICT b) {
  __m512i columns[vectors];
  TL_UNROLL for (int v = 0; v < vectors; ++v) columns[v] = _mm512_loadu_si512(b + static_cast<std::size_t>(v) * dot_lanes);
  TL_UNROLL for (int r = first; r < last; ++r) {
    const __m512i word = _mm512_set1_epi32(static_cast<int>(a[static_cast<std::size_t>(r) * dot_block]));
    TL_UNROLL for (int v = 0; v < vectors; ++v) sums[r][v] = dot(sums[r][v], word, columns[v]);
  }
}

// The last words of the depth run for four rows after the other, so that what finishes a row meets the products of the next.
constexpr std::size_t closing_words = 4;

template <int first, int rows, int vectors>
HWY_INLINE void close(const DotBlock& g, __m512 (&sums)[rows][vectors], const Word* HWY_RESTRICT a, const Word* HWY_RESTRICT b,
                      V low, V high, Half* HWY_RESTRICT out) {
  constexpr int last = HWY_MIN(first + 8 / vectors, rows);
  TL_UNROLL for (std::size_t k = 0; k < closing_words; ++k) step<first, last>(sums, a + k, b + k * vectors * dot_lanes);
  TL_UNROLL for (int r = first; r < last; ++r) {
    TL_UNROLL for (int v = 0; v < vectors; ++v) {
      store(at_most(high, at_least(low, V{sums[r][v]})),
            out + static_cast<std::size_t>(r) * g.c_stride + static_cast<std::size_t>(v) * lanes);
    }
  }
  if constexpr (last < rows) close<last>(g, sums, a, b, low, high, out);
}

template <int rows, int vectors>
void tile(const Word* HWY_RESTRICT a, const Word* HWY_RESTRICT b, const std::byte* ahead, std::size_t ahead_lines,
          const DotBlock& g, std::size_t row, std::size_t column) {
  constexpr std::size_t width = vectors * dot_lanes;
  const std::size_t valid = HWY_MIN(g.columns - column, width);
  __m512 sums[rows][vectors];
  HWY_ALIGN float buffer[tile_vectors * dot_lanes];
  const float* bias = g.bias == nullptr ? nullptr : g.bias + column;
  if (bias == nullptr || valid < width) {
    std::memset(buffer, 0, sizeof buffer);
    if (bias != nullptr) std::memcpy(buffer, bias, valid * sizeof(float));
    bias = buffer;
  }
  TL_UNROLL for (int v = 0; v < vectors; ++v) {
    const __m512 start = _mm512_loadu_ps(bias + static_cast<std::size_t>(v) * dot_lanes);
    TL_UNROLL for (int r = 0; r < rows; ++r) sums[r][v] = start;
  }
  constexpr bool may_close = rows * 2 >= static_cast<int>(dot_rows);
  const bool closes = may_close && g.activation.kind == Activation::clamp && valid == width && g.c_storage == Storage::f16 &&
                      g.residual == nullptr && (g.words - 1) % dot_block + 1 >= closing_words;
  std::size_t last = g.words - (closes ? closing_words : 0);
  for (;;) {
    const std::size_t count = HWY_MIN(last, dot_block);
    std::size_t k = 0;
    for (; k + 4 <= count; k += 4, b += 4 * width) {
      step<0, rows>(sums, a + k, b);
      step<0, rows>(sums, a + k + 1, b + width);
      step<0, rows>(sums, a + k + 2, b + 2 * width);
      step<0, rows>(sums, a + k + 3, b + 3 * width);
    }
    for (; k < count; ++k, b += width) step<0, rows>(sums, a + k, b);
    if (last < dot_block) break;
    last -= dot_block;
    a += rows * dot_block;
    for (std::size_t i = 0; i < ahead_lines; ++i, ahead += cache_line) __builtin_prefetch(ahead, 0, 2);
  }
  if constexpr (may_close) {
    if (closes) {
      return close<0>(g, sums, a + last, b, constant(g.activation.alpha), constant(g.activation.beta),
                      static_cast<Half*>(g.c) + row * g.c_stride + column);
    }
  }
  V results[rows][vectors];
  TL_UNROLL for (int r = 0; r < rows; ++r) { TL_UNROLL for (int v = 0; v < vectors; ++v) results[r][v] = V{sums[r][v]}; }
  finish<rows, vectors>(g, results, row, column, valid);
}

using Tile = void (*)(const Word*, const Word*, const std::byte*, std::size_t, const DotBlock&, std::size_t, std::size_t);

template <int vectors, std::size_t... r>
constexpr auto tiles_of(std::index_sequence<r...>) {
  return std::array<Tile, sizeof...(r)>{&tile<static_cast<int>(r) + 1, vectors>...};
}

void multiply(const DotBlock& g) {
  static constexpr std::array<Tile, dot_rows> wide = tiles_of<tile_vectors>(std::make_index_sequence<dot_rows>());
  static constexpr std::array<Tile, dot_rows> narrow = tiles_of<1>(std::make_index_sequence<dot_rows>());
  const std::size_t tiles = (g.rows + dot_rows - 1) / dot_rows;
  const std::size_t tile_end = g.tile_end == 0 ? tiles : g.tile_end;
  // The next panel comes into the second-level cache while this one is multiplied: each tile fetches a share.
  const std::size_t blocks = g.words / dot_block;
  const std::size_t lines = g.words * dot_panel * sizeof(Word) / cache_line;
  const std::size_t steps = (tile_end - g.tile_begin) * blocks;
  for (std::size_t p = g.panel_begin; p < g.panel_end; ++p) {
    const std::size_t column = p * dot_panel;
    const auto& family = g.columns - column <= dot_lanes ? narrow : wide;
    const Word* panel = g.b + column * g.words;
    const bool more = column + dot_panel < g.columns && steps != 0;
    const auto* next = reinterpret_cast<const std::byte*>(panel + dot_panel * g.words);
    const std::size_t per_block = more ? (lines + steps - 1) / steps : 0;
    for (std::size_t t = g.tile_begin; t < tile_end; ++t) {
      const TileRange range = tile_range(g.rows, tiles, t);
      family[range.count - 1](g.a + range.first * padded_words(g.words), panel, next, per_block, g, range.first, column);
      next += per_block * blocks * cache_line;
    }
  }
}

// Up to 32 elements; zero past `count`.
template <class T>
HWY_INLINE __m512i narrowed_up_to(const T* HWY_RESTRICT source, std::size_t count) {
  if (count >= block_elements) return narrowed(load(source), load(source + lanes));
  return narrowed(load_n(source, HWY_MIN(count, lanes)), count > lanes ? load_n(source + lanes, count - lanes) : hn::Zero(f32));
}

// `count` elements to consecutive places; up to 31 more are overwritten.
template <class T>
HWY_INLINE void put_run(const T* HWY_RESTRICT source, Bf16* HWY_RESTRICT row, std::size_t count) {
  for (std::size_t i = 0; i < count; i += block_elements) _mm512_storeu_si512(row + i, narrowed_up_to(source + i, count - i));
}

// `count` elements to the blocks of one row of a tile; the last block is padded with zeros.
template <class T>
HWY_INLINE void spread_run(const T* HWY_RESTRICT source, Word* HWY_RESTRICT out, std::size_t count, std::size_t step) {
  for (std::size_t i = 0; i < count; i += block_elements, out += step)
    _mm512_store_si512(out, narrowed_up_to(source + i, count - i));
}

// Where the windows of one output pixel go: straight to the blocks of the tile, or first to a row.
struct Sink {
  Word* out;
  Bf16* row;
  std::size_t step;
  bool direct;

  template <class T>
  HWY_INLINE void put(const T* HWY_RESTRICT source, std::size_t count) {
    if (direct) {
      spread_run(source, out, count, step);
      out += count / block_elements * step;
    } else {
      put_run(source, row, count);
      row += count;
    }
  }
  HWY_INLINE void put_zeros(std::size_t count) {
    for (std::size_t i = 0; i < count; i += block_elements)
      _mm512_storeu_si512(direct ? static_cast<void*>(out + i / block_elements * step) : row + i, _mm512_setzero_si512());
    if (direct) {
      out += count / block_elements * step;
    } else {
      row += count;
    }
  }
};

template <class T>
void pack_windows(const DotPack& a) {
  const ConvShape& s = *a.shape;
  const std::size_t channels = s.in_c / s.groups;
  const std::size_t step = a.count * dot_block;
  const T* x = static_cast<const T*>(a.x) + a.group * channels;
  if (s.pointwise()) {
    for (std::size_t r = 0; r < a.count; ++r) spread_run(x + (a.first + r) * s.in_c, a.tile + r * dot_block, a.depth, step);
    return;
  }
  const std::size_t words = (s.depth() + 1) / 2;
  const bool direct = channels % block_elements == 0;
  const bool joined = s.dilation_w == 1 && s.groups == 1;
  std::size_t ox = a.first % s.out_w;
  std::size_t oy = a.first / s.out_w % s.out_h;
  std::size_t image = a.first / s.out_w / s.out_h;
  for (std::size_t r = 0; r < a.count; ++r) {
    Sink sink{a.tile + r * dot_block, reinterpret_cast<Bf16*>(a.row), step, direct};
    const auto left = static_cast<std::ptrdiff_t>(ox * s.stride_w) - s.pad_left;
    const bool inside = left >= 0 && left + static_cast<std::ptrdiff_t>(s.kernel_w) <= static_cast<std::ptrdiff_t>(s.in_w);
    for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
      const auto iy = static_cast<std::ptrdiff_t>(oy * s.stride_h + ky * s.dilation_h) - s.pad_top;
      if (iy < 0 || iy >= static_cast<std::ptrdiff_t>(s.in_h)) {
        sink.put_zeros(s.kernel_w * channels);
        continue;
      }
      const T* line = x + (image * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c;
      if (joined && inside) {
        sink.put(line + static_cast<std::size_t>(left) * s.in_c, s.kernel_w * channels);
        continue;
      }
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::ptrdiff_t ix = left + static_cast<std::ptrdiff_t>(kx * s.dilation_w);
        if (ix < 0 || ix >= static_cast<std::ptrdiff_t>(s.in_w)) {
          sink.put_zeros(channels);
        } else {
          sink.put(line + static_cast<std::size_t>(ix) * s.in_c, channels);
        }
      }
    }
    if (!direct) {
      _mm512_storeu_si512(sink.row, _mm512_setzero_si512());
      for (std::size_t k = 0; k < words; k += dot_block, sink.out += step)
        _mm512_store_si512(sink.out, _mm512_loadu_si512(a.row + k));
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

void pack_tile(const DotPack& pack) {
  if (pack.storage == Storage::f16) {
    pack_windows<Half>(pack);
  } else {
    pack_windows<float>(pack);
  }
}

template <class T>
void narrow_as(const T* HWY_RESTRICT source, Bf16* HWY_RESTRICT target, std::size_t count) {
  for (std::size_t i = 0; i < count; i += block_elements) {
    const std::size_t n = HWY_MIN(block_elements, count - i);
    const auto mask = static_cast<__mmask32>(n == block_elements ? ~0U : (1U << n) - 1U);
    _mm512_mask_storeu_epi16(target + i, mask, narrowed_up_to(source + i, n));
  }
}

void narrow(const void* source, Storage storage, Bf16* target, std::size_t count) {
  if (storage == Storage::f16) {
    narrow_as(static_cast<const Half*>(source), target, count);
  } else {
    narrow_as(static_cast<const float*>(source), target, count);
  }
}

void narrow_tile(const float* tile, std::size_t rows, std::size_t depth, Word* target) {
  const std::size_t step = rows * dot_block;
  for (std::size_t k = 0; k < depth; k += block_elements, tile += 2 * step, target += step) {
    const bool whole = k + lanes < depth;
    for (std::size_t r = 0; r < rows; ++r) {
      const V low = hn::Load(f32, tile + r * dot_block);
      const V high = whole ? hn::Load(f32, tile + step + r * dot_block) : hn::Zero(f32);
      _mm512_store_si512(target + r * dot_block, narrowed(low, high));
    }
  }
}

template <class T>
void columns_as(const T* HWY_RESTRICT source, std::size_t stride, std::size_t depth, std::size_t valid, std::size_t width,
                Word* HWY_RESTRICT panel) {
  for (std::size_t k = 0; k < depth; k += 2, source += 2 * stride, panel += width) {
    for (std::size_t i = 0; i < width; i += lanes) {
      __m512i words = _mm512_setzero_si512();
      if (i < valid) {
        const std::size_t n = HWY_MIN(lanes, valid - i);
        const V first = load_up_to(source + i, n);
        const V second = k + 1 < depth ? load_up_to(source + stride + i, n) : hn::Zero(f32);
        const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(first.raw));
        const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second.raw));
        words = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
      }
      _mm512_storeu_si512(panel + i, words);
    }
  }
}

void pack_columns(const void* source, Storage storage, std::size_t stride, std::size_t depth, std::size_t valid,
                  std::size_t width, Word* panel) {
  if (storage == Storage::f16) {
    columns_as(static_cast<const Half*>(source), stride, depth, valid, width, panel);
  } else {
    columns_as(static_cast<const float*>(source), stride, depth, valid, width, panel);
  }
}

}  // namespace

const Bf16Kernels* bf16_table() {
  static constexpr Bf16Kernels table = {{"gemm_bf16_avx512", 2, &multiply, &pack_tile}, &narrow, &narrow_tile, &pack_columns};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#else
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
const Bf16Kernels* bf16_table() { return nullptr; }
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(bf16_table);

const Bf16Kernels* bf16_kernels() { return has_bf16() ? HWY_DYNAMIC_DISPATCH(bf16_table)() : nullptr; }

void pack_words(const std::uint32_t* rows, std::size_t stride, std::size_t words, std::size_t valid, std::size_t width,
                std::uint32_t* panel) {
  for (std::size_t first = 0; first < words; first += dot_block) {
    const std::size_t last = std::min(words, first + dot_block);
    for (std::size_t n = 0; n < width; ++n) {
      for (std::size_t k = first; k < last; ++k) panel[k * width + n] = n < valid ? rows[n * stride + k] : 0;
    }
  }
}

}  // namespace tl::cpu
#endif
