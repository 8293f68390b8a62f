#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "ir/model.hpp"

namespace tl::format {

// Reads the blob of a program: file as the program spells it, offset, declared type.
using BlobReader = std::function<Tensor(const ir::BlobRef&, DType, const Shape&)>;

// Where a specification stands: linked models are looked for from there. Without a folder it stands in memory.
struct SpecPlace {
  std::optional<std::string> folder;
  bool copy = false;
  int links = 0;         // how many links led here
  bool lenient = false;  // see ReadOptions
};

// The bytes of a model file -> model: description, program (translated where it is none), tensors, quantization.
// Depth and size are bounded before anything is built. `blobs` serves ML programs with a weight file.
ir::Model read_spec(std::span<const std::byte> bytes, const BlobReader& blobs, const SpecPlace& place = {});

}  // namespace tl::format
