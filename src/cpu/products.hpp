#pragma once

#include <cstddef>

namespace tl::cpu {

// A part of op::gemm_rows.
struct ProductBlock {
  const float* a;
  const float* b;
  const float* bias;  // or null
  float* out;
  std::size_t columns, depth;
  std::size_t row_begin, row_end, column_begin, column_end;
};
using ProductKernel = void (*)(const ProductBlock& block);
ProductKernel product_kernel();

// Gives references that run beside kernels the products of this machine (op::offer_products).
void offer_products();

}  // namespace tl::cpu
