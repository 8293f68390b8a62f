#pragma once

#include <string>
#include <vector>

#include "ir/model.hpp"

namespace tl::format {

// A package that holds a pipeline of program models, each of which reads the pipeline's inputs and what those before it give,
// by name. `info` describes the whole. Written as the other writers of format.hpp do.
void write_pipeline(const ModelInfo& info, const std::vector<ir::Model>& parts, const std::string& path);

}  // namespace tl::format
