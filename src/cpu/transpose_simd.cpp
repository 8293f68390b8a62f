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
  const hn::FixedTag<std::uint16_t, side> d;
  if (columns == 3 && out_step == 3) {
    for (; r + side <= rows; r += side)
      hn::StoreInterleaved3(hn::LoadU(d, in + r), hn::LoadU(d, in + in_step + r), hn::LoadU(d, in + 2 * in_step + r), d,
                            out + r * 3);
  }
  if (rows == 3 && in_step == 3) {
    std::size_t c = 0;
    for (; c + side <= columns; c += side) {
      hn::Vec<decltype(d)> x, y, z;
      hn::LoadInterleaved3(d, in + c * 3, x, y, z);
      hn::StoreU(x, d, out + c);
      hn::StoreU(y, d, out + out_step + c);
      hn::StoreU(z, d, out + 2 * out_step + c);
    }
    return some(in + c * 3, 3, out + c, out_step, rows, columns - c);
  }
#endif
  if (rows < side || columns < side) return some(in + r, in_step, out + r * out_step, out_step, rows - r, columns);
  // The last tiles lie over those before them where eight does not divide.
  for (; r < rows; r += side) {
    const std::size_t top = HWY_MIN(r, rows - side);
    for (std::size_t c = 0; c < columns; c += side) {
      const std::size_t left = HWY_MIN(c, columns - side);
      transpose_8x8(in + top + left * in_step, in_step, out + top * out_step + left, out_step);
    }
  }
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
