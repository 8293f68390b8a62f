#include "cpu/depthwise.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t width = depthwise_channels;

template <class T>
void fill_row(const DepthwiseArgs& a, std::ptrdiff_t iy, float* HWY_RESTRICT row) {
  const ConvShape& s = *a.shape;
  const auto columns = static_cast<std::ptrdiff_t>(depthwise_columns(s));
  const bool outside = iy < 0 || iy >= static_cast<std::ptrdiff_t>(s.in_h);
  const T* line =
      outside ? nullptr
              : static_cast<const T*>(a.x) + (a.image * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c + a.channel;
  const std::ptrdiff_t first = outside ? columns : HWY_MIN(columns, s.pad_left);
  const std::ptrdiff_t last = outside ? columns : HWY_MIN(columns, s.pad_left + static_cast<std::ptrdiff_t>(s.in_w));
  const auto zero = [&](std::ptrdiff_t from, std::ptrdiff_t to) HWY_ATTR {
    for (std::ptrdiff_t i = from * static_cast<std::ptrdiff_t>(width); i < to * static_cast<std::ptrdiff_t>(width);
         i += static_cast<std::ptrdiff_t>(lanes))
      hn::Store(hn::Zero(f32), f32, row + i);
  };
  zero(0, first);
  float* out = row + first * static_cast<std::ptrdiff_t>(width);
  if (a.channels == width) {
    for (std::ptrdiff_t x = first; x < last; ++x, out += width, line += s.in_c) {
      for (std::size_t v = 0; v < width; v += lanes) hn::Store(load(line + v), f32, out + v);
    }
  } else {
    for (std::ptrdiff_t x = first; x < last; ++x, out += width, line += s.in_c) {
      for (std::size_t v = 0; v < a.channels; v += lanes)
        hn::Store(load_up_to(line + v, HWY_MIN(lanes, a.channels - v)), f32, out + v);
    }
  }
  zero(last < first ? first : last, columns);
}

template <class T>
HWY_INLINE void finish(const DepthwiseArgs& a, V sum, std::size_t offset, std::size_t n) {
  if (a.residual != nullptr) sum = hn::Add(sum, load_up_to(static_cast<const T*>(a.residual) + offset, n));
  store_up_to(activate(a.activation, sum), static_cast<T*>(a.y) + offset, n);
}

// `count` neighbouring outputs of one vector of channels. `rows` point at the first column read.
template <int kernel, int stride, int count, class T>
HWY_INLINE void outputs(const DepthwiseArgs& a, const float* const* rows, const float* HWY_RESTRICT weight, V bias,
                        std::size_t offset, std::size_t n) {
  V sums[count];
  TL_UNROLL for (int o = 0; o < count; ++o) sums[o] = bias;
  for (std::size_t ky = 0; ky < a.shape->kernel_h; ++ky) {
    V w[kernel];
    TL_UNROLL for (int kx = 0; kx < kernel; ++kx) w[kx] =
        hn::Load(f32, weight + (ky * kernel + static_cast<std::size_t>(kx)) * width);
    const float* HWY_RESTRICT row = rows[ky];
    TL_UNROLL for (int j = 0; j < (count - 1) * stride + kernel; ++j) {
      const V x = hn::Load(f32, row + static_cast<std::size_t>(j) * width);
      TL_UNROLL for (int kx = 0; kx < kernel; ++kx) {
        const int from = j - kx;
        if (from >= 0 && from % stride == 0 && from / stride < count)
          sums[from / stride] = hn::MulAdd(x, w[kx], sums[from / stride]);
      }
    }
  }
  TL_UNROLL for (int o = 0; o < count; ++o) finish<T>(a, sums[o], offset + static_cast<std::size_t>(o) * a.shape->in_c, n);
}

template <int kernel, int stride, class T>
void row_of(const DepthwiseArgs& a, const float* const* rows, std::size_t base) {
  constexpr int most = kernel > 5 ? 6 : 8;
  const std::size_t out_w = a.shape->out_w;
  const float* at[64];
  for (std::size_t v = 0; v < a.channels; v += lanes) {
    const std::size_t n = HWY_MIN(lanes, a.channels - v);
    const V bias = hn::Load(f32, a.bias + v);
    std::size_t ox = 0;
    const auto step = [&](auto count) HWY_ATTR {
      for (std::size_t ky = 0; ky < a.shape->kernel_h; ++ky) at[ky] = rows[ky] + ox * stride * width + v;
      outputs<kernel, stride, decltype(count)::value, T>(a, at, a.weight + v, bias, base + ox * a.shape->in_c + v, n);
      ox += decltype(count)::value;
    };
    while (ox + most <= out_w) step(std::integral_constant<int, most>());
    while (ox + 4 <= out_w) step(std::integral_constant<int, 4>());
    while (ox < out_w) step(std::integral_constant<int, 1>());
  }
}

template <class T>
void any_row(const DepthwiseArgs& a, const float* const* rows, std::size_t base) {
  const ConvShape& s = *a.shape;
  for (std::size_t v = 0; v < a.channels; v += lanes) {
    const std::size_t n = HWY_MIN(lanes, a.channels - v);
    for (std::size_t ox = 0; ox < s.out_w; ++ox) {
      V sum = hn::Load(f32, a.bias + v);
      for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
        for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
          const V x = hn::Load(f32, rows[ky] + (ox * s.stride_w + kx * s.dilation_w) * width + v);
          sum = hn::MulAdd(x, hn::Load(f32, a.weight + (ky * s.kernel_w + kx) * width + v), sum);
        }
      }
      finish<T>(a, sum, base + ox * s.in_c + v, n);
    }
  }
}

template <class T>
void rows_as(const DepthwiseArgs& a) {
  const ConvShape& s = *a.shape;
  const std::size_t span = (s.kernel_h - 1) * s.dilation_h + 1;
  const std::size_t pitch = depthwise_columns(s) * width;
  void (*row)(const DepthwiseArgs&, const float* const*, std::size_t) = &any_row<T>;
  if (s.dilation_w == 1 && s.stride_w == 1) {
    if (s.kernel_w == 3) row = &row_of<3, 1, T>;
    if (s.kernel_w == 5) row = &row_of<5, 1, T>;
    if (s.kernel_w == 7) row = &row_of<7, 1, T>;
  } else if (s.dilation_w == 1 && s.stride_w == 2) {
    if (s.kernel_w == 3) row = &row_of<3, 2, T>;
    if (s.kernel_w == 5) row = &row_of<5, 2, T>;
  }
  std::ptrdiff_t filled = 0;  // padded rows [.., filled) are in the ring
  const float* taps[64];
  for (std::size_t oy = a.row_begin; oy < a.row_end; ++oy) {
    const std::size_t top = oy * s.stride_h;  // in padded rows
    const auto end = static_cast<std::ptrdiff_t>(top + span);
    for (std::ptrdiff_t y = HWY_MAX(filled, static_cast<std::ptrdiff_t>(top)); y < end; ++y)
      fill_row<T>(a, y - s.pad_top, a.scratch + static_cast<std::size_t>(y) % span * pitch);
    filled = end;
    for (std::size_t ky = 0; ky < s.kernel_h; ++ky) taps[ky] = a.scratch + (top + ky * s.dilation_h) % span * pitch;
    row(a, taps, ((a.image * s.out_h + oy) * s.out_w) * s.in_c + a.channel);
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
