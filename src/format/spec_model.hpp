#pragma once

#include <span>
#include <string>

#include "format/spec_program.hpp"
#include "ir/model.hpp"
#include "model.pb.h"

namespace tl::format {

// A program model -> specification. Constants with a blob reference name it.
void write_spec(const ir::Model& model, spec::Model& message);

// The same message, the same bytes (maps in the order of their keys).
std::string serialize(const google::protobuf::MessageLite& message);

// Fills `tensors` and `info.quantization` from the constants of the program, and the class labels from its `classify` op.
void list_program_tensors(ir::Model& model);

}  // namespace tl::format
