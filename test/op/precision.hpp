#pragma once

#include <string>
#include <vector>

namespace tl::test {

// What the CPU device makes of fp16 inputs against the reference in float32, rounded once.
struct Precision {
  std::string op;
  std::string family;
  double units = 0;       // the largest error in units of the last fp16 place
  double norm_error = 0;  // of the op in fp32: the norm of the error over the norm of the result, against double sums
  double bound = 0;       // of `units`, for the family
  std::size_t values = 0;
};

// Measures every op that has a sample and draws no random numbers, over `draws` random calls each. Those that only move, select
// or compare are of the family "exact", whose bound is 0. Errors of elements below a thousandth of an output's largest count in
// the units of that thousandth.
std::vector<Precision> measure_precision(int draws, unsigned seed);
// The same on shapes as networks have them, which take the kernels' other ways and make long sums; `op` names the shape too.
std::vector<Precision> measure_large_precision(unsigned seed);

}  // namespace tl::test
