#include "cpu/winograd.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/winograd_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t patch = winograd_patch;
constexpr std::size_t outputs = winograd_output;

// B^T d for one column of six.
HWY_INLINE void transform_in(const V (&d)[patch], V (&t)[patch]) {
  const V four = constant(4.0f);
  const V five = constant(5.0f);
  const V two = constant(2.0f);
  const V a = hn::NegMulAdd(four, d[2], d[4]);  // d4 - 4 d2
  const V b = hn::NegMulAdd(four, d[1], d[3]);  // d3 - 4 d1
  const V c = hn::Sub(d[4], d[2]);
  const V e = hn::Mul(two, hn::Sub(d[3], d[1]));
  t[0] = hn::MulAdd(four, d[0], hn::NegMulAdd(five, d[2], d[4]));
  t[1] = hn::Add(a, b);
  t[2] = hn::Sub(a, b);
  t[3] = hn::Add(c, e);
  t[4] = hn::Sub(c, e);
  t[5] = hn::MulAdd(four, d[1], hn::NegMulAdd(five, d[3], d[5]));
}

// A^T m for one column of six.
HWY_INLINE void transform_out(const V (&m)[patch], V (&y)[outputs]) {
  const V sum12 = hn::Add(m[1], m[2]);
  const V difference12 = hn::Sub(m[1], m[2]);
  const V sum34 = hn::Add(m[3], m[4]);
  const V difference34 = hn::Sub(m[3], m[4]);
  y[0] = hn::Add(hn::Add(m[0], sum12), sum34);
  y[1] = hn::MulAdd(constant(2.0f), difference34, difference12);
  y[2] = hn::MulAdd(constant(4.0f), sum34, sum12);
  y[3] = hn::Add(hn::MulAdd(constant(8.0f), difference34, difference12), m[5]);
}

struct Place {
  std::size_t image, y, x;  // of the first output
};

HWY_INLINE Place place_of(const ConvShape& s, std::size_t index) {
  const std::size_t across = (s.out_w + outputs - 1) / outputs;
  const std::size_t down = (s.out_h + outputs - 1) / outputs;
  return {index / across / down, index / across % down * outputs, index % across * outputs};
}

