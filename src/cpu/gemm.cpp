#include "cpu/gemm.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "cpu/cache_line.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/gemm.cpp"
#include <hwy/foreach_target.h>

#include "cpu/finish-inl.hpp"
#include "cpu/gemm_sums-inl.hpp"
#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

// Columns of the last panel as it is packed.
constexpr std::size_t last_width(std::size_t columns) {
  const std::size_t unit = has_half ? half_lanes : lanes;
  return HWY_MIN(panel_columns, (columns + unit - 1) / unit * unit);
}

// Computes and stores one tile. `row_step`: floats between rows of `a` where it is not packed (multiply_segments); 0: packed.
template <int rows, int vectors, bool half, class B, int row_step = 0>
void tile(const float* HWY_RESTRICT a, const B* HWY_RESTRICT b, const std::byte* ahead, std::size_t ahead_lines,
          const GemmBlock& g, std::size_t row, std::size_t column) {
  using Tile = Sums<rows, vectors, half>;
  constexpr std::size_t width = Tile::width;
  Tile sums;
  const std::size_t valid = HWY_MIN(g.columns - column, width);
  const bool whole = valid == width;
  const bool ends = g.depth_first + g.depth == g.depth_total;
  float* partial = g.partial == nullptr ? nullptr : g.partial + row * g.partial_stride + column;
  // What ends in registers; the rest goes through memory.
  const bool halves = g.c_storage == Storage::f16;
  const bool direct = whole && g.activation.kind == Activation::clamp && (halves || g.residual == nullptr);
  if (g.depth_first != 0) {
    sums.template each<0, rows>([&](auto d, auto& sum, std::size_t r, std::size_t n) HWY_ATTR
                                __attribute__((always_inline)) { sum = read(d, partial + r * g.partial_stride + n); });
  } else {
    HWY_ALIGN float buffer[panel_columns];
    const float* bias = g.bias == nullptr ? nullptr : g.bias + column;
    if (bias == nullptr || !whole) {
      std::memset(buffer, 0, sizeof buffer);
      if (bias != nullptr) std::memcpy(buffer, bias, valid * sizeof(float));
      bias = buffer;
    }
    sums.template each<0, rows>([&](auto d, auto& sum, std::size_t, std::size_t n) HWY_ATTR
                                __attribute__((always_inline)) { sum = read(d, bias + n); });
    if (direct && g.residual != nullptr) {
      const Half* residual = static_cast<const Half*>(g.residual) + row * g.residual_stride + column;
      sums.template each<0, rows>([&](auto d, auto& sum, std::size_t r, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
        sum = hn::Add(sum, read(d, residual + r * g.residual_stride + n));
      });
    }
  }

  constexpr std::size_t pitch = row_step == 0 ? depth_block : static_cast<std::size_t>(row_step);
  const std::size_t run = row_step == 0 ? g.depth : g.depth / g.segments;  // of A, before it goes on elsewhere
  // Few rows, half vectors and single uses of float16 panels are left as they are: each form is code for all numbers of rows.
  constexpr bool may_close = !half && rows * 2 >= tile_rows && std::is_same_v<B, float>;
  const bool closes =
      may_close && direct && ends && halves && (row_step == 0 ? (run - 1) % depth_block : run - 1) + 1 >= closing_steps;
  // Segments, or blocks of 16 and what is left of the depth.
  const std::size_t open = run - (closes ? closing_steps : 0);
  const auto steps = [&](std::size_t count) HWY_ATTR __attribute__((always_inline)) {
    std::size_t k = 0;
    for (; k + 4 <= count; k += 4, b += 4 * width) sums.template four_steps<pitch>(a + k, b);
    for (; k < count; ++k, b += width) sums.template step<0, rows, pitch>(a + k, b);
  };
  std::size_t last = open;
  if constexpr (row_step != 0) {
    for (std::size_t segment = 1; segment <= g.segments; ++segment) {
      steps(segment < g.segments ? run : open);
      if (segment < g.segments) a += g.segment_step;
    }
  } else {
    for (;;) {
      steps(HWY_MIN(last, depth_block));
      if (last < depth_block) break;
      last -= depth_block;
      a += rows * depth_block;
      for (std::size_t i = 0; i < ahead_lines; ++i, ahead += cache_line) __builtin_prefetch(ahead, 0, 2);
    }
  }

  const V low = constant(g.activation.alpha);
  const V high = constant(g.activation.beta);
  const std::size_t stride = g.c_stride;
  const auto clamped_to = [=](auto* out) HWY_ATTR __attribute__((always_inline)) {
    return [=](auto d, auto sum, std::size_t r, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      if constexpr (std::is_same_v<decltype(sum), V>) {
        write(d, at_most(high, at_least(low, sum)), out + r * stride + n);
      } else {
        write(d, at_most(lower(high), at_least(lower(low), sum)), out + r * stride + n);
      }
    };
  };
  const std::size_t to = row * stride + column;
  const auto clamped = clamped_to(static_cast<Half*>(g.c) + to);
  if constexpr (may_close) {
    if (closes) return close<0, pitch>(sums, a + last, b, clamped);
  }
  if (!ends) {
    sums.template each<0, rows>([&](auto d, auto sum, std::size_t r, std::size_t n) HWY_ATTR
                                __attribute__((always_inline)) { write(d, sum, partial + r * g.partial_stride + n); });
    return;
  }
  if (!direct) {
    HWY_ALIGN float scratch[rows][vectors * lanes + (half ? lanes : 0)];
    sums.template each<0, rows>([&](auto d, auto sum, std::size_t r, std::size_t n) HWY_ATTR
                                __attribute__((always_inline)) { hn::StoreU(sum, d, scratch[r] + n); });
    return finish_rows({scratch[0], rows, sizeof(scratch[0]) / sizeof(float), row, column, valid}, g);
  }
  if (!halves) return sums.template each<0, rows>(clamped_to(static_cast<float*>(g.c) + to));
  sums.template each<0, rows>(clamped);
}

