#pragma once

#include <string>
#include <utility>
#include <vector>

#include "insight/graph.hpp"
#include "ir/model.hpp"

namespace tl::insight {

struct OpChange {
  std::string function;
  std::string op_a, op_b;                                 // names; one is empty when the op is in the other model only
  std::string type;                                       // "conv", or "conv -> linear"
  std::vector<std::pair<std::string, std::string>> what;  // parameter, output or attribute: "[1, 1] -> [2, 2]"
};

struct WeightChange {
  std::string function, op, param;
  std::string type_a, type_b;
  std::int64_t count = 0;  // elements; 0 when shapes differ and there is nothing to compare
  std::int64_t differing = 0;
  double largest = 0, mean = 0;  // of |a - b|
  double relative = 0;           // root mean square of a - b over that of a
};

struct ModelDiff {
  std::vector<std::pair<std::string, std::string>> metadata;   // "author": "a -> b"
  std::vector<std::pair<std::string, std::string>> interface;  // "main: input x": "fp16 [1, 3] -> fp32 [1, 3]"
  std::vector<std::string> functions_added, functions_removed;
  std::vector<OpChange> added, removed, changed;
  std::vector<WeightChange> weights;
  std::size_t ops_a = 0, ops_b = 0, ops_matched = 0, ops_renamed = 0;
  std::vector<std::string> tensors;  // of files without a program: what differs

  bool same() const noexcept;
};

// What differs from A to B. Ops are matched by name and type, then by what they read and are; compressed weights are compared
// by the values that they stand for. Models that cannot run are compared as well.
ModelDiff diff_models(const ir::Model& a, const ir::Model& b);

std::string diff_text(const ModelDiff& diff, const std::string& a, const std::string& b);
Json diff_json(const ModelDiff& diff, const std::string& a, const std::string& b);
// A page: figures, tables, and the graph of B with what is new and changed.
std::string diff_html(const ModelDiff& diff, const ir::Model& a, const ir::Model& b);

}  // namespace tl::insight
