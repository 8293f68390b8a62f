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

// Rows of `length` contiguous elements.
struct RowBlock {
  Storage storage;
  const void* x;
  void* out;
  std::size_t rows, length;
  const float* gamma;  // layer_norm: [length], or null
  const float* beta;
  float epsilon;
  float* scratch;  // length floats
};

// Rows of attention scores to probabilities, written as a tile that GemmBlock::a takes.
struct ProbabilityTile {
  float* scores;
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
  void (*probabilities)(const ProbabilityTile& tile);  // overwrites the scores
};
const RowKernels& row_kernels();

}  // namespace tl::cpu
