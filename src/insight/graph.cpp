#include "insight/graph.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "insight/json_number.hpp"
#include "insight/layout.hpp"

namespace tl::insight {
namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);

// What stands in a group: a node, a group, a dummy of a long edge, or the place in its border where a value enters or leaves.
enum Kind : int { node_item, group_item, dummy_item, in_item, out_item };
struct Item {
  Kind kind = node_item;
  std::size_t index = 0;  // of the node, group or value
  friend bool operator<(const Item& a, const Item& b) { return std::pair(a.kind, a.index) < std::pair(b.kind, b.index); }
};

struct Group {
  std::string name;
  std::size_t parent = none;
  std::size_t depth = 0;
  std::size_t nodes = 0;  // inside, at any depth
  std::vector<Item> children;
  std::vector<std::pair<Item, Item>> edges;
  std::vector<std::size_t> edge_values;
  std::map<std::string, std::size_t> groups;
};

class Builder {
 public:
  explicit Builder(const Graph& graph) : graph_(graph), groups_(1) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) add_node(i);
    for (std::size_t v = 0; v < graph.values.size(); ++v) {
      for (const std::size_t to : graph.values[v].to) add_edge(v, graph.values[v].from, to);
    }
  }

  Json json() const {
    Json groups = Json::array();
    for (const Group& group : groups_) groups.push_back(group_json(group));
    return groups;
  }

 private:
  void add_node(std::size_t index) {
    std::size_t at = 0;
    ++groups_[0].nodes;
    for (const std::string& name : graph_.nodes[index].scope) {
      const auto [found, fresh] = groups_[at].groups.emplace(name, groups_.size());
      const std::size_t next = found->second;
      if (fresh) {
        groups_[at].children.push_back({group_item, next});
        Group group;
        group.name = name;
        group.parent = at;
        group.depth = groups_[at].depth + 1;
        groups_.push_back(std::move(group));
      }
      at = next;
      ++groups_[at].nodes;
    }
    groups_[at].children.push_back({node_item, index});
    home_.push_back(at);
  }

  void link(std::size_t group, Item from, Item to, std::size_t value) {
    groups_[group].edges.emplace_back(from, to);
    groups_[group].edge_values.push_back(value);
  }

  void add_edge(std::size_t value, std::size_t from, std::size_t to) {
    Item a{node_item, from}, b{node_item, to};
    std::size_t above = home_[from], below = home_[to];
    while (above != below) {
      if (groups_[above].depth >= groups_[below].depth) {
        link(above, a, {out_item, value}, value);
        a = {group_item, above};
        above = groups_[above].parent;
      } else {
        link(below, {in_item, value}, b, value);
        b = {group_item, below};
        below = groups_[below].parent;
      }
    }
    link(above, a, b, value);
  }

  static Json group_json(const Group& group) {
    // Values that enter come first, those that leave last.
    std::vector<Item> items;
    for (const auto& edge : group.edges) {
      if (edge.first.kind == in_item) items.push_back(edge.first);
    }
    const auto unique_from = [&](std::size_t start) {
      const auto begin = items.begin() + static_cast<std::ptrdiff_t>(start);
      std::sort(begin, items.end());
      items.erase(std::unique(begin, items.end(), [](const Item& a, const Item& b) { return a.index == b.index; }),
                  items.end());
    };
    unique_from(0);
    std::vector<Pin> pins(items.size(), Pin::top);
    items.insert(items.end(), group.children.begin(), group.children.end());
    pins.resize(items.size(), Pin::none);
    const std::size_t start = items.size();
    for (const auto& edge : group.edges) {
      if (edge.second.kind == out_item) items.push_back(edge.second);
    }
    unique_from(start);
    pins.resize(items.size(), Pin::bottom);
    std::map<Item, std::size_t> index;
    for (std::size_t i = 0; i < items.size(); ++i) index[items[i]] = i;
    std::vector<LayoutEdge> edges;
    for (std::size_t e = 0; e < group.edges.size(); ++e) {
      edges.push_back({index.at(group.edges[e].first), index.at(group.edges[e].second), group.edge_values[e]});
    }
    const auto key = [](const LayoutEdge& edge) { return std::tuple(edge.from, edge.value, edge.to); };
    std::sort(edges.begin(), edges.end(), [&](const LayoutEdge& a, const LayoutEdge& b) { return key(a) < key(b); });
    edges.erase(
        std::unique(edges.begin(), edges.end(), [&](const LayoutEdge& a, const LayoutEdge& b) { return key(a) == key(b); }),
        edges.end());
    const Layered layered = layer(pins, edges);
    for (const std::size_t value : layered.dummies) items.push_back({dummy_item, value});

    Json json = {{"name", group.name}, {"nodes", group.nodes}, {"items", Json::array()}, {"ranks", layered.ranks}};
    json["parent"] = group.parent == none ? Json(nullptr) : Json(group.parent);
    for (const Item& item : items) json["items"].push_back({static_cast<int>(item.kind), item.index});
    const auto list = [](const std::vector<LayoutEdge>& from) {
      Json edges_json = Json::array();
      for (const LayoutEdge& edge : from) edges_json.push_back({edge.from, edge.to, edge.value});
      return edges_json;
    };
    json["segments"] = list(layered.segments);
    json["distant"] = list(layered.distant);
    return json;
  }

  const Graph& graph_;
  std::vector<Group> groups_;
  std::vector<std::size_t> home_;  // the group of each node
};

}  // namespace

Json graph_json(const Graph& graph) {
  Json json = {{"name", graph.name}, {"nodes", Json::array()}, {"values", Json::array()}, {"colourings", Json::array()}};
  for (const GraphNode& node : graph.nodes) {
    Json entry = {{"name", node.name}, {"type", node.type}};
    if (!node.details.empty()) entry["details"] = node.details;
    for (const Histogram& histogram : node.histograms) {
      entry["histograms"].push_back({{"name", histogram.name},
                                     {"text", histogram.text},
                                     {"low", json_number(histogram.low)},
                                     {"high", json_number(histogram.high)},
                                     {"bins", histogram.bins}});
    }
    json["nodes"].push_back(std::move(entry));
  }
  for (const GraphValue& value : graph.values)
    json["values"].push_back({{"label", value.label}, {"from", value.from}, {"to", value.to}});
  for (const Colouring& colouring : graph.colourings) {
    Json entry = {{"title", colouring.title}};
    if (colouring.heat.empty()) {
      entry["classes"] = Json::array();
      for (const auto& one : colouring.classes) entry["classes"].push_back({{"name", one.name}, {"colour", one.colour}});
      entry["of"] = colouring.of_node;
    } else {
      entry["heat"] = Json::array();
      for (const double heat : colouring.heat) entry["heat"].push_back(json_number(heat));
      entry["low"] = colouring.low;
      entry["high"] = colouring.high;
    }
    json["colourings"].push_back(std::move(entry));
  }
  json["groups"] = Builder(graph).json();
  return json;
}

}  // namespace tl::insight
