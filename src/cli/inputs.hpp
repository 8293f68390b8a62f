#pragma once

#include <string>
#include <vector>

#include "cli/command.hpp"

namespace tl::cli {

struct InputArguments {
  std::vector<std::string> specs;  // NAME=FILE, NAME=JSON or FILE
  std::string fit = "crop";        // crop, stretch or exact: how images come to the model's size
};
void add_inputs(CLI::App& command, InputArguments& arguments);

// Reads what the specs name and brings it into the form that the inputs take. Throws Error{invalid_argument, not_found, ...}.
NamedValues read_inputs(const InputArguments& arguments, const Interface& interface, const Context& context);
// Repeatable made-up values of the declared (default) shapes for the inputs that `given` lacks: noise for arrays and images.
void fill_inputs(NamedValues& given, const Interface& interface);

}  // namespace tl::cli
