#include "cpu/pool.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/pool_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using Signed = std::ptrdiff_t;

// The taps of a window that read the input: [first, last).
struct Taps {
  Signed first, last;
};
HWY_INLINE Taps taps_of(Signed start, Signed kernel, Signed extent) {
  return {HWY_MAX(Signed{0}, -start), HWY_MIN(kernel, extent - start)};
}

template <class T>
void rows_as(const PoolArgs& a) {
  const ConvShape& s = *a.shape;
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y) + a.row_begin * s.out_w * s.in_c;
  const auto kernel_h = static_cast<Signed>(s.kernel_h);
  const auto kernel_w = static_cast<Signed>(s.kernel_w);
  const auto in_h = static_cast<Signed>(s.in_h);
  const auto in_w = static_cast<Signed>(s.in_w);
  for (std::size_t row = a.row_begin; row < a.row_end; ++row) {
    const T* image = x + row / s.out_h * s.in_h * s.in_w * s.in_c;
    const Signed top = static_cast<Signed>(row % s.out_h * s.stride_h) - s.pad_top;
    const Taps v = taps_of(top, kernel_h, in_h);
    for (std::size_t ox = 0; ox < s.out_w; ++ox, y += s.in_c) {
      const Signed left = static_cast<Signed>(ox * s.stride_w) - s.pad_left;
      const Taps h = taps_of(left, kernel_w, in_w);
      Signed area = HWY_MAX(Signed{0}, v.last - v.first) * HWY_MAX(Signed{0}, h.last - h.first);
      if (!a.exclude_padding) {
        // ceil_mode lets a window reach past the padding, which doesn't count.
        area = HWY_MAX(Signed{0}, HWY_MIN(kernel_h, in_h + a.pad_bottom - top)) *
               HWY_MAX(Signed{0}, HWY_MIN(kernel_w, in_w + a.pad_right - left));
      }
      const V start = constant(a.maximum ? -__builtin_inff() : 0.0f);
      const V count = constant(static_cast<float>(area));
      for_lanes(s.in_c, [&](std::size_t c, std::size_t n) HWY_ATTR {
        V total = start;
        for (Signed ky = v.first; ky < v.last; ++ky) {
          const T* line = image + (top + ky) * in_w * static_cast<Signed>(s.in_c);
          for (Signed kx = h.first; kx < h.last; ++kx) {
            const V value = load_up_to(line + (left + kx) * static_cast<Signed>(s.in_c) + c, n);
            total = a.maximum ? hn::IfThenElse(hn::Or(hn::Gt(value, total), hn::IsNaN(value)), value, total)
                              : hn::Add(total, value);
          }
        }
        store_up_to(a.maximum ? total : hn::Div(total, count), y + c, n);
      });
    }
  }
}

void rows(const PoolArgs& a) {
  if (a.storage == Storage::f16) {
    rows_as<Half>(a);
  } else {
    rows_as<float>(a);
  }
}

PoolRows rows_pointer() { return &rows; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(rows_pointer);
PoolRows pool_rows() { return HWY_DYNAMIC_DISPATCH(rows_pointer)(); }
}  // namespace tl::cpu
#endif
