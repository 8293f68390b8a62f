#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/model.hpp"

namespace tl::insight {

// A model of the part of `function` that computes `outputs` when `inputs` are given (variables of the outermost block or inputs
// of the function, by name). It holds the states that its ops work on, and with a state all ops that do. Throws
// Error{not_found} for a name that there is none of (similar ones are named), Error{invalid_argument} when the outputs need an
// input that is not given or a value cannot stand at a model's border (its type, or a shape that is not fixed).
ir::Model cut_out(const ir::Model& model, const ir::Function& function, const Interface& interface,
                  const std::vector<std::string>& inputs, const std::vector<std::string>& outputs);

// Where a function may be cut: after op `op` of the outermost block, `values` cross the cut.
struct Border {
  std::size_t op = 0;
  std::uint64_t bytes = 0;  // of the values; inputs of the function are at hand anyway and count nothing
  std::vector<const ir::Var*> values;
};

// The first and the last op of the outermost block that work on a state.
struct Span {
  const ir::Var* state = nullptr;
  std::size_t first = 0, last = 0;
};
std::vector<Span> state_spans(const ir::Function& function);

// All places between ops at which every crossing value can stand at a model's border, and which no state spans.
std::vector<Border> borders(const ir::Function& function);
// Bytes of the constants, as stored, that ops [first, last] of the outermost block read.
std::uint64_t weight_bytes(const ir::Function& function, std::size_t first, std::size_t last);

// What ops [first, end) of the outermost block read that is neither a constant nor a state, each once.
std::vector<const ir::Var*> read_by(const ir::Function& function, std::size_t first, std::size_t end);
// Inputs of the function that these values depend on.
std::vector<std::string> inputs_for(const ir::Function& function, const std::vector<std::string>& outputs);

}  // namespace tl::insight