template <class B>
using Tile = void (*)(const float*, const B*, const std::byte*, std::size_t, const GemmBlock&, std::size_t, std::size_t);

template <int vectors, bool half, class B, int row_step = 0, std::size_t... r>
constexpr auto tiles_of(std::index_sequence<r...>) {
  return std::array<Tile<B>, sizeof...(r)>{&tile<static_cast<int>(r) + 1, vectors, half, B, row_step>...};
}

template <class B>
const std::array<Tile<B>, tile_rows>& family_of(std::size_t width) {
  static constexpr std::make_index_sequence<tile_rows> all;
  static constexpr std::array<Tile<B>, tile_rows> two = tiles_of<2, false, B>(all);
  static constexpr std::array<Tile<B>, tile_rows> one = tiles_of<1, false, B>(all);
  if constexpr (has_half) {
    static constexpr std::array<Tile<B>, tile_rows> more = tiles_of<1, true, B>(all);
    static constexpr std::array<Tile<B>, tile_rows> less = tiles_of<0, true, B>(all);
    if (width == lanes + half_lanes) return more;
    if (width == half_lanes) return less;
  }
  return width == lanes ? one : two;
}

constexpr std::size_t tiles_worth_converting = 3;

template <class B>
void multiply_panel(const GemmBlock& g, const B* b, std::size_t column, std::size_t tiles, std::size_t tile_end,
                    const std::byte* next) {
  const auto& family = family_of<B>(last_width(g.columns - column));
  // The next panel comes into the second-level cache while this one is multiplied: each tile fetches a share.
  const std::size_t blocks = g.depth / depth_block;
  const std::size_t lines = g.depth * panel_columns * (g.b_storage == Storage::f16 ? 2 : 4) / cache_line;
  const std::size_t steps = (tile_end - g.tile_begin) * blocks;
  const std::size_t per_block = next == nullptr || steps == 0 ? 0 : (lines + steps - 1) / steps;
  for (std::size_t t = g.tile_begin; t < tile_end; ++t) {
    const TileRange range = tile_range(g.rows, tiles, t);
    family[range.count - 1](g.a + range.first * padded_depth(g.depth), b, next, per_block, g, range.first, column);
    next += per_block * blocks * cache_line;
  }
}

