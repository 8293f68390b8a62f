#pragma once

#include <functional>
#include <string>

#include "ir/model.hpp"
#include "model.pb.h"

namespace tl::format {

// Reads the model that a linked model names.
using LinkReader = std::function<ir::Model(const spec::LinkedModelFile&)>;

// The path of a linked file: searched in the places of its search path (separated by ':', relative ones below `folder`); where
// a compiled model is missing, the .mlpackage or .mlmodel of that name takes its place. Throws Error{not_found} that lists what
// was tried.
std::string find_linked(const spec::LinkedModelFile& link, const std::string& folder);

}  // namespace tl::format
