#pragma once

#include <memory>
#include <vector>

#include "ir/program.hpp"
#include "tensorlogic/feature.hpp"

namespace tl::ir {

// A model file after reading.
struct Model {
  ModelInfo info;
  std::unique_ptr<Program> program;   // null for plain tensor files
  std::vector<StoredTensor> tensors;  // sorted by name
  std::string refusal;                // why a Core ML model does not run: it has no program, or not all of it
};

}  // namespace tl::ir
