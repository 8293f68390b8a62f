#pragma once

#include "cpu/im2col.hpp"

namespace tl::cpu {

// Winograd's F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015): 36 products of
// transformed 6x6 patches with transformed weights give 4x4 outputs. All of it in float.
constexpr std::size_t winograd_output = 4;
constexpr std::size_t winograd_patch = 6;
constexpr std::size_t winograd_points = winograd_patch * winograd_patch;

// Patches [first, first + rows) of all images, counted row by row.
struct PatchBlock {
  const ConvShape* shape;
  const void* image;  // x when transforming in, y when transforming out
  Storage storage;
  std::size_t first, rows;
  std::size_t channel_begin, channel_end;  // multiples of 16
  float* values;                           // [36][point_stride]
  std::size_t point_stride;
  std::size_t tile_rows;  // transform in: each point holds GemmBlock::a for these rows
  // transform out: each point holds [rows][out_c]
  const float* bias;
  const void* residual;
  ActivationSpec activation;
};

struct WinogradKernels {
  void (*patches_in)(const PatchBlock& block);
  void (*patches_out)(const PatchBlock& block);
  // Weights [out_c][in_c][3][3] of `columns` <= panel output channels from `column` to panels [36][point_stride] of
  // [in_c][width].
  void (*weights)(const void* weight, Storage storage, const ConvShape& shape, std::size_t column, std::size_t columns,
                  std::size_t width, float* panels, std::size_t point_stride);
};
const WinogradKernels& winograd_kernels();

}  // namespace tl::cpu