void multiply_segments(const GemmBlock& g) {
  static constexpr std::make_index_sequence<tile_rows> all;
  static constexpr std::array<Tile<float>, tile_rows> two = tiles_of<2, false, float, segment_row_step>(all);
  static constexpr std::array<Tile<float>, tile_rows> one = tiles_of<1, false, float, segment_row_step>(all);
  const std::size_t tiles = (g.rows + tile_rows - 1) / tile_rows;
  for (std::size_t column = 0; column < g.columns; column += panel_columns) {
    const auto& family = g.columns - column <= lanes ? one : two;
    for (std::size_t t = 0; t < tiles; ++t) {
      const TileRange range = tile_range(g.rows, tiles, t);
      family[range.count - 1](g.a + range.first * segment_row_step, static_cast<const float*>(g.b) + column * g.depth, nullptr,
                              0, g, range.first, column);
    }
  }
}

void multiply(const GemmBlock& g) {
  const std::size_t tiles = (g.rows + tile_rows - 1) / tile_rows;
  const std::size_t tile_end = g.tile_end == 0 ? tiles : g.tile_end;
  const std::size_t element = g.b_storage == Storage::f16 ? 2 : 4;
  for (std::size_t p = g.panel_begin; p < g.panel_end; ++p) {
    const std::size_t column = p * panel_columns;
    const std::size_t width = last_width(g.columns - column);
    const auto* panel =
        static_cast<const std::byte*>(g.b) + (column * g.depth_total + (g.depth_first - g.b_first) * width) * element;
    const std::byte* next = column + panel_columns < g.columns ? panel + panel_columns * g.depth_total * element : nullptr;
    if (g.b_storage == Storage::f32) {
      multiply_panel(g, reinterpret_cast<const float*>(panel), column, tiles, tile_end, next);
      continue;
    }
    const auto* b = reinterpret_cast<const Half*>(panel);
    if (g.scratch == nullptr || tile_end - g.tile_begin < tiles_worth_converting) {
      multiply_panel(g, b, column, tiles, tile_end, next);
      continue;
    }
    for_lanes(width * g.depth,
              [&](std::size_t i, std::size_t n) HWY_ATTR { hn::Store(load_up_to(b + i, n), f32, g.scratch + i); });
    multiply_panel(g, static_cast<const float*>(g.scratch), column, tiles, tile_end, next);
  }
}

void convert(const void* source, Storage storage, float* HWY_RESTRICT target, std::size_t count) {
  if (storage == Storage::f32) {
    std::memcpy(target, source, count * sizeof(float));
    return;
  }
  const auto* half = static_cast<const Half*>(source);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR { store_up_to(load_up_to(half + i, n), target + i, n); });
}

template <class T>
void pack_row_as(const T* HWY_RESTRICT source, float* HWY_RESTRICT out, std::size_t rows, std::size_t count) {
  std::size_t i = 0;
  for (; i + depth_block <= count; i += depth_block) {
    for (std::size_t j = 0; j < depth_block; j += lanes) hn::Store(load(source + i + j), f32, out + j);
    out += rows * depth_block;
  }
  if (i == count) return;
  for (std::size_t j = 0; j < depth_block; j += lanes) {
    const std::size_t left = i + j < count ? HWY_MIN(count - i - j, lanes) : 0;
    hn::Store(left == 0 ? hn::Zero(f32) : load_up_to(source + i + j, left), f32, out + j);
  }
}

void pack_row(const void* source, Storage storage, float* tile, std::size_t row, std::size_t rows, std::size_t k,
              std::size_t count) {
  float* out = tile + k * rows + row * depth_block;
  if (source == nullptr) {
    for (std::size_t i = 0; i < count; i += depth_block, out += rows * depth_block)
      for (std::size_t j = 0; j < depth_block; j += lanes) hn::Store(hn::Zero(f32), f32, out + j);
  } else if (storage == Storage::f16) {
    pack_row_as(static_cast<const Half*>(source), out, rows, count);
  } else {
    pack_row_as(static_cast<const float*>(source), out, rows, count);
  }
}

