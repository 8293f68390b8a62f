#pragma once

#include <algorithm>
#include <cmath>
#include <span>

namespace tl {

// No value is infinite or not a number.
inline bool all_finite(std::span<const float> values) noexcept {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace tl
