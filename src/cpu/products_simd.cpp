#include "cpu/products.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/products_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

// R rows of a against C rows of b; each sum runs over the lanes of one vector, whatever R and C are.
template <std::size_t R, std::size_t C>
void block(const ProductBlock& p, std::size_t i, std::size_t j) {
  V sums[R][C];
  for (auto& row : sums) {
    for (V& sum : row) sum = hn::Zero(f32);
  }
  const float* HWY_RESTRICT a = p.a + i * p.depth;
  const float* HWY_RESTRICT b = p.b + j * p.depth;
  for_lanes(p.depth, [&](std::size_t k, std::size_t n) HWY_ATTR {
    V left[R];
    TL_UNROLL for (std::size_t r = 0; r < R; ++r) left[r] = load_up_to(a + r * p.depth + k, n);
    TL_UNROLL for (std::size_t c = 0; c < C; ++c) {
      const V right = load_up_to(b + c * p.depth + k, n);
      TL_UNROLL for (std::size_t r = 0; r < R; ++r) sums[r][c] = hn::MulAdd(left[r], right, sums[r][c]);
    }
  });
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t c = 0; c < C; ++c)
      p.out[(i + r) * p.columns + j + c] =
          hn::GetLane(hn::SumOfLanes(f32, sums[r][c])) + (p.bias == nullptr ? 0 : p.bias[j + c]);
  }
}

template <std::size_t R>
void rows(const ProductBlock& p, std::size_t i) {
  std::size_t j = p.column_begin;
  for (; j + 4 <= p.column_end; j += 4) block<R, 4>(p, i, j);
  for (; j < p.column_end; ++j) block<R, 1>(p, i, j);
}

void product(const ProductBlock& p) {
  std::size_t i = p.row_begin;
  for (; i + 4 <= p.row_end; i += 4) rows<4>(p, i);
  for (; i < p.row_end; ++i) rows<1>(p, i);
}

}  // namespace

ProductKernel product_of_target() { return &product; }

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(product_of_target);
ProductKernel product_kernel() { return HWY_DYNAMIC_DISPATCH(product_of_target)(); }
}  // namespace tl::cpu
#endif
