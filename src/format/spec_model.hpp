#pragma once

#include <span>
#include <string>

#include "format/spec_program.hpp"
#include "ir/model.hpp"
#include "model.pb.h"

namespace tl::format {

// Parses the message of a model file. Depth and size are bounded before protobuf sees the bytes. Throws Error{bad_file}.
void parse_spec(std::span<const std::byte> bytes, spec::Model& message);

// A specification -> model: description, program (translated where it is none), tensors, quantization.
// `blobs` serves ML programs with a weight file.
ir::Model read_spec(const spec::Model& message, const BlobReader& blobs);

// A program model -> specification. Constants with a blob reference name it.
void write_spec(const ir::Model& model, spec::Model& message);

// The same message, the same bytes (maps in the order of their keys).
std::string serialize(const google::protobuf::MessageLite& message);

// Fills `tensors` and `info.quantization` from the constants of the program, and the class labels from its `classify` op.
void list_program_tensors(ir::Model& model);

}  // namespace tl::format
