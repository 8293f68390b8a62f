#pragma once

#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/op_def.hpp"

namespace tl::plan {

using StateCells = std::unordered_map<const ir::Var*, ir::StateCell*>;
// The value of a variable outside the block that is run.
using OuterLookup = std::function<Value(const ir::Var&)>;

// Runs one op through its reference; nested blocks are interpreted op by op.
std::vector<Value> interpret_op(const ir::Op& op, const OuterLookup& lookup, const StateCells& states);

// Runs a block on `args` (parallel to its params) and returns its outputs.
std::vector<Value> interpret_block(const ir::Block& block, std::span<const Value> args, const OuterLookup& outer,
                                   const StateCells& states);

}  // namespace tl::plan