template <class T>
void transpose_panel(const T* HWY_RESTRICT source, std::size_t stride, std::size_t depth, std::size_t valid, std::size_t width,
                     T* HWY_RESTRICT panel) {
  constexpr std::size_t block = 16;
  for (std::size_t k0 = 0; k0 < depth; k0 += block) {
    const std::size_t k1 = HWY_MIN(depth, k0 + block);
    for (std::size_t n = 0; n < width; ++n) {
      for (std::size_t k = k0; k < k1; ++k) panel[k * width + n] = n < valid ? source[n * stride + k] : T(0);
    }
  }
}

void transpose_halves(const std::uint16_t* HWY_RESTRICT source, std::size_t stride, std::size_t depth, std::size_t valid,
                      std::size_t width, std::uint16_t* HWY_RESTRICT panel) {
  constexpr std::size_t side = 8;
  if (valid % side != 0 || width % side != 0 || valid != width) {
    transpose_panel(source, stride, depth, valid, width, panel);
    return;
  }
  std::size_t k = 0;
  for (; k + side <= depth; k += side) {
    for (std::size_t n = 0; n < width; n += side) transpose_8x8(source + n * stride + k, stride, panel + k * width + n, width);
  }
  if (k < depth) transpose_panel(source + k, stride, depth - k, valid, width, panel + k * width);
}

void widen_panel(const Half* HWY_RESTRICT source, std::size_t stride, std::size_t depth, std::size_t valid, std::size_t width,
                 float* HWY_RESTRICT panel) {
  HWY_ALIGN float block[panel_columns][depth_block];
  for (std::size_t k0 = 0; k0 < depth; k0 += depth_block) {
    const std::size_t count = HWY_MIN(depth - k0, depth_block);
    for (std::size_t n = 0; n < valid; ++n) {
      for_lanes(count, [&](std::size_t i, std::size_t run)
                           HWY_ATTR { store(load_up_to(source + n * stride + k0 + i, run), block[n] + i); });
    }
    for (std::size_t k = 0; k < count; ++k) {
      float* out = panel + (k0 + k) * width;
      for (std::size_t n = 0; n < valid; ++n) out[n] = block[n][k];
      for (std::size_t n = valid; n < width; ++n) out[n] = 0;
    }
  }
}

void pack_panel(const void* source, Storage storage, std::size_t stride, std::size_t depth, std::size_t valid,
                std::size_t width, void* panel, Storage panel_storage) {
  if (storage == Storage::f32) {
    transpose_panel(static_cast<const float*>(source), stride, depth, valid, width, static_cast<float*>(panel));
  } else if (panel_storage == Storage::f32) {
    widen_panel(static_cast<const Half*>(source), stride, depth, valid, width, static_cast<float*>(panel));
  } else {
    transpose_halves(static_cast<const std::uint16_t*>(source), stride, depth, valid, width,
                     static_cast<std::uint16_t*>(panel));
  }
}

template <class T>
void columns_as(const T* HWY_RESTRICT source, std::size_t stride, std::size_t depth, std::size_t valid, std::size_t width,
                float* HWY_RESTRICT panel) {
  for (std::size_t k = 0; k < depth; ++k, source += stride, panel += width) {
    for (std::size_t i = 0; i < width; i += lanes) {
      const V values = i >= valid ? hn::Zero(f32) : load_up_to(source + i, HWY_MIN(lanes, valid - i));
      store_up_to(values, panel + i, HWY_MIN(lanes, width - i));
    }
  }
}

void pack_columns(const void* source, Storage storage, std::size_t stride, std::size_t depth, std::size_t valid,
                  std::size_t width, float* panel) {
  if (storage == Storage::f16) {
    columns_as(static_cast<const Half*>(source), stride, depth, valid, width, panel);
  } else {
    columns_as(static_cast<const float*>(source), stride, depth, valid, width, panel);
  }
}

}  // namespace

const GemmKernels& gemm_table() {
  static const GemmKernels table = {"gemm_" TL_TARGET_NAME,
                                    {tile_rows, tile_vectors * lanes, has_half ? half_lanes : lanes},
                                    &multiply,
                                    &multiply_segments,
                                    &convert,
                                    &pack_row,
                                    &pack_panel,
                                    &pack_columns};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(gemm_table);
const GemmKernels& gemm_kernels() { return HWY_DYNAMIC_DISPATCH(gemm_table)(); }
}  // namespace tl::cpu
#endif
