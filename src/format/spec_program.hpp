#pragma once

#include <memory>
#include <string>

#include "format/spec_bytes.hpp"
#include "mil.pb.h"

namespace tl::format {

// MIL messages <-> IR. Reading checks names, counts and nesting; it does not verify ops. Throws Error{bad_model} with a path.
std::unique_ptr<ir::Program> read_program(const spec::MILSpec::Program& message, const BlobReader& blobs);

// Constants with a blob reference are written as one, all others with their values (see move_weights).
void write_program(const ir::Program& program, spec::MILSpec::Program& message);

// "CoreML7" <-> "ios17"; other names stay as they are.
std::string opset_from_spec(const std::string& name);
std::string opset_to_spec(const std::string& name);

}  // namespace tl::format
