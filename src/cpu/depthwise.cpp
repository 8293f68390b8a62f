#include "cpu/depthwise.hpp"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using Signed = std::ptrdiff_t;

// Where one vector of channels of an output row reads and writes.
template <class T>
struct Lane {
  const T* const* rows;  // per kernel row: column 0 of the input, null where it is padding
  const float* weight;   // [kernel_h * kernel_w][DepthwiseArgs::stride]
  V bias;
  T* out;             // column 0 of the output
  const T* residual;  // as out, or null
  std::size_t n;      // channels of the vector
};

template <class T>
HWY_INLINE void finish(const DepthwiseArgs& a, const Lane<T>& lane, V sum, std::size_t offset) {
  if (lane.residual != nullptr) sum = hn::Add(sum, load_up_to(lane.residual + offset, lane.n));
  store_up_to(activate(a.activation, sum), lane.out + offset, lane.n);
}

// `count` neighbouring outputs from column `ox` of a whole vector.
template <int kernel, int stride, int count, class T>
void outputs(const DepthwiseArgs& a, const Lane<T>& lane, std::size_t ox) {
  const ConvShape& s = *a.shape;
  const std::size_t left = ox * stride - static_cast<std::size_t>(s.pad_left);  // wraps where it is padding
  V sums[count];
  TL_UNROLL for (int o = 0; o < count; ++o) sums[o] = lane.bias;
  for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
    if (lane.rows[ky] == nullptr) continue;
    V w[kernel];
    TL_UNROLL for (int kx = 0; kx < kernel; ++kx) w[kx] =
        load(lane.weight + (ky * kernel + static_cast<std::size_t>(kx)) * a.stride);
    const T* at = lane.rows[ky] + static_cast<Signed>(left) * static_cast<Signed>(s.in_c);
    TL_UNROLL for (int j = 0; j < (count - 1) * stride + kernel; ++j, at += s.in_c) {
      if (left + static_cast<std::size_t>(j) >= s.in_w) continue;
      const V x = load(at);
      TL_UNROLL for (int kx = 0; kx < kernel; ++kx) {
        const int from = j - kx;
        if (from >= 0 && from % stride == 0 && from / stride < count)
          sums[from / stride] = hn::MulAdd(x, w[kx], sums[from / stride]);
      }
    }
  }
  if (lane.residual == nullptr && a.activation.kind == Activation::clamp) {
    const V low = constant(a.activation.alpha);
    const V high = constant(a.activation.beta);
    T* out = lane.out + ox * s.in_c;
    TL_UNROLL for (int o = 0; o < count; ++o, out += s.in_c) store(at_most(high, at_least(low, sums[o])), out);
    return;
  }
  TL_UNROLL for (int o = 0; o < count; ++o) finish(a, lane, sums[o], (ox + static_cast<std::size_t>(o)) * s.in_c);
}

template <int kernel, int stride, class T>
void row_of(const DepthwiseArgs& a, const Lane<T>& lane) {
  std::size_t ox = 0;
  const std::size_t out_w = a.shape->out_w;
  const auto while_left = [&](auto count) HWY_ATTR {
    for (; ox + decltype(count)::value <= out_w; ox += decltype(count)::value)
      outputs<kernel, stride, decltype(count)::value>(a, lane, ox);
  };
  if (out_w % 8 != 0 && out_w % 7 == 0) while_left(std::integral_constant<int, 7>());
  while_left(std::integral_constant<int, 8>());
  while_left(std::integral_constant<int, 4>());
  while_left(std::integral_constant<int, 2>());
  while_left(std::integral_constant<int, 1>());
}

template <class T>
void any_row(const DepthwiseArgs& a, const Lane<T>& lane) {
  const ConvShape& s = *a.shape;
  for (std::size_t ox = 0; ox < s.out_w; ++ox) {
    V sum = lane.bias;
    for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
      if (lane.rows[ky] == nullptr) continue;
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const Signed ix = static_cast<Signed>(ox * s.stride_w + kx * s.dilation_w) - s.pad_left;
        if (ix < 0 || ix >= static_cast<Signed>(s.in_w)) continue;
        const V x = load_up_to(lane.rows[ky] + ix * static_cast<Signed>(s.in_c), lane.n);
        sum = hn::MulAdd(x, load(lane.weight + (ky * s.kernel_w + kx) * a.stride), sum);
      }
    }
    finish(a, lane, sum, ox * s.in_c);
  }
}

template <class T>
void rows_as(const DepthwiseArgs& a) {
  const ConvShape& s = *a.shape;
  void (*row)(const DepthwiseArgs&, const Lane<T>&) = &any_row<T>;
  if (s.dilation_w == 1 && s.stride_w == 1) {
    if (s.kernel_w == 3) row = &row_of<3, 1, T>;
    if (s.kernel_w == 5) row = &row_of<5, 1, T>;
    if (s.kernel_w == 7) row = &row_of<7, 1, T>;
  } else if (s.dilation_w == 1 && s.stride_w == 2) {
    if (s.kernel_w == 3) row = &row_of<3, 2, T>;
    if (s.kernel_w == 5) row = &row_of<5, 2, T>;
  }
  const T* taps[depthwise_kernel_rows];
  for (std::size_t oy = a.row_begin; oy < a.row_end; ++oy) {
    const std::size_t base = (a.image * s.out_h + oy) * s.out_w * s.in_c + a.channel;
    for (std::size_t next = 0; next < a.channels; next += lanes) {
      // The last vector is a whole one where it may write again what the one before it wrote.
      const std::size_t from = a.channels < lanes || a.residual != nullptr ? next : HWY_MIN(next, a.channels - lanes);
      const std::size_t n = HWY_MIN(lanes, a.channels - from);
      for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
        const Signed iy = static_cast<Signed>(oy * s.stride_h + ky * s.dilation_h) - s.pad_top;
        const bool outside = iy < 0 || iy >= static_cast<Signed>(s.in_h);
        taps[ky] = outside ? nullptr
                           : static_cast<const T*>(a.x) + (a.image * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c +
                                 a.channel + from;
      }
      (n == lanes ? row : &any_row<T>)(a,
                                       {taps, a.weight + from, load(a.bias + from), static_cast<T*>(a.y) + base + from,
                                        a.residual == nullptr ? nullptr : static_cast<const T*>(a.residual) + base + from, n});
    }
  }
}

void rows(const DepthwiseArgs& a) {
  if (a.storage == Storage::f16) {
    rows_as<Half>(a);
  } else {
    rows_as<float>(a);
  }
}

DepthwiseRows rows_pointer() { return &rows; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(rows_pointer);
DepthwiseRows depthwise_kernel() { return HWY_DYNAMIC_DISPATCH(rows_pointer)(); }
}  // namespace tl::cpu
#endif
