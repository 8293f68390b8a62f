#pragma once

#include <string>

#include "ir/program.hpp"

namespace tl::op {

// The lowest opset of ML programs ("ios15" to "ios18") whose definitions take the ops of a verified function, with the
// arguments that are bound and their types.
std::string lowest_opset(const ir::Function& function);

}  // namespace tl::op
