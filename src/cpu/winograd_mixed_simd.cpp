#include "cpu/winograd_mixed.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/winograd_mixed_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

template <std::size_t rows, std::size_t columns>
using Matrix = std::array<std::array<float, columns>, rows>;

// Toom and Cook: rows of `in` are the coefficients of M(t) / (t - p) for the points p = 0, 1, -1, 2, (-2), and those of M(t)
// for infinity; rows of the weights are (1, p, p^2) over the derivative of M at p. What the shorter segment's M lacks stands in
// `in`.
struct One4 {  // stride 1, four outputs
  static constexpr Matrix<6, 6> in = {{{4, 0, -5, 0, 1, 0},
                                       {0, -4, -4, 1, 1, 0},
                                       {0, 4, -4, -1, 1, 0},
                                       {0, -2, -1, 2, 1, 0},
                                       {0, 2, -1, -2, 1, 0},
                                       {0, 4, 0, -5, 0, 1}}};
  static constexpr Matrix<4, 6> out = {{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}};
};
struct One3 {
  static constexpr Matrix<5, 5> in = {
      {{4, -2, -4, 2, 0}, {0, -6, -3, 3, 0}, {0, 2, -3, 1, 0}, {0, -4, 0, 4, 0}, {0, 2, -1, -2, 1}}};
  static constexpr Matrix<3, 5> out = {{{1, 1, 1, 1, 0}, {0, 1, -1, 2, 0}, {0, 1, 1, 4, 1}}};
};
struct Two4 {  // stride 2: points of the even samples, then the odd samples
  static constexpr Matrix<9, 9> in = {{{2, 0, -1, 0, -2, 0, 1, 0, 0},
                                       {0, 0, -2, 0, -1, 0, 1, 0, 0},
                                       {0, 0, 2, 0, -3, 0, 1, 0, 0},
                                       {0, 0, -1, 0, 0, 0, 1, 0, 0},
                                       {0, 0, 2, 0, -1, 0, -2, 0, 1},
                                       {0, 1, 0, 0, 0, 0, 0, 0, 0},
                                       {0, 0, 0, 1, 0, 0, 0, 0, 0},
                                       {0, 0, 0, 0, 0, 1, 0, 0, 0},
                                       {0, 0, 0, 0, 0, 0, 0, 1, 0}}};
  static constexpr Matrix<4, 9> out = {
      {{1, 1, 1, 1, 0, 1, 0, 0, 0}, {0, 1, -1, 2, 0, 0, 1, 0, 0}, {0, 1, 1, 4, 0, 0, 0, 1, 0}, {0, 1, -1, 8, 1, 0, 0, 0, 1}}};
};
struct Two3 {
  static constexpr Matrix<7, 7> in = {{{2, 0, 0, 0, -2, 0, 0},
                                       {0, 0, -1, 0, -1, 0, 0},
                                       {0, 0, 3, 0, -3, 0, 0},
                                       {0, 0, -1, 0, 0, 0, 1},
                                       {0, 1, 0, 0, 0, 0, 0},
                                       {0, 0, 0, 1, 0, 0, 0},
                                       {0, 0, 0, 0, 0, 1, 0}}};
  static constexpr Matrix<3, 7> out = {{{1, 1, 1, 0, 1, 0, 0}, {0, 1, -1, 0, 0, 1, 0}, {0, 1, 1, 1, 0, 0, 1}}};
};
// The taps of one line of three, transformed.
struct OneTaps {
  static HWY_INLINE void transform(const V (&g)[3], V (&u)[mixed_taps]) {
    const V even = hn::Mul(hn::Set(f32, -1.0F / 6), hn::Add(g[0], g[2]));
    const V ends = hn::MulAdd(hn::Set(f32, 1.0F / 24), g[0], hn::Mul(hn::Set(f32, 1.0F / 6), g[2]));
    u[0] = hn::Mul(hn::Set(f32, 1.0F / 4), g[0]);
    u[1] = hn::NegMulAdd(hn::Set(f32, 1.0F / 6), g[1], even);
    u[2] = hn::MulAdd(hn::Set(f32, 1.0F / 6), g[1], even);
    u[3] = hn::MulAdd(hn::Set(f32, 1.0F / 12), g[1], ends);
    u[4] = hn::NegMulAdd(hn::Set(f32, 1.0F / 12), g[1], ends);
    u[5] = g[2];
  }
};
struct TwoTaps {
  static HWY_INLINE void transform(const V (&g)[3], V (&u)[mixed_taps]) {
    u[0] = hn::Mul(hn::Set(f32, 0.5F), g[0]);
    u[1] = hn::Mul(hn::Set(f32, -0.5F), hn::Add(g[0], g[2]));
    u[2] = hn::Mul(hn::Set(f32, 1.0F / 6), hn::Sub(g[2], g[0]));
    u[3] = hn::MulAdd(hn::Set(f32, 1.0F / 3), g[2], hn::Mul(hn::Set(f32, 1.0F / 6), g[0]));
    u[4] = g[2];
    u[5] = g[1];
  }
};

