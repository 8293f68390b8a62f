#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/activation.hpp"

namespace tl::cpu {

// How a stored element reads: float16 or float32.
enum class Storage : std::uint8_t { f16, f32 };
constexpr std::size_t size_of(Storage s) { return s == Storage::f16 ? 2 : 4; }

// C[m, n] = act(sum over k of A[m, k] * B[k, n] + bias[n] + residual[m, n]), sums in float.
//
// A is packed in tiles of up to `tile_rows` rows as floats: [ceil(depth / 16)][rows of the tile][16], zero past depth.
// B is packed in panels of `panel` columns (the last one padded with zeros to a multiple of `unit`): [depth][width].
struct GemmShape {
  std::size_t tile_rows;  // rows of a full tile
  std::size_t panel;      // columns of a full panel
  std::size_t unit;       // of the columns of the last panel

  // Columns of a packed panel of which `valid` count.
  constexpr std::size_t width_of(std::size_t valid) const {
    const std::size_t width = (valid + unit - 1) / unit * unit;
    return width < panel ? width : panel;
  }
};

constexpr std::size_t depth_block = 16;
constexpr std::size_t padded_depth(std::size_t depth) { return (depth + depth_block - 1) / depth_block * depth_block; }

// Calls of `multiply` touch nothing but `c` and `scratch`. One block of rows against panels [panel_begin, panel_end).
struct GemmBlock {
  const float* a;     // packed tiles, one after the other
  std::size_t rows;   // split evenly into tiles
  std::size_t depth;  // of `a`: depths [depth_first, depth_first + depth) of B
  std::size_t depth_first, depth_total;
  const void* b;            // packed, from panel 0
  std::size_t b_first = 0;  // the first depth of the panels that `b` holds
  Storage b_storage;
  std::size_t columns;  // N
  std::size_t panel_begin, panel_end;
  std::size_t tile_begin, tile_end;  // tiles of rows to compute; tile_end 0: all
  const float* bias;                 // N values, or null
  const void* residual;              // as `c`, or null
  std::size_t residual_stride;
  void* c;               // row 0, column 0
  std::size_t c_stride;  // elements
  Storage c_storage;
  ActivationSpec activation;
  // Sums of several depth blocks meet here, [rows][partial_stride] from column 0; null when there is one.
  float* partial;
  std::size_t partial_stride;
  // Only of multiply_segments: rows of `a` lie `segment_row_step` floats apart, each in `segments` parts `segment_step` apart.
  std::size_t segments, segment_step;
  float* scratch;  // depth * panel floats, or null: float16 panels that many tiles read are converted there once
};

// Rows of tile `t` of `tiles` that share `rows` evenly: [first, first + count).
struct TileRange {
  std::size_t first, count;
};
constexpr TileRange tile_range(std::size_t rows, std::size_t tiles, std::size_t t) {
  const std::size_t begin = rows * t / tiles;
  return {begin, rows * (t + 1) / tiles - begin};
}

constexpr int segment_row_step = 6;  // three channels by strides of two

struct GemmKernels {
  const char* name;
  GemmShape shape;
  void (*multiply)(const GemmBlock& block);
  // With B of floats in whole vectors, all rows and columns.
  void (*multiply_segments)(const GemmBlock& block);
  // Converts `count` elements to floats.
  void (*convert)(const void* source, Storage storage, float* target, std::size_t count);
  // Writes `count` elements (null source: zeros) as row `row` of a tile of `rows` rows from depth `k`, a multiple of 16; pads
  // the last block of 16 with zeros.
  void (*pack_row)(const void* source, Storage storage, float* tile, std::size_t row, std::size_t rows, std::size_t k,
                   std::size_t count);
  // Packs `valid` columns of B stored as rows [N][depth] (stride in elements), widened to `width` with zeros. The panel has the
  // storage of the source, or f32.
  void (*pack_panel)(const void* source, Storage storage, std::size_t stride, std::size_t depth, std::size_t valid,
                     std::size_t width, void* panel, Storage panel_storage);
  // The same for B stored as [depth][N]; the panel is f32.
  void (*pack_columns)(const void* source, Storage storage, std::size_t stride, std::size_t depth, std::size_t valid,
                       std::size_t width, float* panel);
};

const GemmKernels& gemm_kernels();

}  // namespace tl::cpu
