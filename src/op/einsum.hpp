#pragma once

#include <vector>

#include "ir/op_def.hpp"

namespace tl::op {

// An equation with one label per axis; the axes of "..." have labels of their own (256 and up, counted from the last axis).
struct Equation {
  std::vector<std::vector<int>> operands;
  std::vector<int> result;
};

// The equation of an `einsum` of operands of these ranks; throws Error{bad_model} that names the parameter.
Equation parse_equation(const ir::OpView& c, const std::vector<std::size_t>& ranks);

}  // namespace tl::op
