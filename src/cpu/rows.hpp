#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm.hpp"

namespace tl::cpu {

// Folds of a block [count][inner] along its first axis into [inner].
enum class Fold : std::uint8_t { sum, mean, max, min, sum_square, l2_norm, l1_norm, prod, log_sum, log_sum_exp };
struct FoldBlock {
  Fold kind;
  Storage storage;
  const void* x;
  std::size_t count, inner;
  std::size_t first, last;  // the part of [inner] to compute
  void* out;
  Storage to;           // of out; other than `storage` for sums and means of inner > 1 only
  std::size_t divisor;  // of a mean
};

// Up to so many rows of up to so many elements are computed side by side.
constexpr std::size_t most_beside = 8, longest_beside = 2048;

// Rows of `length` contiguous elements.
struct RowBlock {
  Storage storage;
  const void* x;
  void* out;
  std::size_t rows, length;
  const float* gamma;  // layer_norm: [length], or null
  const float* beta;
  float epsilon;
  float* scratch;  // scratch_floats(length)
};

constexpr std::size_t scratch_floats(std::size_t length) {
  return (length <= longest_beside ? most_beside : 1) * ((length + 15) / 16 * 16);
}

// Rows of attention scores to probabilities, written as a tile that GemmBlock::a takes.
struct ProbabilityTile {
  const float* scores;
  std::size_t stride, rows, length;
  float scale;
  const void* mask;  // added after scaling; null: none
  Storage mask_storage;
  std::size_t mask_row_step, mask_step;  // elements; 0 or 1 along the row
  float* tile;
};

struct RowKernels {
  void (*fold)(const FoldBlock& block);
  void (*softmax)(const RowBlock& block);
  void (*softmax_columns)(const FoldBlock& block);  // along the first axis, into a block like x
  void (*layer_norm)(const RowBlock& block);
  void (*l2_norm)(const RowBlock& block);
  void (*probabilities)(const ProbabilityTile& tile);
};
const RowKernels& row_kernels();

}  // namespace tl::cpu
