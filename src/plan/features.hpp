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

}  // namespace tl::plan
