#pragma once

#include <string>

#include "ir/model.hpp"
#include "lang/interpreter_impl.hpp"

namespace tl::lang {

// The ML program of a struct's `forward(self, ...)` or of a function: the computation for inputs of the declared types (element
// type and fixed extents), traced once and held against the script for other inputs. Results are called `output`, by their
// field, or output_0, ...; weights by the path of their field. Throws Error{script, unsupported} where the script can't be such
// a program: open extents, a path that depends on the values of the inputs, an op without a place in MIL.
ir::Model export_program(Interpreter::Impl& session, const Datum& source);

}  // namespace tl::lang
