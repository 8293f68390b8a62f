#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace tl::insight {

using Json = nlohmann::ordered_json;

// Counts of a constant's elements in equal bins from `low` to `high`.
struct Histogram {
  std::string name;  // "weight"
  std::string text;  // "fp16 [64, 3, 7, 7], 18.8 kB, mean 0.001, deviation 0.12"
  double low = 0;
  double high = 0;
  std::vector<std::uint64_t> bins;
};

struct GraphNode {
  std::string name;
  std::string type;                                          // what the box says: "conv", "input"
  std::vector<std::string> scope;                            // the groups around it, outermost first
  std::vector<std::pair<std::string, std::string>> details;  // rows of the panel that a click opens
  std::vector<Histogram> histograms;
};

// What one node gives and others read.
struct GraphValue {
  std::string label;  // "fp16 [1, 64, 56, 56]"
  std::size_t from = 0;
  std::vector<std::size_t> to;
};

// How nodes are coloured: by class (`classes`, `of_node` with -1 for none), or by a share from 0 to 1 (`heat`, NaN for none).
struct Colouring {
  struct Class {
    std::string name;
    std::string colour;  // "blue", "teal", "green", "yellow", "orange", "red", "pink", "purple", "gray"
  };
  std::string title;  // "unit", "time"
  std::vector<Class> classes;
  std::vector<int> of_node;
  std::vector<double> heat;
  std::string low, high;  // what 0 and 1 stand for: "0 ms", "1.4 ms"
};

struct Graph {
  std::string name;
  std::vector<GraphNode> nodes;  // in an order in which most values flow forward
  std::vector<GraphValue> values;
  std::vector<Colouring> colourings;  // the first one is shown first
};

// What page.js draws: the nodes, and per group its items in ranks (insight/layout.hpp).
Json graph_json(const Graph& graph);

}  // namespace tl::insight
