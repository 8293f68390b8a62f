#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ir/program.hpp"

namespace tl::format {

// Moves the whole weights of a program into a weight file: their constants name it ("@model_path/weights/" and `file`) and an
// offset. Returns the file's bytes, none when there are no weights. Refuses ops of the dialect `tl.` by name.
std::vector<std::byte> move_weights(ir::Program& program, const std::string& file = "weight.bin");

}  // namespace tl::format
