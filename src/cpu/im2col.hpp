#pragma once

#include <cstddef>

#include "cpu/gemm.hpp"

namespace tl::cpu {

// A convolution over channels-last images, as sizes. A matrix product is one of 1 x 1 with stride 1 and no padding.
struct ConvShape {
  std::size_t batch = 1, in_h = 1, in_w = 1, in_c = 0;
  std::size_t out_h = 1, out_w = 1, out_c = 0;
  std::size_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  std::ptrdiff_t pad_top = 0, pad_left = 0;
  std::size_t groups = 1;

  std::size_t rows() const { return batch * out_h * out_w; }
  std::size_t depth() const { return kernel_h * kernel_w * (in_c / groups); }
  bool pointwise() const {
    return kernel_h * kernel_w == 1 && stride_h * stride_w == 1 && pad_top == 0 && pad_left == 0 && in_h == out_h &&
           in_w == out_w;
  }
};

struct PackArgs {
  const ConvShape* shape;
  const void* x;
  Storage storage;
  std::size_t group;
  std::size_t first, count;        // output pixels
  float* tile;                     // as GemmBlock::a has it
  std::size_t depth_first, depth;  // the part of the depth to pack; all of it unless the convolution is pointwise
  float* row;                      // pack_scratch(shape) floats; unused where the convolution is pointwise
};

// Rows of a tile that are gathered before they are spread: a store that is read back at once in other pieces would stall.
inline std::size_t gathered_rows(const ConvShape& s) { return s.depth() <= 256 ? 16 : 1; }
inline std::size_t pack_scratch(const ConvShape& s) { return gathered_rows(s) * (padded_depth(s.depth()) + depth_block); }

// Packs the windows of output pixels [first, first + count) as one tile; depth runs over (kernel row, kernel column, channel).
using PackTile = void (*)(const PackArgs& args);
PackTile pack_tile_kernel();

}  // namespace tl::cpu
