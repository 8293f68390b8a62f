#include "cpu/depthwise.hpp"

#include <utility>

#include "cpu/dot.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using Signed = std::ptrdiff_t;
constexpr std::size_t most_reads = depthwise_kernel_rows + 2;  // input rows of two rows of outputs

// Two rows of outputs share what they read, and widen, where registers hold the sums of both.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr bool may_pair = true;
#else
constexpr bool may_pair = false;
#endif

HWY_INLINE void put_bf16(V sum, std::uint32_t* words) {
#if HWY_TARGET <= HWY_AVX3
  __m256i narrow;
  asm("vcvtneps2bf16 %1, %0" : "=v"(narrow) : "v"(sum.raw));
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), narrow);
#else
  (void)sum, (void)words;  // no machine with bf16 comes here
#endif
}

// What one vector of channels of one or two rows of outputs reads and writes.
template <class T>
struct Lane {
  const DepthwiseArgs& a;
  const T* rows[most_reads];  // per input row: column 0, null where it is padding
  const float* weight;        // [1 + kernel_h * kernel_w][16]
  std::size_t channel, n;     // n channels of the vector
  std::size_t pixel;          // column 0 of the first row of outputs

  HWY_INLINE void put(V sum, std::size_t at) const {
    if (a.y != nullptr) return store_up_to(sum, static_cast<T*>(a.y) + at * a.shape->in_c + channel, n);
    const TileRow& row = a.tile_rows[at - a.first];
    const std::size_t k = channel - a.channel;
    if (a.tiles != nullptr) {
      const std::size_t depth = padded_depth(a.channels);
      hn::Store(sum, f32, a.tiles + row.rows_before * depth + k / depth_block * row.step + row.first + k % depth_block);
    } else {
      const std::size_t words = padded_words((a.channels + 1) / 2);
      put_bf16(sum, a.words + row.rows_before * words + k / (2 * dot_block) * row.step + row.first + k % (2 * dot_block) / 2);
    }
  }
};

// `count` neighbouring outputs from column `ox` of `paired` rows, finished and put.
template <int count, int paired, class T>
HWY_INLINE void finish(const Lane<T>& lane, V (&sums)[paired][count], std::size_t ox) {
  const DepthwiseArgs& a = lane.a;
  const std::size_t out_w = a.shape->out_w;
  if (a.residual != nullptr) {
    TL_UNROLL for (int r = 0; r < paired; ++r) {
      const T* from = static_cast<const T*>(a.residual) +
                      (lane.pixel + static_cast<std::size_t>(r) * out_w + ox) * a.shape->in_c + lane.channel;
      TL_UNROLL for (int o = 0; o < count; ++o) sums[r][o] =
          hn::Add(sums[r][o], load_up_to(from + static_cast<std::size_t>(o) * a.shape->in_c, lane.n));
    }
  }
  const auto put_all = [&](auto&& value) HWY_ATTR __attribute__((always_inline)) {
    TL_UNROLL for (int r = 0; r < paired; ++r) {
      const std::size_t at = lane.pixel + static_cast<std::size_t>(r) * out_w + ox;
      TL_UNROLL for (int o = 0; o < count; ++o) lane.put(value(r, o), at + static_cast<std::size_t>(o));
    }
  };
  if (HWY_LIKELY(a.activation.kind == Activation::clamp)) {
    const V low = constant(a.activation.alpha);
    const V high = constant(a.activation.beta);
    put_all([&](int r, int o) HWY_ATTR __attribute__((always_inline)) { return at_most(high, at_least(low, sums[r][o])); });
    return;
  }
  HWY_ALIGN float scratch[paired][count][lanes];
  TL_UNROLL for (int r = 0; r < paired; ++r) {
    TL_UNROLL for (int o = 0; o < count; ++o) hn::Store(sums[r][o], f32, scratch[r][o]);
  }
  activate_all(a.activation, scratch[0][0], sizeof(scratch) / sizeof(float));
  put_all([&](int r, int o) HWY_ATTR __attribute__((always_inline)) { return hn::Load(f32, scratch[r][o]); });
}