// Row i of the matrix times d, from column j; `started`: `sum` holds what came before.
template <const auto& matrix, std::size_t i, std::size_t j = 0, bool started = false>
HWY_INLINE V row_times(const V* d, V sum) {
  if constexpr (j == matrix[i].size()) {
    return sum;
  } else {
    constexpr float c = matrix[i][j];
    if constexpr (c == 0) return row_times<matrix, i, j + 1, started>(d, sum);
    if constexpr (c != 0 && !started)
      return row_times<matrix, i, j + 1, true>(d, c == 1 ? d[j] : c == -1 ? hn::Neg(d[j]) : hn::Mul(hn::Set(f32, c), d[j]));
    if constexpr (c != 0 && started)
      return row_times<matrix, i, j + 1, true>(d, c == 1    ? hn::Add(sum, d[j])
                                                  : c == -1 ? hn::Sub(sum, d[j])
                                                            : hn::MulAdd(hn::Set(f32, c), d[j], sum));
  }
}
template <const auto& matrix, std::size_t i = 0>
HWY_INLINE void times(const V* d, V* t) {
  if constexpr (i < matrix.size()) {
    t[i] = row_times<matrix, i>(d, hn::Zero(f32));
    times<matrix, i + 1>(d, t);
  }
}

// Calls body with the kind of a segment.
template <class Body>
HWY_INLINE void with_kind(std::size_t stride, std::size_t outputs, Body&& body) {
  if (stride == 1) {
    if (outputs == 4) return body(One4());
    return body(One3());
  }
  if (outputs == 4) return body(Two4());
  return body(Two3());
}

struct Lines {
  HWY_ALIGN float at[mixed_most][mixed_most][lanes];
};

void patches_in(const MixedBlock& b) {
  const ConvShape& s = *b.shape;
  const auto* x = static_cast<const Half*>(b.image);
  Lines lines;
  for (std::size_t p = 0; p < b.count; ++p) {
    const MixedPatch& patch = b.patches[p];
    const MixedPlace* places = b.places + p * mixed_most * mixed_most;
    const std::size_t samples_down = mixed_samples(s.stride_h, patch.down);
    const std::size_t samples_across = mixed_samples(s.stride_w, patch.across);
    const std::ptrdiff_t left = static_cast<std::ptrdiff_t>(patch.x * s.stride_w) - s.pad_left;
    const std::ptrdiff_t top = static_cast<std::ptrdiff_t>(patch.y * s.stride_h) - s.pad_top;
    const Half* rows[mixed_most];
    for (std::size_t i = 0; i < samples_down; ++i) {
      const std::ptrdiff_t y = top + static_cast<std::ptrdiff_t>(i);
      rows[i] = y < 0 || y >= static_cast<std::ptrdiff_t>(s.in_h)
                    ? nullptr
                    : x + (patch.image * s.in_h + static_cast<std::size_t>(y)) * s.in_w * s.in_c;
    }
    for (std::size_t c = b.channel_begin; c < b.channel_end; c += lanes) {
      with_kind(s.stride_h, patch.down, [&](auto kind) HWY_ATTR {
        constexpr std::size_t samples = decltype(kind)::in.size();
        for (std::size_t j = 0; j < samples_across; ++j) {
          const std::ptrdiff_t column = left + static_cast<std::ptrdiff_t>(j);
          const bool inside = column >= 0 && column < static_cast<std::ptrdiff_t>(s.in_w);
          V d[samples];
          V t[samples];
          TL_UNROLL for (std::size_t i = 0; i < samples; ++i) d[i] =
              inside && rows[i] != nullptr ? load(rows[i] + static_cast<std::size_t>(column) * s.in_c + c) : hn::Zero(f32);
          times<decltype(kind)::in>(d, t);
          TL_UNROLL for (std::size_t i = 0; i < samples; ++i) hn::Store(t[i], f32, lines.at[i][j]);
        }
      });
      float* out = b.values + c % depth_block;
      const std::size_t chunk = c / b.chunk;
      const std::size_t block = c % b.chunk / depth_block;
      with_kind(s.stride_w, patch.across, [&](auto kind) HWY_ATTR {
        constexpr std::size_t samples = decltype(kind)::in.size();
        for (std::size_t i = 0; i < samples_down; ++i) {
          V d[samples];
          V t[samples];
          TL_UNROLL for (std::size_t j = 0; j < samples; ++j) d[j] = hn::Load(f32, lines.at[i][j]);
          times<decltype(kind)::in>(d, t);
          TL_UNROLL for (std::size_t j = 0; j < samples; ++j) {
            const MixedPlace& place = places[i * samples + j];
            hn::StoreU(t[j], f32, out + place.first + chunk * place.chunk_step + block * place.block_step);
          }
        }
      });
    }
  }
}

