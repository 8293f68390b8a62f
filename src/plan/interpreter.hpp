#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/op_def.hpp"

namespace tl::plan {

using StateCells = std::unordered_map<const ir::Var*, ir::StateCell*>;
// The value of a variable outside the block that is run.
using OuterLookup = std::function<Value(const ir::Var&)>;

// What one prediction may use up, from now on.
class Limits {
 public:
  // Seconds; 0: as the knob `time_limit` says.
  explicit Limits(double seconds = 0);

  // Throw Error{limit}: after more rounds than the knob `loop_limit` allows, after the time is over.
  void count_round();
  void check_time() const;

 private:
  std::int64_t rounds_ = 0;
  double seconds_;
  std::optional<std::chrono::steady_clock::time_point> end_;
};

// The cell of the state that an op's `param` names. Throws Error{invalid_argument} where the caller gave none.
ir::StateCell& state_cell(const ir::Op& op, std::string_view param, const StateCells& states);

// Runs one op through its reference; nested blocks are interpreted op by op.
std::vector<Value> interpret_op(const ir::Op& op, const OuterLookup& lookup, const StateCells& states, Limits& limits);

// Runs a block on `args` (parallel to its params) and returns its outputs.
std::vector<Value> interpret_block(const ir::Block& block, std::span<const Value> args, const OuterLookup& outer,
                                   const StateCells& states, Limits& limits);

}  // namespace tl::plan
