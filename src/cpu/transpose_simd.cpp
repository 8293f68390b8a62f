#include "cpu/transpose.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/transpose_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

void some(const std::uint16_t* HWY_RESTRICT in, std::size_t in_step, std::uint16_t* HWY_RESTRICT out, std::size_t out_step,
          std::size_t rows, std::size_t columns) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) out[r * out_step + c] = in[r + c * in_step];
  }
}

void swap_halves(const std::uint16_t* HWY_RESTRICT in, std::size_t in_step, std::uint16_t* HWY_RESTRICT out,
                 std::size_t out_step, std::size_t rows, std::size_t columns) {
  constexpr std::size_t side = 8;
  std::size_t r = 0;
#if HWY_TARGET != HWY_SCALAR
  if (columns == 3 && out_step == 3) {
    const hn::FixedTag<std::uint16_t, side> d;
    for (; r + side <= rows; r += side)
      hn::StoreInterleaved3(hn::LoadU(d, in + r), hn::LoadU(d, in + in_step + r), hn::LoadU(d, in + 2 * in_step + r), d,
                            out + r * 3);
  }
#endif
  if (columns >= side) {
    for (; r + side <= rows; r += side) {
      std::size_t c = 0;
      for (; c + side <= columns; c += side) transpose_8x8(in + r + c * in_step, in_step, out + r * out_step + c, out_step);
      some(in + r + c * in_step, in_step, out + r * out_step + c, out_step, side, columns - c);
    }
  }
  some(in + r, in_step, out + r * out_step, out_step, rows - r, columns);
}

SwapHalves swap_halves_pointer() { return &swap_halves; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(swap_halves_pointer);
SwapHalves swap_halves_kernel() { return HWY_DYNAMIC_DISPATCH(swap_halves_pointer)(); }
}  // namespace tl::cpu
#endif