void patches_out(const MixedBlock& b) {
  const ConvShape& s = *b.shape;
  auto* y = static_cast<Half*>(const_cast<void*>(b.image));
  const auto* residual = static_cast<const Half*>(b.residual);
  Lines lines;
  for (std::size_t p = 0; p < b.count; ++p) {
    const MixedPatch& patch = b.patches[p];
    const MixedPlace* places = b.places + p * mixed_most * mixed_most;
    const std::size_t samples_across = mixed_samples(s.stride_w, patch.across);
    for (std::size_t c = b.channel_begin; c < b.channel_end; c += lanes) {
      const float* in = b.values + c;
      with_kind(s.stride_h, patch.down, [&](auto kind) HWY_ATTR {
        constexpr std::size_t samples = decltype(kind)::in.size();
        constexpr std::size_t outputs = decltype(kind)::out.size();
        for (std::size_t j = 0; j < samples_across; ++j) {
          V m[samples];
          V t[outputs];
          TL_UNROLL for (std::size_t i = 0; i < samples; ++i) m[i] =
              hn::LoadU(f32, in + places[i * samples_across + j].row * s.out_c);
          times<decltype(kind)::out>(m, t);
          TL_UNROLL for (std::size_t i = 0; i < outputs; ++i) hn::Store(t[i], f32, lines.at[i][j]);
        }
      });
      const V bias = b.bias == nullptr ? hn::Zero(f32) : hn::LoadU(f32, b.bias + c);
      with_kind(s.stride_w, patch.across, [&](auto kind) HWY_ATTR {
        constexpr std::size_t samples = decltype(kind)::in.size();
        constexpr std::size_t outputs = decltype(kind)::out.size();
        for (std::size_t i = 0; i < patch.down; ++i) {
          V m[samples];
          V t[outputs];
          TL_UNROLL for (std::size_t j = 0; j < samples; ++j) m[j] = hn::Load(f32, lines.at[i][j]);
          times<decltype(kind)::out>(m, t);
          const std::size_t at = ((patch.image * s.out_h + patch.y + i) * s.out_w + patch.x) * s.out_c + c;
          TL_UNROLL for (std::size_t j = 0; j < outputs; ++j) {
            V value = hn::Add(t[j], bias);
            if (residual != nullptr) value = hn::Add(value, load(residual + at + j * s.out_c));
            store(activate(b.activation, value), y + at + j * s.out_c);
          }
        }
      });
    }
  }
}

template <class T, class Taps>
void weights_as(const T* taps, std::size_t depth, std::size_t width, float* out, std::size_t point_stride) {
  for (std::size_t k = 0; k < depth; ++k, taps += 9 * width, out += width) {
    for (std::size_t n = 0; n < width; n += lanes) {
      V lines[3][mixed_taps];
      TL_UNROLL for (std::size_t j = 0; j < 3; ++j) {
        V g[3];
        TL_UNROLL for (std::size_t i = 0; i < 3; ++i) g[i] = load(taps + (i * 3 + j) * width + n);
        Taps::transform(g, lines[j]);
      }
      TL_UNROLL for (std::size_t i = 0; i < mixed_taps; ++i) {
        const V g[3] = {lines[0][i], lines[1][i], lines[2][i]};
        V u[mixed_taps];
        Taps::transform(g, u);
        TL_UNROLL for (std::size_t j = 0; j < mixed_taps; ++j)
            hn::StoreU(u[j], f32, out + (i * mixed_taps + j) * point_stride + n);
      }
    }
  }
}

void weights(const void* taps, Storage storage, std::size_t stride, std::size_t depth, std::size_t width, float* out,
             std::size_t point_stride) {
  const auto as = [&](auto kind) HWY_ATTR {
    if (storage == Storage::f16) {
      weights_as<Half, decltype(kind)>(static_cast<const Half*>(taps), depth, width, out, point_stride);
    } else {
      weights_as<float, decltype(kind)>(static_cast<const float*>(taps), depth, width, out, point_stride);
    }
  };
  if (stride == 1) {
    as(OneTaps());
  } else {
    as(TwoTaps());
  }
}

}  // namespace

const MixedKernels& mixed_table() {
  static const MixedKernels table = {&patches_in, &patches_out, &weights};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(mixed_table);
const MixedKernels& mixed_kernels() { return HWY_DYNAMIC_DISPATCH(mixed_table)(); }
}  // namespace tl::cpu
#endif
