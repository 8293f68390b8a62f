#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tensorlogic/feature.hpp"

namespace tl::cli {

nlohmann::ordered_json to_json(const Feature& feature);
// Indented, a line break at its end; what is not UTF-8 is replaced.
std::string pretty(const nlohmann::ordered_json& json);
// "iOS 16, macOS 13" for a specification version; empty for unknown ones.
std::string lowest_system(int specification_version);

}  // namespace tl::cli
