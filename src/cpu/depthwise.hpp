#pragma once

#include "cpu/im2col.hpp"

namespace tl::cpu {

// Where a row of the packed tiles of a product stands (see GemmBlock and DotBlock): the rows of the tiles before its own, where
// it begins in a block of 16 floats (or words), and the elements of such a block of all rows.
struct TileRow {
  std::uint32_t rows_before, first, step;
};

// Output pixels [first, last) of a depthwise convolution, counted over batch, rows and columns, and its channels
// [channel, channel + channels).
struct DepthwiseArgs {
  const ConvShape* shape;  // groups == in_c == out_c
  const void* x;
  Storage storage;
  const float* weight;  // from channel 0: blocks of 16 channels, [1 + kernel_h * kernel_w][16], the bias first
  ActivationSpec activation;
  std::size_t first, last, channel, channels;  // `channel` is a multiple of 16
  // Results go to images, or
  void* y;
  const void* residual;  // as y, or null
  // as floats to packed tiles whose depth starts at `channel`, or
  float* tiles;
  // as pairs of bf16 to those of DotBlock, where the machine has bf16;
  std::uint32_t* words;
  // one entry for each pixel from `first` on.
  const TileRow* tile_rows;
};

constexpr std::size_t depthwise_channels = 32;     // of a task: a cache line of float16
constexpr std::size_t depthwise_kernel_rows = 64;  // at most

using DepthwisePixels = void (*)(const DepthwiseArgs& args);
DepthwisePixels depthwise_kernel();

}  // namespace tl::cpu
