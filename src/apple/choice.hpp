#pragma once

#include <span>
#include <vector>

#include "apple/cost.hpp"

namespace tl::apple {

// An op in the order of the program: where it may run, what it would cost there.
struct Candidate {
  Units units = all_units;
  Estimates ms{};
};

struct Placement {
  std::vector<Backend> chosen;  // parallel to the candidates
  double total_ms = 0;          // ops, launches, switches and the hand-over of the result
  int segments = 0;             // runs of ops on the Neural Engine
};

// The cheapest way through the program: the sum of the estimates, a launch where a segment of a backend begins, a switch where
// the backend changes, a switch where the last op is not on the CPU. `allowed` are the compute units; the CPU always is.
Placement place(std::span<const Candidate> ops, Units allowed);

}  // namespace tl::apple
