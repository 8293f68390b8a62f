#include <array>
#include <cstring>
#include <utility>

#include "cpu/dot.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/dot_int8.cpp"
#include <hwy/foreach_target.h>

#include "cpu/levels-inl.hpp"

// Bytes: u8 times s8 summed in int32, exact as long as the depth stays below 2^31 / (255 * 128).
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using Word = std::uint32_t;
constexpr std::size_t block_bytes = 4 * dot_block;

// Sums of one row, `valid` columns from `column` on, scaled and finished.
template <class T>
HWY_INLINE void finish_row(const DotBlock& g, const std::int32_t* HWY_RESTRICT sums, std::size_t row, std::size_t column,
                           std::size_t valid) {
  const hn::RebindToSigned<F32> i32;
  for (std::size_t i = 0; i < valid; i += lanes) {
    const std::size_t n = HWY_MIN(lanes, valid - i);
    const V bias = g.bias == nullptr ? hn::Zero(f32) : load_up_to(g.bias + column + i, n);
    V y = hn::MulAdd(hn::ConvertTo(f32, hn::Load(i32, sums + i)), load_up_to(g.scale + column + i, n), bias);
    if (g.residual != nullptr)
      y = hn::Add(y, load_up_to(static_cast<const T*>(g.residual) + row * g.residual_stride + column + i, n));
    if (g.middle.used) y = through_levels(y, g.middle, g.c_storage);
    y = activate(g.activation, y);
    if (g.requantized.used) {
      store_levels(y, g.requantized, g.c_storage, static_cast<std::uint8_t*>(g.c) + row * g.c_stride + column + i, n);
    } else {
      store_up_to(y, static_cast<T*>(g.c) + row * g.c_stride + column + i, n);
    }
  }
}

// Rows of whole vectors that end in bytes, without residual and with bounds as activation: what most convolutions end in.
template <bool middle>
void requantize_rows(const DotBlock& g, const std::int32_t* HWY_RESTRICT sums, std::size_t rows, std::size_t row,
                     std::size_t column, std::size_t valid) {
  const hn::RebindToSigned<F32> i32;
  const V low = constant(g.activation.alpha);
  const V high = constant(g.activation.beta);
  for (std::size_t i = 0; i < valid; i += lanes) {
    const V scale = load(g.scale + column + i);
    const V bias = g.bias == nullptr ? hn::Zero(f32) : load(g.bias + column + i);
    std::uint8_t* HWY_RESTRICT out = static_cast<std::uint8_t*>(g.c) + row * g.c_stride + column + i;
    for (std::size_t r = 0; r < rows; ++r, out += g.c_stride) {
      V y = hn::MulAdd(hn::ConvertTo(f32, hn::Load(i32, sums + r * dot_panel + i)), scale, bias);
      if (middle) y = through_levels(y, g.middle, g.c_storage);
      store_levels(at_most(high, at_least(low, y)), g.requantized, g.c_storage, out, lanes);
    }
  }
}

void finish_rows(const DotBlock& g, const std::int32_t* sums, std::size_t rows, std::size_t row, std::size_t column,
                 std::size_t valid) {
  if (g.requantized.used && g.residual == nullptr && g.activation.kind == Activation::clamp && valid % lanes == 0) {
    return g.middle.used ? requantize_rows<true>(g, sums, rows, row, column, valid)
                         : requantize_rows<false>(g, sums, rows, row, column, valid);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    if (g.c_storage == Storage::f16) {
      finish_row<Half>(g, sums + r * dot_panel, row + r, column, valid);
    } else {
      finish_row<float>(g, sums + r * dot_panel, row + r, column, valid);
    }
  }
}

void start_rows(const DotBlock& g, std::int32_t* sums, std::size_t rows, std::size_t column, std::size_t valid) {
  for (std::size_t r = 0; r < rows; ++r) {
    std::memset(sums + r * dot_panel, 0, dot_panel * sizeof(std::int32_t));
    std::memcpy(sums + r * dot_panel, g.start + column, valid * sizeof(std::int32_t));
  }
}

