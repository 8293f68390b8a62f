#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/gemm.hpp"
#include "cpu/gemv_nibbles.hpp"

namespace tl::cpu {

// How the rows of w stand: floats, bytes with a factor per row, or nibbles that index a table of 16 floats, with a factor per
// block of the depth.
enum class RowForm : std::uint8_t { floats, bytes, nibbles };
constexpr std::size_t nibble_group = 16;  // the depth of a block of nibbles is a multiple of it

// y[n] = act(sum over k of w[n, k] * x[k] + bias[n] + residual[n]) for rows [first, last) of w, read where they stand, and
// where `apart` is not 0 for the rows `apart`, 2 * `apart` and 3 * `apart` behind each: four runs that are read side by side.
struct GemvBlock {
  const void* w;  // [N][depth], rows `stride` elements apart
  std::size_t stride;
  Storage w_storage;
  const float* x;  // depth floats; of nibbles: as `nibble_order` gives them
  RowForm form = RowForm::floats;
  const void* scale = nullptr;  // of bytes: [N] floats; of nibbles: [N / scale_rows][blocks], or null: 1
  Storage scale_storage = Storage::f32;
  std::size_t scale_rows = 1, blocks = 1;
  const float* table = nullptr;  // of nibbles: 16 floats for each run of `table_rows` rows
  std::size_t table_rows = 1;
  const NibbleRows* nibbles = nullptr;  // instead of w, x, scale and table
  std::size_t depth, first, last, apart = 0;
  const float* bias;     // N values, or null
  const void* residual;  // N values stored as y, or null
  void* y;
  Storage y_storage;
  ActivationSpec activation;
};

// y[c] = sum over s of p[s] * w[s, c].
struct WeightedRows {
  const float* p;  // `rows` floats
  const void* w;   // [rows][columns], rows `stride` elements apart
  std::size_t rows, columns, stride;
  void* y;
  Storage storage;  // of w and y
};

// The elements of x in the order in which a row of nibbles is decoded: x[order] within each group of 16.
constexpr std::size_t nibble_order(std::size_t i) { return i % 2 * 8 + i / 2; }

// How far apart four runs of `rows` rows, `row_bytes` long, best stand: those whole pages apart would meet in the same sets of
// the caches, so that some rows may be left over.
constexpr std::size_t four_runs(std::size_t rows, std::size_t row_bytes) {
  constexpr std::size_t page = 4096, least = 512;
  for (std::size_t run = rows / 4, end = run - std::min<std::size_t>(run, 5); run > end; --run) {
    if (const std::size_t offset = run * row_bytes % page; offset >= least && offset <= page - least) return run;
  }
  return rows / 4;
}

struct GemvKernels {
  void (*gemv)(const GemvBlock& block);
  void (*weighted_rows)(const WeightedRows& block);
};
const GemvKernels& gemv_kernels();

// Rows [first, last) in four runs as far as there are enough.
void gemv_rows(const GemvKernels& kernels, GemvBlock block);

}  // namespace tl::cpu
