#pragma once

#include <cstddef>
#include <cstdint>

namespace tl::cpu {

enum class IntegerFold : std::uint8_t { l1_norm, max, min, prod, sum, sum_square };

// Folds [count][inner] along its first axis: out[i] for i in [first, last). Sums and products are taken modulo 2^32.
struct IntegerBlock {
  IntegerFold kind;
  const std::int32_t* x;
  std::size_t count, inner, first, last;
  std::int32_t* out;
};

void (*integer_fold_kernel())(const IntegerBlock&);

}  // namespace tl::cpu
