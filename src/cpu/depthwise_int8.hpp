#pragma once

#include "cpu/im2col.hpp"
#include "cpu/level_finish.hpp"

namespace tl::cpu {

constexpr std::size_t level_channels = 64;  // of a chunk, zero weights past the last channel
constexpr std::size_t level_quad = 4;       // kernel rows that one word holds

// A depthwise convolution of levels: output rows [row_begin, row_end) of one image and the channels of one chunk.
struct DepthwiseLevels {
  const ConvShape* shape;      // groups == in_c == out_c
  const std::uint8_t* x;       // of the image, at the first channel
  std::uint8_t flip;           // what turns levels into unsigned ones (0 or 0x80),
  std::uint8_t zero;           // and what padding holds, unsigned
  std::size_t channels;        // of the chunk
  const std::int8_t* weights;  // of the chunk: [kernel_w][ceil(kernel_h / 4)][64 channels in the order of `slot`][4]
  const std::int32_t* start;   // 64 values that the sums start from, in that order
  const float *scale, *bias;   // LevelRow's, in that order; of at most 32 channels twice
  const LevelFinish* finish;
  LevelRow row;  // of the image's first output at the first channel
  std::size_t row_begin, row_end;
};

// Bytes of four rows interleave into words, lane by lane of 16: channel 16 L + 4 k + i goes to word 16 k + 4 L + i.
constexpr std::size_t level_slot(std::size_t channel) { return channel % 16 / 4 * 16 + channel / 16 * 4 + channel % 4; }

struct DepthwiseLevelKernels {
  const char* name;
  void (*rows)(const DepthwiseLevels& args);
};
const DepthwiseLevelKernels& depthwise_level_kernels();

}  // namespace tl::cpu
