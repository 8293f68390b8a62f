#pragma once

#include <cstdint>
#include <vector>

#include "ir/program.hpp"

namespace tl::insight {

// A place to cut a function in two: after an op of its outermost block.
struct Cut {
  const ir::Op* after = nullptr;
  std::uint64_t weights_before = 0;  // bytes of constants that ops up to there read first
  std::uint64_t crossing_bytes = 0;  // of values that are made before and read after
};

// Cuts that leave parts of at most `part_bytes` of weights, each at the narrowest border within a fifth of a part. Empty when
// the weights fit into one.
std::vector<Cut> cuts(const ir::Function& function, std::uint64_t part_bytes);

}  // namespace tl::insight
