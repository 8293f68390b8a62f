#pragma once

#include <functional>
#include <memory>

#include "ir/program.hpp"
#include "mil.pb.h"

namespace tl::format {

// Reads the blob of a program: file as the program spells it, offset, declared type.
using BlobReader = std::function<Tensor(const ir::BlobRef&, DType, const Shape&)>;

// MIL messages <-> IR. Reading checks names, counts and nesting; it does not verify ops. Throws Error{bad_model} with a path.
std::unique_ptr<ir::Program> read_program(const spec::MILSpec::Program& message, const BlobReader& blobs);

// `place` decides for each constant of whole weights whether it goes to the weight file (an offset) or stays in the message.
using BlobPlacer = std::function<std::optional<ir::BlobRef>(const ir::Constant&)>;
void write_program(const ir::Program& program, const BlobPlacer& place, spec::MILSpec::Program& message);

}  // namespace tl::format
