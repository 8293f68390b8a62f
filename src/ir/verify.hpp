#pragma once

#include "ir/program.hpp"

namespace tl::ir {

// Resolves `Op::def`, checks that every variable is defined before its use and named once, that arguments fit their definitions
// and that inferred output types agree with the declared ones (which they refine: known extents replace unknown ones).
// Throws Error{bad_model, unsupported} with function, op and parameter in its path.
void verify(Program& program);
void verify(Function& function);

}  // namespace tl::ir
