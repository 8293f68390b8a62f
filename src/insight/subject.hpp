#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ir/model.hpp"
#include "tensorlogic/compare.hpp"

namespace tl::insight {

// A function of a model file, ready to be run op by op: verified, compressed weights decoded, random ops seeded.
struct Subject {
  std::string path;
  ir::Model model;
  const Interface* interface = nullptr;
  ir::Function* function = nullptr;                                   // of `model.program`
  std::vector<std::pair<ir::Op*, std::vector<ir::Argument>>> seeded;  // and what they were given in the file

  // Gives the random ops back what the file gives them.
  void restore();

  // Values for the function's inputs, in their order (empty ones for states). Inputs that it does not have are refused.
  std::vector<Value> inputs(const NamedValues& given) const;
};

Subject load_subject(const std::string& path, const std::string& function);

// The runs that the options ask for; what they lack is made up. Sets `made_up` when anything was.
std::vector<NamedValues> runs_of(const CompareOptions& options, const Interface& interface, bool& made_up);

// A result as one tensor: the numbers of a dictionary in their order; nothing for lists.
std::optional<Tensor> numbers_of(const Value& value);

}  // namespace tl::insight
