#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/program.hpp"

namespace tl::ir {

// An op by name with its output types inferred; outputs are called `name` (`name_1`... after the first).
// Throws as infer_types does.
std::unique_ptr<Op> make_op(std::string_view type, std::vector<std::pair<std::string, Binding>> inputs, std::string name);

Binding text_binding(std::string value);
Binding ints_binding(const std::vector<std::int64_t>& values);
Binding float_binding(double value);
Binding bool_binding(bool value);

}  // namespace tl::ir
