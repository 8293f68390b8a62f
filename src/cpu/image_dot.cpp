#include "cpu/image_dot.hpp"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/image_dot.cpp"
#include <hwy/foreach_target.h>

#include "cpu/finish-inl.hpp"
#include "cpu/gemm_tile-inl.hpp"
#include "cpu/levels-inl.hpp"

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using Word = std::uint32_t;

template <int rows, int vectors>
void tile(const ImageDotBlock& g, std::size_t row, std::size_t column) {
  const Word* b = g.b + column * g.words;
  __m512 sums[rows][vectors];
  TL_UNROLL for (int v = 0; v < vectors; ++v) {
    const float* bias = g.bias == nullptr ? nullptr : g.bias + column + static_cast<std::size_t>(v) * dot_lanes;
    const __m512 start = bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(bias);
    TL_UNROLL for (int r = 0; r < rows; ++r) sums[r][v] = start;
  }
  for (std::size_t part = 0; part < g.parts; ++part) {
    const Word* a = g.a + part * g.part_step + row * window_step;
    for (std::size_t k = 0; k < g.words / g.parts; ++k, ++a, b += vectors * dot_lanes) {
      __m512bh columns[vectors];
      TL_UNROLL for (int v = 0; v < vectors; ++v) columns[v] =
          (__m512bh)_mm512_loadu_si512(b + static_cast<std::size_t>(v) * dot_lanes);
      TL_UNROLL for (int r = 0; r < rows; ++r) {
        const auto word =
            (__m512bh)broadcast(reinterpret_cast<const float*>(a + static_cast<std::size_t>(r) * window_step)).raw;
        TL_UNROLL for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], word, columns[v]);
      }
    }
  }
  V results[rows][vectors];
  TL_UNROLL for (int r = 0; r < rows; ++r) { TL_UNROLL for (int v = 0; v < vectors; ++v) results[r][v] = V{sums[r][v]}; }
  finish<rows, vectors>(g, results, row, column, vectors * dot_lanes);
}

using Tile = void (*)(const ImageDotBlock&, std::size_t, std::size_t);

template <int vectors, std::size_t... r>
constexpr auto tiles_of(std::index_sequence<r...>) {
  return std::array<Tile, sizeof...(r)>{&tile<static_cast<int>(r) + 1, vectors>...};
}

void multiply(const ImageDotBlock& g) {
  static constexpr std::array<Tile, dot_rows> wide = tiles_of<2>(std::make_index_sequence<dot_rows>());
  static constexpr std::array<Tile, dot_rows> narrow = tiles_of<1>(std::make_index_sequence<dot_rows>());
  const std::size_t tiles = (g.rows + dot_rows - 1) / dot_rows;
  for (std::size_t column = 0; column < g.columns; column += dot_panel) {
    const auto& family = dot_width(g.columns, column) == dot_panel ? wide : narrow;
    for (std::size_t t = 0; t < tiles; ++t) {
      const TileRange range = tile_range(g.rows, tiles, t);
      family[range.count - 1](g, range.first, column);
    }
  }
}

// The first n pixels of a vector of one channel, in the lower halves of words.
template <class T>
HWY_INLINE __m512i channel(const void* plane, Storage rounding, std::size_t i, std::size_t n) {
  const V values = as_stored(load_up_to(static_cast<const T*>(plane) + i, n), rounding);
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(values.raw));
}

template <class T>
void narrow_as(const std::array<const void*, 3>& planes, Storage rounding, Word* HWY_RESTRICT out, std::size_t count) {
  const __m512i lower = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i upper = _mm512_add_epi32(lower, _mm512_set1_epi32(8));
  for (std::size_t i = 0; i < count; i += lanes, out += lanes * pixel_words) {
    const std::size_t n = HWY_MIN(lanes, count - i);
    const __m512i first =
        _mm512_or_si512(channel<T>(planes[0], rounding, i, n), _mm512_slli_epi32(channel<T>(planes[1], rounding, i, n), 16));
    const __m512i second = channel<T>(planes[2], rounding, i, n);
    const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << n * pixel_words) - 1);
    _mm512_mask_storeu_epi32(out, static_cast<__mmask16>(mask), _mm512_permutex2var_epi32(first, lower, second));
    _mm512_mask_storeu_epi32(out + lanes, static_cast<__mmask16>(mask >> 16), _mm512_permutex2var_epi32(first, upper, second));
  }
}

void narrow(const std::array<const void*, 3>& planes, Storage storage, bool as_half, Word* out, std::size_t count) {
  if (storage == Storage::f16) {
    narrow_as<Half>(planes, Storage::f32, out, count);
  } else {
    narrow_as<float>(planes, as_half ? Storage::f16 : Storage::f32, out, count);
  }
}

}  // namespace

const ImageDot* image_dot_table() {
  static constexpr ImageDot table = {&narrow, &multiply};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#else
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
const ImageDot* image_dot_table() { return nullptr; }
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(image_dot_table);
const ImageDot* image_dot() { return bf16_kernels() == nullptr ? nullptr : HWY_DYNAMIC_DISPATCH(image_dot_table)(); }
}  // namespace tl::cpu
#endif
