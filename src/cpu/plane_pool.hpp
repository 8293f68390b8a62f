#pragma once

#include <cstddef>
#include <cstdint>

namespace tl::cpu {

enum class Pool : std::uint8_t { max, average, l2 };

struct PlanePools {
  // Splits a row: phase p of `stride` takes the elements p, p + stride... to phases + p * length.
  void (*split)(const float* in, std::size_t count, std::size_t stride, float* phases, std::size_t length);
  // One tap of all windows of a row: sums[i] takes in from[i].
  void (*meet)(Pool kind, const float* from, float* sums, std::size_t count);
  // sums[i] / (outer * areas[i]) of an average, the root of an l2 pool.
  void (*finish)(Pool kind, float* sums, float outer, const float* areas, std::size_t count);
};
const PlanePools& plane_pools();

}  // namespace tl::cpu
