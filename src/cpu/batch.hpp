#pragma once

#include <cstddef>
#include <vector>

#include "tensorlogic/tensor.hpp"

namespace tl::cpu {

// Where the matrices of a broadcast batch start: offset of matrix `i` of an operand whose leading extents are `dims`, in
// matrices.
inline std::size_t batch_offset(const std::vector<std::int64_t>& out, const std::vector<std::int64_t>& dims, std::size_t i) {
  std::size_t offset = 0;
  std::size_t step = 1;
  for (std::size_t k = 0; k < out.size(); ++k) {
    const auto extent = static_cast<std::size_t>(out[out.size() - 1 - k]);
    const std::size_t position = i % extent;
    i /= extent;
    if (k >= dims.size()) continue;
    const auto own = static_cast<std::size_t>(dims[dims.size() - 1 - k]);
    if (own != 1) offset += position * step;
    step *= own;
  }
  return offset;
}

}  // namespace tl::cpu
