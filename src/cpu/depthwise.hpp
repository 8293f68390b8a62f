#pragma once

#include "cpu/im2col.hpp"

namespace tl::cpu {

// A depthwise convolution of output rows [row_begin, row_end) of one image and the channels [channel, channel + channels), at
// most `depthwise_channels`.
struct DepthwiseArgs {
  const ConvShape* shape;  // groups == in_c == out_c
  const void* x;
  Storage storage;
  void* y;
  const void* residual;  // as y, or null
  const float* weight;   // of this chunk: [kernel_h * kernel_w][depthwise_channels]
  const float* bias;     // of this chunk: [depthwise_channels]
  ActivationSpec activation;
  std::size_t image, row_begin, row_end, channel, channels;
  float* scratch;  // depthwise_scratch(shape) floats, 64-byte aligned
};

constexpr std::size_t depthwise_channels = 32;

// Columns of a padded row that windows reach.
constexpr std::size_t depthwise_columns(const ConvShape& s) {
  return (s.out_w - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1;
}
// A ring of as many padded rows as a window spans.
constexpr std::size_t depthwise_scratch(const ConvShape& s) {
  return ((s.kernel_h - 1) * s.dilation_h + 1) * depthwise_columns(s) * depthwise_channels;
}

using DepthwiseRows = void (*)(const DepthwiseArgs& args);
DepthwiseRows depthwise_kernel();

}  // namespace tl::cpu
