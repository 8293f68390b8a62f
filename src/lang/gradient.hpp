#pragma once

#include <unordered_map>

#include "lang/tensor_ops.hpp"

namespace tl::lang {

using Gradients = std::unordered_map<const TensorBox*, TensorPtr>;

// The gradients (float32) of a tensor of one element with respect to everything on the tape. Throws Error{unsupported} that
// names the operation which has no gradient.
Gradients gradients(TensorOps& ops, const TensorPtr& loss);

}  // namespace tl::lang