// Adds what input row `row` brings to `count` outputs from column `ox` of the rows of outputs [begin, end).
template <int kernel, int stride, int begin, int end, bool whole, int count, int paired, class T>
HWY_INLINE void add_row(const Lane<T>& lane, V (&sums)[paired][count], int row, std::size_t ox) {
  if (HWY_UNLIKELY(lane.rows[row] == nullptr)) return;
  const ConvShape& s = *lane.a.shape;
  const std::size_t left = ox * stride - static_cast<std::size_t>(s.pad_left);  // wraps where it is padding
  V w[end - begin][kernel];
  TL_UNROLL for (int r = begin; r < end; ++r) {
    const float* from = lane.weight + static_cast<std::size_t>(1 + (row - r * stride) * kernel) * depth_block;
    TL_UNROLL for (int kx = 0; kx < kernel; ++kx) w[r - begin][kx] = load(from + static_cast<std::size_t>(kx) * depth_block);
  }
  const T* at = lane.rows[row] + static_cast<Signed>(left) * static_cast<Signed>(s.in_c);
  TL_UNROLL for (int j = 0; j < (count - 1) * stride + kernel; ++j, at += s.in_c) {
    if (HWY_UNLIKELY(left + static_cast<std::size_t>(j) >= s.in_w)) continue;
    const V x = whole ? load(at) : load_n(at, lane.n);
    TL_UNROLL for (int kx = 0; kx < kernel; ++kx) {
      const int from = j - kx;
      if (from >= 0 && from % stride == 0 && from / stride < count) {
        TL_UNROLL for (int r = begin; r < end; ++r) sums[r][from / stride] =
            hn::MulAdd(x, w[r - begin][kx], sums[r][from / stride]);
      }
    }
  }
}

template <int kernel, int stride, int paired, bool whole, int count, class T>
void outputs(const Lane<T>& lane, std::size_t ox) {
  V sums[paired][count];
  const V bias = load(lane.weight);
  TL_UNROLL for (int r = 0; r < paired; ++r) { TL_UNROLL for (int o = 0; o < count; ++o) sums[r][o] = bias; }
  if constexpr (paired == 1) {
    const int reads = static_cast<int>(lane.a.shape->kernel_h);
    for (int i = 0; i < reads; ++i) add_row<kernel, stride, 0, 1, whole>(lane, sums, i, ox);
  } else {
    for (int i = 0; i < stride; ++i) add_row<kernel, stride, 0, 1, whole>(lane, sums, i, ox);
    for (int i = stride; i < kernel; ++i) add_row<kernel, stride, 0, 2, whole>(lane, sums, i, ox);
    for (int i = kernel; i < kernel + stride; ++i) add_row<kernel, stride, 1, 2, whole>(lane, sums, i, ox);
  }
  finish(lane, sums, ox);
}

// Outputs of the columns [begin, end).
template <int kernel, int stride, int paired, bool whole, class T>
void run(const Lane<T>& lane, std::size_t begin, std::size_t end) {
  std::size_t ox = begin;
  const auto while_left = [&](auto count) HWY_ATTR {
    for (; ox + decltype(count)::value <= end; ox += decltype(count)::value)
      outputs<kernel, stride, paired, whole, decltype(count)::value>(lane, ox);
  };
  // Other lengths than these pay where the images are small: of float16.
  constexpr bool all = whole && sizeof(T) == sizeof(Half);
  if constexpr (all) {
    if ((end - begin) % 8 != 0 && (end - begin) % 7 == 0) while_left(std::integral_constant<int, 7>());
  }
  if constexpr (whole) while_left(std::integral_constant<int, 8>());
  while_left(std::integral_constant<int, 4>());
  if constexpr (all) while_left(std::integral_constant<int, 2>());
  while_left(std::integral_constant<int, 1>());
}

template <class T>
void any_run(const Lane<T>& lane, std::size_t begin, std::size_t end) {
  const ConvShape& s = *lane.a.shape;
  for (std::size_t ox = begin; ox < end; ++ox) {
    V sums[1][1] = {{load(lane.weight)}};
    for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
      if (lane.rows[ky] == nullptr) continue;
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const Signed ix = static_cast<Signed>(ox * s.stride_w + kx * s.dilation_w) - s.pad_left;
        if (ix < 0 || ix >= static_cast<Signed>(s.in_w)) continue;
        const V x = load_up_to(lane.rows[ky] + ix * static_cast<Signed>(s.in_c), lane.n);
        sums[0][0] = hn::MulAdd(x, load(lane.weight + (1 + ky * s.kernel_w + kx) * depth_block), sums[0][0]);
      }
    }
    finish(lane, sums, ox);
  }
}

