#pragma once

#include "ir/program.hpp"

namespace tl::insight {

// True for `const` and for the ops that unpack a compressed weight: they give one value whatever the model is fed.
bool gives_constant(const ir::Op& op);
// The literal, the value of a `const`, or null.
ir::ConstantPtr literal_of(const ir::Binding& binding);
// The elements of a constant or unpacked weight (at most `max_elements` of them); undefined when it is none of these, too
// large, or packed in a way that we don't know.
Tensor value_of(const ir::Binding& binding, std::int64_t max_elements);

}  // namespace tl::insight
