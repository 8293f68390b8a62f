#pragma once

#include <memory>
#include <span>

#include "ir/program.hpp"

namespace tl::plan {

// Evaluates every pure op whose inputs are constants, outputs of over `max_bytes` excepted (constexpr ops always), and
// removes ops whose results nobody reads. Types are refined on the way. Works in place, on the outermost block.
// `keep_compressed`: weights of convolutions and linear ops stay as constexpr ops, for kernels that read them so.
void fold_constants(ir::Function& function, std::size_t max_bytes, bool keep_compressed = false);

// A copy of a verified function for inputs of concrete types: extents are inferred anew, shape arithmetic is folded away. Ops
// without a definition keep their declared types.
std::unique_ptr<ir::Function> specialize(const ir::Function& function, std::span<const ir::Type> inputs,
                                         bool keep_compressed = false);

}  // namespace tl::plan
