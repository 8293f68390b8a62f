#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/im2col.hpp"
#include "cpu/level_finish.hpp"

namespace tl::cpu {

// Products of narrow numbers with wide sums: C[m, n] = act(sum over k of A[m, k] * B[k, n] + bias[n] + residual[m, n]).
// A word of four bytes holds neighbours along the depth: two bf16, or four bytes (unsigned in A, signed in B).
//
// A is packed in tiles of up to 14 rows: [ceil(words / 16)][rows of the tile][16 words], zero past the depth.
// B is packed in panels of 32 columns, the last one of 16 or 32, zero past the columns: [words][width].
constexpr std::size_t dot_rows = 14;
constexpr std::size_t dot_panel = 32;
constexpr std::size_t dot_lanes = 16;
constexpr std::size_t dot_block = 16;  // words
// Bytes of windows up to which all rows of a tile are gathered before they are spread: what is stored and read back at once in
// other pieces stalls.
constexpr std::size_t dot_gathered = 256;
constexpr std::size_t padded_words(std::size_t words) { return (words + dot_block - 1) / dot_block * dot_block; }
constexpr std::size_t dot_panels(std::size_t columns) { return (columns + dot_panel - 1) / dot_panel; }
// Columns of the panel that starts at `column`.
constexpr std::size_t dot_width(std::size_t columns, std::size_t column) {
  return columns - column <= dot_lanes ? dot_lanes : dot_panel;
}
// Columns of all panels, padding included.
constexpr std::size_t dot_columns(std::size_t columns) {
  return (dot_panels(columns) - 1) * dot_panel + dot_width(columns, (dot_panels(columns) - 1) * dot_panel);
}

// One block of rows against panels [panel_begin, panel_end).
struct DotBlock {
  const std::uint32_t* a;  // packed tiles, one after the other
  std::size_t rows;        // split evenly into tiles
  std::size_t words;
  const std::uint32_t* b;  // packed, from panel 0
  std::size_t columns;     // N
  std::size_t panel_begin, panel_end;
  std::size_t tile_begin, tile_end;  // tile_end 0: all
  const float* bias;                 // N values, or null
  const void* residual;              // as `c`, or null
  std::size_t residual_stride;
  void* c;               // row 0, column 0
  std::size_t c_stride;  // elements
  Storage c_storage;
  ActivationSpec activation;
  // Of bytes, in place of bias, residual, c and activation: N values that the sums start from (readable up to a whole
  // panel), and what becomes of row 0.
  const std::int32_t* start;
  const LevelFinish* finish;
  LevelRow level_row;
};

// The windows of output pixels [first, first + count) as one tile; depth runs over (kernel row, kernel column, channel).
struct DotPack {
  const ConvShape* shape;
  const void* x;
  Storage storage;
  std::size_t group;
  std::size_t first, count;
  std::size_t depth;  // of a pointwise product, elements; the others take all
  std::uint32_t* tile;
  std::uint32_t* row;  // padded_words(words) + 16 words of scratch; as much for each of 14 rows of at most dot_gathered bytes
  std::uint8_t flip;   // of bytes: what turns them into unsigned ones (0 or 0x80),
  std::uint8_t zero;   // and what padding holds, unsigned
};

struct DotKernels {
  const char* name;
  std::size_t per_word;
  void (*multiply)(const DotBlock& block);
  void (*pack_tile)(const DotPack& pack);
};

struct Bf16Kernels : DotKernels {
  // Rounds `count` elements.
  void (*narrow)(const void* source, Storage storage, std::uint16_t* target, std::size_t count);
  // A packed tile of floats, [ceil(depth / 16)][rows][16] with zeros past the depth, as one of words. `target` may be `tile` or
  // lie before it.
  void (*narrow_tile)(const float* tile, std::size_t rows, std::size_t depth, std::uint32_t* target);
  // Words of the rows 2i and 2i + 1 of [depth][columns] (stride in elements); `width` columns, zero from `valid` on.
  void (*pack_columns)(const void* source, Storage storage, std::size_t stride, std::size_t depth, std::size_t valid,
                       std::size_t width, std::uint32_t* panel);
};

// Null where the machine (or the knob `isa`) lacks them.
const Bf16Kernels* bf16_kernels();
const DotKernels& int8_kernels();

// A panel of B from rows [valid][words] (stride in words).
void pack_words(const std::uint32_t* rows, std::size_t stride, std::size_t words, std::size_t valid, std::size_t width,
                std::uint32_t* panel);

}  // namespace tl::cpu
