#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.hpp"

namespace tl::cpu {

// What the machine reaches at best, with the threads of a pool.
struct Peak {
  double flops = 0;  // per second, float32 multiply-adds counted as two
  // Bytes per second that a loop reads and writes, by the bytes that it works on: caches first, memory last.
  std::vector<std::pair<double, double>> bandwidth;

  // Seconds that nothing on this machine could beat.
  double bound(double operations, double bytes) const;
};

// Takes about half a second.
Peak measure_peak(ThreadPool& pool);
// The instruction set that the measurement and the kernels use: "avx512".
std::string instruction_set();

}  // namespace tl::cpu
