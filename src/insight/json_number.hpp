#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

namespace tl::insight {

// JSON has no infinities: null for what is not finite.
inline nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace tl::insight
