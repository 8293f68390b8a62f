#pragma once

#include <string>
#include <vector>

#include "insight/graph.hpp"

namespace tl::insight {

// The graphs as one picture, below each other, every node shown; colours of the first colouring, dark where the viewer is.
std::string graph_svg(const std::vector<Graph>& graphs);

}  // namespace tl::insight