void plain_tile(const Word* a, const Word* b, const DotBlock& g, std::size_t rows, std::size_t row, std::size_t column) {
  HWY_ALIGN std::int32_t sums[dot_rows * dot_panel];
  const std::size_t width = dot_width(g.columns, column);
  const std::size_t valid = HWY_MIN(g.columns - column, width);
  start_rows(g, sums, rows, column, valid);
  for (std::size_t k = 0; k < g.words; ++k) {
    const Word* tile = a + k / dot_block * rows * dot_block + k % dot_block;
    for (std::size_t byte = 0; byte < 4; ++byte) {
      HWY_ALIGN std::int32_t columns[dot_panel];
      const auto shift = static_cast<unsigned>(24 - 8 * byte);
      for (std::size_t i = 0; i < width; ++i) columns[i] = static_cast<std::int32_t>(b[k * width + i] << shift) >> 24;
      for (std::size_t r = 0; r < rows; ++r) {
        const auto x = static_cast<std::int32_t>(tile[r * dot_block] >> (8 * byte) & 0xFFU);
        std::int32_t* HWY_RESTRICT out = sums + r * dot_panel;
        for (std::size_t i = 0; i < width; ++i) out[i] += x * columns[i];
      }
    }
  }
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

void pack_tile(const DotPack& a) {
  const ConvShape& s = *a.shape;
  const std::size_t channels = s.in_c / s.groups;
  const std::size_t depth = s.depth();
  const std::size_t step = a.count * block_bytes;
  const auto* x = static_cast<const std::uint8_t*>(a.x) + a.group * channels;
  auto* row = reinterpret_cast<std::uint8_t*>(a.row);
  auto* tile = reinterpret_cast<std::uint8_t*>(a.tile);
  const bool direct = channels % block_bytes == 0 || s.kernel_h * s.kernel_w == 1;
  const bool joined = s.dilation_w == 1 && s.groups == 1;
  std::size_t ox = a.first % s.out_w;
  std::size_t oy = a.first / s.out_w % s.out_h;
  std::size_t image = a.first / s.out_w / s.out_h;
  for (std::size_t r = 0; r < a.count; ++r) {
    std::uint8_t* out = direct ? tile + r * block_bytes : row;
    const auto put = [&](const std::uint8_t* source, std::size_t count) HWY_ATTR {
      for (std::size_t i = 0; i < count; i += block_bytes) {
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
    if (!direct) {
      std::memset(out, 0, block_bytes);
      std::uint8_t* to = tile + r * block_bytes;
      for (std::size_t k = 0; k < depth; k += block_bytes, to += step) std::memcpy(to, row + k, block_bytes);
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
void tile(const Word* HWY_RESTRICT a, const Word* HWY_RESTRICT b, const DotBlock& g, std::size_t row, std::size_t column) {
  constexpr std::size_t width = vectors * dot_lanes;
  const std::size_t valid = HWY_MIN(g.columns - column, width);
  HWY_ALIGN std::int32_t results[rows * dot_panel] = {};
  std::memcpy(results, g.start + column, valid * sizeof(std::int32_t));
  __m512i sums[rows][vectors];
  TL_UNROLL for (int v = 0; v < vectors; ++v) {
    const __m512i start = _mm512_load_si512(results + static_cast<std::size_t>(v) * dot_lanes);
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
  finish_rows(g, results, rows, row, column, valid);
}

using Tile = void (*)(const Word*, const Word*, const DotBlock&, std::size_t, std::size_t);

template <int vectors, std::size_t... r>
constexpr auto tiles_of(std::index_sequence<r...>) {
  return std::array<Tile, sizeof...(r)>{&tile<static_cast<int>(r) + 1, vectors>...};
}

void multiply(const DotBlock& g) {
  static constexpr std::array<Tile, dot_rows> wide = tiles_of<tile_vectors>(std::make_index_sequence<dot_rows>());
  static constexpr std::array<Tile, dot_rows> narrow = tiles_of<1>(std::make_index_sequence<dot_rows>());
  const std::size_t tiles = (g.rows + dot_rows - 1) / dot_rows;
  const std::size_t tile_end = g.tile_end == 0 ? tiles : g.tile_end;
  for (std::size_t p = g.panel_begin; p < g.panel_end; ++p) {
    const std::size_t column = p * dot_panel;
    const auto& family = g.columns - column <= dot_lanes ? narrow : wide;
    for (std::size_t t = g.tile_begin; t < tile_end; ++t) {
      const TileRange range = tile_range(g.rows, tiles, t);
      family[range.count - 1](g.a + range.first * padded_words(g.words), g.b + column * g.words, g, range.first, column);
    }
  }
}

}  // namespace

const DotKernels* int8_vnni() {
  static constexpr DotKernels table = {"gemm_int8_vnni", 4, &multiply, &pack_tile};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#else
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
const DotKernels* int8_vnni() { return nullptr; }
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(int8_plain);
HWY_EXPORT(int8_vnni);

const DotKernels& int8_kernels() {
#if defined(__x86_64__)
  static const bool offered = __builtin_cpu_supports("avx512vnni");
  const DotKernels* fast = offered ? HWY_DYNAMIC_DISPATCH(int8_vnni)() : nullptr;
  if (fast != nullptr) return *fast;
#endif
  return HWY_DYNAMIC_DISPATCH(int8_plain)();
}

}  // namespace tl::cpu
#endif
