#pragma once

#include <string>
#include <vector>

#include "cli/command.hpp"
#include "insight/made_inputs.hpp"

namespace tl::cli {

struct InputArguments {
  std::vector<std::string> specs;  // NAME=FILE, NAME=JSON or FILE
  std::string fit = "crop";        // crop, stretch or exact: how images come to the model's size
};
void add_inputs(Command command, InputArguments& arguments);

// Reads what the specs name and brings it into the form that the inputs take. Throws Error{invalid_argument, not_found, ...}.
NamedValues read_inputs(const InputArguments& arguments, const Interface& interface, const Context& context);
using insight::fill_inputs;

}  // namespace tl::cli
