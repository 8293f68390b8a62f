#pragma once

#include <unordered_map>

#include "ir/program.hpp"

namespace tl::insight {

using Matches = std::unordered_map<const ir::Op*, const ir::Op*>;

// Which op of `b` does what an op of `a` does: ops of one type whose results bear the same name (what coremltools appends for
// float16 does not count), then ops of one type that are reached from the inputs in the same way. Outermost blocks; constants
// are left out.
Matches match(const ir::Function& a, const ir::Function& b);

// "y_cast_fp16" -> "y"
std::string plain_name(std::string name);

}  // namespace tl::insight
