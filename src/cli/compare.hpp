#pragma once

#include <string>
#include <vector>

#include "tensorlogic/model.hpp"

namespace tl::cli {

struct Comparison {
  std::string name;
  bool passed = false;
  std::string problem;       // shapes that differ, a missing output; empty when numbers were compared
  std::int64_t count = 0;    // numbers compared
  std::int64_t outside = 0;  // of them outside the tolerance
  double max_absolute = 0;   // largest |value - expected|
  std::int64_t worst = 0;    // where it is
  double value = 0, expected = 0;
};

// |value - expected| <= atol + rtol * |expected| for every number; NaN agrees with NaN only, infinities with themselves. A
// classifier's dictionary is compared with a tensor in the order of its labels.
Comparison compare(const std::string& name, const Value& value, const Tensor& expected, double atol, double rtol);

// The reference file against the outputs: every output that the file names, or its only array against the only output (or the
// only one of its size). Throws Error{invalid_argument} when nothing in the file is an output.
std::vector<Comparison> compare_with_file(const NamedValues& outputs, const std::string& path, double atol, double rtol);

}  // namespace tl::cli
