#pragma once

#include <cstddef>

namespace tl::cpu {

struct PeakLoops {
  float (*multiply_add)(std::size_t times);                    // each time `operations`, in registers
  void (*scale)(const float* x, float* y, std::size_t count);  // y = x * 1.5; count a multiple of 64
  double operations;
  const char* target;
};
PeakLoops peak_loops();

}  // namespace tl::cpu
