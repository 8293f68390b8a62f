#include "cpu/direct_conv.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/direct_conv_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t rows = op::DirectConv::lanes;

void accumulate(const std::array<float*, rows>& sums, const float* in, const std::array<float, rows>& w,
                std::size_t count) noexcept {
  V by[rows];
  TL_UNROLL for (std::size_t k = 0; k < rows; ++k) by[k] = hn::Set(f32, w[k]);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    const V x = load_up_to(in + i, n);
    TL_UNROLL for (std::size_t k = 0; k < rows; ++k)
        store_up_to(hn::MulAdd(by[k], x, load_up_to(sums[k] + i, n)), sums[k] + i, n);
  });
}

}  // namespace

op::DirectConv::Accumulate accumulate_of_target() { return &accumulate; }

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(accumulate_of_target);
op::DirectConv::Accumulate accumulate_kernel() { return HWY_DYNAMIC_DISPATCH(accumulate_of_target)(); }
}  // namespace tl::cpu
#endif
