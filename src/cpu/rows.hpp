#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm.hpp"

namespace tl::cpu {

// Folds of a block [count][inner] along its first axis into [inner].
enum class Fold : std::uint8_t { sum, mean, max, min, sum_square, l2_norm, l1_norm };
struct FoldBlock {
  Fold kind;
  Storage storage;
  const void* x;
  std::size_t count, inner;
  std::size_t first, last;  // the part of [inner] to compute
  void* out;
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

struct RowKernels {
  void (*fold)(const FoldBlock& block);
  void (*softmax)(const RowBlock& block);
  void (*layer_norm)(const RowBlock& block);
};
const RowKernels& row_kernels();

}  // namespace tl::cpu
