#pragma once

#include "cpu/im2col.hpp"

namespace tl::cpu {

// A depthwise convolution of output rows [row_begin, row_end) of one image and the channels [channel, channel + channels).
struct DepthwiseArgs {
  const ConvShape* shape;  // groups == in_c == out_c
  const void* x;
  Storage storage;
  void* y;
  const void* residual;  // as y, or null
  const float* weight;   // of this chunk: [kernel_h * kernel_w][stride]
  const float* bias;     // of this chunk: [stride]
  std::size_t stride;
  ActivationSpec activation;
  std::size_t image, row_begin, row_end, channel, channels;
};

constexpr std::size_t depthwise_channels = 32;     // of a chunk; the last one has at most half as many more
constexpr std::size_t depthwise_kernel_rows = 64;  // at most

using DepthwiseRows = void (*)(const DepthwiseArgs& args);
DepthwiseRows depthwise_kernel();

}  // namespace tl::cpu
