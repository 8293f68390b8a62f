#pragma once

#include "cpu/im2col.hpp"

namespace tl::cpu {

// Pooling of output rows [row_begin, row_end), counted over all images, of channels-last images.
struct PoolArgs {
  const ConvShape* shape;  // in_c == out_c
  bool maximum;            // else the average
  bool exclude_padding;    // of the average
  std::ptrdiff_t pad_bottom, pad_right;
  const void* x;
  void* y;
  Storage storage;
  std::size_t row_begin, row_end;
};

using PoolRows = void (*)(const PoolArgs& args);
PoolRows pool_rows();

}  // namespace tl::cpu