template <class T>
using Run = void (*)(const Lane<T>&, std::size_t begin, std::size_t end);

// How runs of outputs of one row, of two, and of part of a vector are computed.
template <class T>
struct Runs {
  Run<T> one, two, part;
};

template <int kernel, int stride, class T>
constexpr Runs<T> runs_of() {
  constexpr bool pairs = may_pair && kernel <= 5 && sizeof(T) == sizeof(Half);
  return {&run<kernel, stride, 1, true, T>, pairs ? &run < kernel, stride, pairs ? 2 : 1, true, T > : nullptr,
          &run<kernel, stride, 1, false, T>};
}

template <class T>
Runs<T> runs_for(const ConvShape& s) {
  if (s.dilation_w == 1 && s.stride_w == 1) {
    if (s.kernel_w == 3) return runs_of<3, 1, T>();
    if (s.kernel_w == 5) return runs_of<5, 1, T>();
    if (s.kernel_w == 7) return runs_of<7, 1, T>();
  } else if (s.dilation_w == 1 && s.stride_w == 2) {
    if (s.kernel_w == 3) return runs_of<3, 2, T>();
    if (s.kernel_w == 5) return runs_of<5, 2, T>();
  }
  return {&any_run<T>, nullptr, &any_run<T>};
}

template <class T>
void pixels_as(const DepthwiseArgs& a) {
  const ConvShape& s = *a.shape;
  const Runs<T> runs = runs_for<T>(s);
  const bool pairs = runs.two != nullptr && s.dilation_h == 1 && s.stride_h == s.stride_w && s.kernel_h == s.kernel_w;
  const std::size_t block_floats = (1 + s.kernel_h * s.kernel_w) * depth_block;
  const std::size_t end = a.channel + a.channels;
  Lane<T> lane{a, {}, nullptr, 0, 0, 0};
  for (std::size_t chunk = a.channel; chunk < end; chunk += depthwise_channels) {
    std::size_t count = 0;
    for (std::size_t p = a.first; p < a.last; p += count) {
      const std::size_t begin = p % s.out_w;
      const std::size_t row = p / s.out_w;
      const std::size_t oy = row % s.out_h;
      const bool two = pairs && begin == 0 && oy + 1 < s.out_h && p + 2 * s.out_w <= a.last;
      const std::size_t columns = HWY_MIN(s.out_w - begin, a.last - p);
      count = two ? 2 * s.out_w : columns;
      lane.pixel = p - begin;
      const std::size_t reads = s.kernel_h + (two ? s.stride_h : 0);
      const T* rows[most_reads];
      for (std::size_t i = 0; i < reads; ++i) {
        const Signed iy = static_cast<Signed>(oy * s.stride_h + i * s.dilation_h) - s.pad_top;
        const bool outside = iy < 0 || iy >= static_cast<Signed>(s.in_h);
        rows[i] = outside
                      ? nullptr
                      : static_cast<const T*>(a.x) + (row / s.out_h * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c;
      }
      for (lane.channel = chunk; lane.channel < HWY_MIN(end, chunk + depthwise_channels); lane.channel += lanes) {
        lane.n = HWY_MIN(lanes, end - lane.channel);
        lane.weight = a.weight + lane.channel / depth_block * block_floats + lane.channel % depth_block;
        for (std::size_t i = 0; i < reads; ++i) lane.rows[i] = rows[i] == nullptr ? nullptr : rows[i] + lane.channel;
        if (lane.n == lanes) {
          (two ? runs.two : runs.one)(lane, begin, begin + columns);
        } else {
          runs.part(lane, begin, begin + columns);
          if (two) {
            for (std::size_t i = 0; i < s.kernel_h; ++i) lane.rows[i] = lane.rows[i + s.stride_h];
            lane.pixel += s.out_w;
            runs.part(lane, begin, begin + columns);
            lane.pixel -= s.out_w;
          }
        }
      }
    }
  }
}

void pixels(const DepthwiseArgs& a) {
  if (a.storage == Storage::f16) {
    pixels_as<Half>(a);
  } else {
    pixels_as<float>(a);
  }
}

DepthwisePixels pixels_pointer() { return &pixels; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(pixels_pointer);
DepthwisePixels depthwise_kernel() { return HWY_DYNAMIC_DISPATCH(pixels_pointer)(); }
}  // namespace tl::cpu
#endif
