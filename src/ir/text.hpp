#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "ir/program.hpp"

namespace tl::ir {

// Reads a constant of a weight file: file as the text spells it, offset, declared type.
using TextBlobReader = std::function<Tensor(const BlobRef&, DType, const Shape&)>;

// The text of `model.mil`, both dialects of scalars, and the dumps of the segmenter. Resolves names; does not verify ops.
// Without `blobs` the values of BLOBFILE constants stay empty. Throws Error{bad_model, limit} whose place is "line L, column
// C".
std::unique_ptr<Program> parse_mil(std::string_view text, const TextBlobReader& blobs = {});

struct PrintOptions {
  std::int64_t max_elements = -1;  // literals with more print as "..."; -1: none. Elided text can't be parsed.
};

// What `parse_mil` reads, in Apple's layout. Constants with a `blob` print as BLOBFILE.
std::string print_mil(const Program& program, const PrintOptions& options = {});

// Old constexpr ops carry their operands in the attribute list of the text; the IR keeps them as inputs.
bool operands_are_attributes(std::string_view op, std::string_view opset);

}  // namespace tl::ir
