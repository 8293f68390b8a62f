#pragma once

#include <array>
#include <cstdint>

#include "cpu/im2col.hpp"

namespace tl::cpu {

// 3x3 convolutions with strides of 1 or 2 as products of transformed patches, all in float. Each axis of the outputs is cut
// into segments of 4 and 3. A stride of 1 takes Winograd's F(4, 3) and F(3, 3), whose points are among those of F(4, 3). A
// stride of 2 takes F(4, 2) and F(3, 2) of the even samples with the outer taps, and the odd samples times the middle tap as
// they are. So an axis has six transformed taps, of which each segment meets some, and the plane has 36 matrices of weights.
constexpr std::size_t mixed_taps = 6;
constexpr std::size_t mixed_points = mixed_taps * mixed_taps;
constexpr std::size_t mixed_most = 9;  // samples of a segment, and as many transformed ones

// Transformed samples of a segment, as many as samples.
constexpr std::size_t mixed_samples(std::size_t stride, std::size_t outputs) {
  return stride == 1 ? outputs + 2 : 2 * outputs + 1;
}

// Where one transformed sample of a patch goes, floats: the left side of its matrix in tiles of GemmBlock::a, for chunks of the
// depth one after the other; and its row among all rows of sums.
struct MixedPlace {
  std::uint32_t first, chunk_step, block_step, row;
};

struct MixedPatch {
  std::size_t image, y, x;    // of the first output
  std::uint8_t down, across;  // outputs: 3 or 4
};

struct MixedBlock {
  const ConvShape* shape;
  const void* image;  // x when transforming in, y when transforming out; float16
  const MixedPatch* patches;
  const MixedPlace* places;  // mixed_most * mixed_most of each patch: [samples down][samples across]
  std::size_t count;
  std::size_t channel_begin, channel_end;  // multiples of 16
  float* values;
  std::size_t chunk;  // of the depth
  // transform out
  const float* bias;
  const void* residual;
  ActivationSpec activation;
};

struct MixedKernels {
  void (*patches_in)(const MixedBlock& block);
  void (*patches_out)(const MixedBlock& block);
  // Taps [depth][9][width] to [36][point_stride] of [depth][width].
  void (*weights)(const void* taps, Storage storage, std::size_t stride, std::size_t depth, std::size_t width, float* out,
                  std::size_t point_stride);
};
const MixedKernels& mixed_kernels();

}  // namespace tl::cpu