template <class T>
void in_as(const PatchBlock& b) {
  const ConvShape& s = *b.shape;
  const T* x = static_cast<const T*>(b.image);
  const std::size_t tiles = (b.rows + b.tile_rows - 1) / b.tile_rows;
  for (std::size_t t = 0; t < tiles; ++t) {
    const TileRange range = tile_range(b.rows, tiles, t);
    for (std::size_t r = 0; r < range.count; ++r) {
      const Place place = place_of(s, b.first + range.first + r);
      const T* rows[patch];
      std::size_t from = 0;
      std::size_t to = 0;
      const std::ptrdiff_t left = static_cast<std::ptrdiff_t>(place.x) - s.pad_left;
      from = left < 0 ? static_cast<std::size_t>(-left) : 0;
      to = HWY_MIN(patch, static_cast<std::size_t>(HWY_MAX(std::ptrdiff_t{0}, static_cast<std::ptrdiff_t>(s.in_w) - left)));
      for (std::size_t i = 0; i < patch; ++i) {
        const std::ptrdiff_t iy = static_cast<std::ptrdiff_t>(place.y + i) - s.pad_top;
        rows[i] = iy < 0 || iy >= static_cast<std::ptrdiff_t>(s.in_h)
                      ? nullptr
                      : x + (place.image * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c;
      }
      for (std::size_t c = b.channel_begin; c < b.channel_end; c += lanes) {
        V half[patch][patch];  // [column][transformed row]
        TL_UNROLL for (std::size_t j = 0; j < patch; ++j) {
          V d[patch];
          const bool inside = j >= from && j < to;
          const auto column = static_cast<std::size_t>(left + static_cast<std::ptrdiff_t>(j));
          TL_UNROLL for (std::size_t i = 0; i < patch; ++i) d[i] =
              inside && rows[i] != nullptr ? load(rows[i] + column * s.in_c + c) : hn::Zero(f32);
          transform_in(d, half[j]);
        }
        float* out =
            b.values + range.first * s.in_c + c / depth_block * range.count * depth_block + r * depth_block + c % depth_block;
        TL_UNROLL for (std::size_t i = 0; i < patch; ++i) {
          V line[patch];
          V done[patch];
          TL_UNROLL for (std::size_t j = 0; j < patch; ++j) line[j] = half[j][i];
          transform_in(line, done);
          TL_UNROLL for (std::size_t j = 0; j < patch; ++j) hn::StoreU(done[j], f32, out + (i * patch + j) * b.point_stride);
        }
      }
    }
  }
}

template <class T>
void out_as(const PatchBlock& b) {
  const ConvShape& s = *b.shape;
  T* y = static_cast<T*>(const_cast<void*>(b.image));
  const T* residual = static_cast<const T*>(b.residual);
  for (std::size_t r = 0; r < b.rows; ++r) {
    const Place place = place_of(s, b.first + r);
    const std::size_t height = HWY_MIN(outputs, s.out_h - place.y);
    const std::size_t width = HWY_MIN(outputs, s.out_w - place.x);
    for (std::size_t c = b.channel_begin; c < b.channel_end; c += lanes) {
      const float* in = b.values + r * s.out_c + c;
      V half[patch][outputs];  // [column][output row]
      TL_UNROLL for (std::size_t j = 0; j < patch; ++j) {
        V m[patch];
        TL_UNROLL for (std::size_t i = 0; i < patch; ++i) m[i] = hn::LoadU(f32, in + (i * patch + j) * b.point_stride);
        transform_out(m, half[j]);
      }
      const V bias = b.bias == nullptr ? hn::Zero(f32) : hn::LoadU(f32, b.bias + c);
      TL_UNROLL for (std::size_t i = 0; i < outputs; ++i) {
        V line[patch];
        V done[outputs];
        TL_UNROLL for (std::size_t j = 0; j < patch; ++j) line[j] = half[j][i];
        transform_out(line, done);
        if (i >= height) continue;
        const std::size_t at = (((place.image * s.out_h + place.y + i) * s.out_w) + place.x) * s.out_c + c;
        TL_UNROLL for (std::size_t j = 0; j < outputs; ++j) {
          if (j >= width) continue;
          V value = hn::Add(done[j], bias);
          if (residual != nullptr) value = hn::Add(value, load(residual + at + j * s.out_c));
          store(activate(b.activation, value), y + at + j * s.out_c);
        }
      }
    }
  }
}

void patches_in(const PatchBlock& b) {
  if (b.storage == Storage::f16) {
    in_as<Half>(b);
  } else {
    in_as<float>(b);
  }
}

void patches_out(const PatchBlock& b) {
  if (b.storage == Storage::f16) {
    out_as<Half>(b);
  } else {
    out_as<float>(b);
  }
}

// G g for one column of three.
HWY_INLINE void transform_weight(const V (&g)[3], V (&u)[patch]) {
  const V sixth = constant(-1.0f / 6.0f);
  const V even = hn::Add(g[0], g[2]);
  u[0] = hn::Mul(constant(0.25f), g[0]);
  u[1] = hn::Mul(sixth, hn::Add(even, g[1]));
  u[2] = hn::Mul(sixth, hn::Sub(even, g[1]));
  const V ends = hn::MulAdd(constant(1.0f / 24.0f), g[0], hn::Mul(constant(1.0f / 6.0f), g[2]));
  u[3] = hn::MulAdd(constant(1.0f / 12.0f), g[1], ends);
  u[4] = hn::NegMulAdd(constant(1.0f / 12.0f), g[1], ends);
  u[5] = g[2];
}

template <class T>
void weights_as(const T* weight, const ConvShape& s, std::size_t column, std::size_t columns, std::size_t width, float* panels,
                std::size_t point_stride) {
  constexpr std::size_t taps = 9;
  for (std::size_t n = 0; n < width; n += lanes) {
    for (std::size_t k = 0; k < s.in_c; ++k) {
      HWY_ALIGN T gathered[taps][lanes] = {};
      for (std::size_t lane = 0; lane < lanes && n + lane < columns; ++lane) {
        const T* from = weight + ((column + n + lane) * s.in_c + k) * taps;
        for (std::size_t t = 0; t < taps; ++t) gathered[t][lane] = from[t];
      }
      V half[3][patch];  // [column][transformed row]
      TL_UNROLL for (std::size_t j = 0; j < 3; ++j) {
        V g[3];
        TL_UNROLL for (std::size_t i = 0; i < 3; ++i) g[i] = load(gathered[i * 3 + j]);
        transform_weight(g, half[j]);
      }
      TL_UNROLL for (std::size_t i = 0; i < patch; ++i) {
        V line[3];
        V done[patch];
        TL_UNROLL for (std::size_t j = 0; j < 3; ++j) line[j] = half[j][i];
        transform_weight(line, done);
        TL_UNROLL for (std::size_t j = 0; j < patch; ++j)
            hn::StoreU(done[j], f32, panels + (i * patch + j) * point_stride + k * width + n);
      }
    }
  }
}

void weights(const void* weight, Storage storage, const ConvShape& s, std::size_t column, std::size_t columns,
             std::size_t width, float* panels, std::size_t point_stride) {
  if (storage == Storage::f16) {
    weights_as(static_cast<const Half*>(weight), s, column, columns, width, panels, point_stride);
  } else {
    weights_as(static_cast<const float*>(weight), s, column, columns, width, panels, point_stride);
  }
}

}  // namespace

const WinogradKernels& winograd_table() {
  static const WinogradKernels table = {&patches_in, &patches_out, &weights};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(winograd_table);
const WinogradKernels& winograd_kernels() { return HWY_DYNAMIC_DISPATCH(winograd_table)(); }
}  // namespace tl::cpu
#endif
