#pragma once

#include <functional>
#include <span>

#include "ir/model.hpp"

namespace tl::format {

// Reads the blob of a program: file as the program spells it, offset, declared type.
using BlobReader = std::function<Tensor(const ir::BlobRef&, DType, const Shape&)>;

// The bytes of a model file -> model: description, program (translated where it is none), tensors, quantization.
// Depth and size are bounded before anything is built. `blobs` serves ML programs with a weight file.
ir::Model read_spec(std::span<const std::byte> bytes, const BlobReader& blobs);

}  // namespace tl::format
