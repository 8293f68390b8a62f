#pragma once

#include <unordered_map>

#include "insight/graph.hpp"
#include "ir/program.hpp"

namespace tl::insight {

struct ModelGraph {
  Graph graph;
  std::unordered_map<const ir::Op*, std::size_t> nodes;  // of the ops that are shown: all but constants and packed weights
};

// The graph of a function as it stands, verified or not: inputs, ops, nested blocks as groups, outputs; coloured by family.
// `weights`: histograms of the constants too (of a sample where they are large).
ModelGraph model_graph(const ir::Function& function, bool weights = true);

// One graph per function of the program.
std::vector<ModelGraph> model_graphs(const ir::Program& program, bool weights = true);

// Gives the nodes of a function that was rewritten the groups that its original has, by name; what is new joins its neighbour.
void copy_scopes(const ir::Function& original, ModelGraph& rewritten);

// "fp16 [1, 64, 56, 56]" for "tensor<fp16, [1, 64, 56, 56]>"; other types as they print.
std::string short_type(const ir::Type& type);
// A constant in a few words: small ones by value, others by type.
std::string constant_text(const ir::Constant& constant);
// The distribution of a constant's elements; no bins when they are few, or no numbers.
Histogram histogram_of(const std::string& name, const Tensor& values);

}  // namespace tl::insight
