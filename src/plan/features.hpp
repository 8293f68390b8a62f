#pragma once

#include "ir/program.hpp"
#include "tensorlogic/feature.hpp"
#include "tensorlogic/value.hpp"

namespace tl::plan {

// A caller's value as the function's input: arrays cast to the dtype of `target` and held against the declared shapes, pixels
// laid out as [1, channels, height, width]. Throws Error{invalid_argument} that names the feature.
Value to_input(const Feature& feature, const Value& given, const ir::Type& target);

// A function's output as the interface declares it: arrays of the declared dtype and at least rank 1, images as u8 pixels.
Value to_output(const Feature& feature, const Value& computed);

// "[1, 3, 224, 224]", "[1...4096, 1024]", "one of [1, 8], [1, 16]", "224 x 224 RGB image"
std::string describe(const Feature& feature);

}  // namespace tl::plan
