#pragma once

#include "ir/program.hpp"

namespace tl::plan {

// What one evaluation of an op takes. Unknown extents count as 1.
struct Cost {
  double flops = 0;    // floating-point operations; a multiplication with its addition are two
  double read = 0;     // bytes of the arguments, weights included as they are stored; of a gather what it picks
  double written = 0;  // bytes of the results; of a state that changes in place what is put there
};
// Nothing for constants and for ops that only give their bytes another shape.
Cost cost_of(const ir::Op& op);

}  // namespace tl::plan
