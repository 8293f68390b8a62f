#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "insight/diff.hpp"
#include "insight/json_number.hpp"
#include "insight/model_graph.hpp"
#include "insight/page.hpp"

namespace tl::insight {
namespace {

std::string op_name(const OpChange& change) {
  if (change.op_a.empty()) return change.op_b;
  if (change.op_b.empty() || change.op_a == change.op_b) return change.op_a;
  return change.op_a + " -> " + change.op_b;
}

std::string joined(const std::vector<std::pair<std::string, std::string>>& what) {
  std::vector<std::string> parts;
  parts.reserve(what.size());
  for (const auto& [name, value] : what) parts.push_back(fmt::format("{}: {}", name, value));
  return tl::joined(parts, "; ");
}

std::string section(const std::string& title, const std::vector<std::vector<std::string>>& rows,
                    const std::vector<std::size_t>& right = {}) {
  return rows.size() <= 1 ? "" : "\n" + title + "\n" + text_table(rows, right);
}

Json changes_json(const std::vector<OpChange>& changes) {
  Json list = Json::array();
  for (const OpChange& change : changes) {
    Json entry = {{"function", change.function}, {"type", change.type}};
    if (!change.op_a.empty()) entry["a"] = change.op_a;
    if (!change.op_b.empty()) entry["b"] = change.op_b;
    if (!change.what.empty()) {
      entry["what"] = Json::object();
      for (const auto& [name, value] : change.what) entry["what"][name] = value;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json object = Json::object();
  for (const auto& [name, value] : pairs) object[name] = value;
  return object;
}

}  // namespace

std::string diff_text(const ModelDiff& diff, const std::string& a, const std::string& b) {
  if (diff.same()) return fmt::format("{} and {} are the same: {} ops, all weights equal\n", a, b, diff.ops_b);
  std::string text = fmt::format("{} -> {}: {} ops -> {}, {} matched ({} under another name)\n", a, b, diff.ops_a, diff.ops_b,
                                 diff.ops_matched, diff.ops_renamed);
  std::vector<std::vector<std::string>> rows = {{"WHAT", "CHANGE"}};
  for (const auto* pairs : {&diff.metadata, &diff.interface}) {
    for (const auto& [name, change] : *pairs) rows.push_back({name, change});
  }
  for (const std::string& name : diff.functions_added) rows.push_back({"function " + name, "added"});
  for (const std::string& name : diff.functions_removed) rows.push_back({"function " + name, "removed"});
  text += section("interface and metadata", rows);
  rows = {{"", "TYPE", "OP", "CHANGE"}};
  for (const OpChange& change : diff.removed) rows.push_back({"-", change.type, op_name(change), ""});
  for (const OpChange& change : diff.added) rows.push_back({"+", change.type, op_name(change), ""});
  for (const OpChange& change : diff.changed) rows.push_back({"~", change.type, op_name(change), joined(change.what)});
  text += section("ops", rows);
  rows = {{"OP", "PARAMETER", "DIFFER", "OF", "LARGEST", "MEAN", "RELATIVE", "TYPE"}};
  for (const WeightChange& w : diff.weights) {
    rows.push_back({w.op, w.param, std::to_string(w.differing), std::to_string(w.count), fmt::format("{:.3g}", w.largest),
                    fmt::format("{:.3g}", w.mean), fmt::format("{:.3g}", w.relative),
                    w.type_a == w.type_b ? w.type_a : w.type_a + " -> " + w.type_b});
  }
  text += section("weights", rows, {2, 3, 4, 5, 6});
  rows = {{"TENSOR"}};
  for (const std::string& line : diff.tensors) rows.push_back({line});
  return text + section("tensors", rows);
}

Json diff_json(const ModelDiff& diff, const std::string& a, const std::string& b) {
  Json json = {{"a", a},
               {"b", b},
               {"same", diff.same()},
               {"ops", {{"a", diff.ops_a}, {"b", diff.ops_b}, {"matched", diff.ops_matched}, {"renamed", diff.ops_renamed}}},
               {"metadata", pairs_json(diff.metadata)},
               {"interface", pairs_json(diff.interface)},
               {"functions_added", diff.functions_added},
               {"functions_removed", diff.functions_removed},
               {"added", changes_json(diff.added)},
               {"removed", changes_json(diff.removed)},
               {"changed", changes_json(diff.changed)},
               {"weights", Json::array()},
               {"tensors", diff.tensors}};
  for (const WeightChange& w : diff.weights) {
    json["weights"].push_back({{"function", w.function},
                               {"op", w.op},
                               {"parameter", w.param},
                               {"type_a", w.type_a},
                               {"type_b", w.type_b},
                               {"count", w.count},
                               {"differing", w.differing},
                               {"largest", json_number(w.largest)},
                               {"mean", json_number(w.mean)},
                               {"relative", json_number(w.relative)}});
  }
  return json;
}

namespace {

enum Class : int { same_class, added_class, changed_class, weights_class };

Colouring colours_of(const ModelDiff& diff, const ModelGraph& graph, const std::string& function) {
  Colouring colouring;
  colouring.title = "change";
  colouring.classes = {{"the same", "gray"}, {"added", "green"}, {"changed", "orange"}, {"other weights", "purple"}};
  std::unordered_map<std::string, int> classes;
  for (const WeightChange& w : diff.weights) {
    if (w.function == function) classes[w.op] = weights_class;
  }
  for (const OpChange& change : diff.changed) {
    if (change.function == function && change.type != "function") classes[change.op_b] = changed_class;
  }
  for (const OpChange& change : diff.added) {
    if (change.function == function) classes[change.op_b] = added_class;
  }
  colouring.of_node.assign(graph.graph.nodes.size(), same_class);
  for (const auto& [op, node] : graph.nodes) {
    if (const auto found = classes.find(op->label()); found != classes.end()) colouring.of_node[node] = found->second;
  }
  return colouring;
}

}  // namespace

std::string diff_html(const ModelDiff& diff, const ir::Model& a, const ir::Model& b) {
  Page page("diff", a.info.name + " -> " + b.info.name);
  const auto count = [](std::size_t n) { return std::to_string(n); };
  page.facts({{"ops", fmt::format("{} -> {}", diff.ops_a, diff.ops_b),
               fmt::format("{} matched, {} renamed", diff.ops_matched, diff.ops_renamed)},
              {"added", count(diff.added.size()), "ops"},
              {"removed", count(diff.removed.size()), "ops"},
              {"changed", count(diff.changed.size()), "ops"},
              {"other weights", count(diff.weights.size()), "tensors"}});
  if (diff.same()) page.findings({{"good", "Both models are the same", "Structure, weights, interface and metadata agree."}});
  Table facts;
  facts.columns = {{"what"}, {"change"}};
  for (const auto* pairs : {&diff.interface, &diff.metadata}) {
    for (const auto& [name, change] : *pairs) facts.rows.push_back({name, change});
  }
  for (const std::string& name : diff.functions_added) facts.rows.push_back({"function " + name, "added"});
  for (const std::string& name : diff.functions_removed) facts.rows.push_back({"function " + name, "removed"});
  for (const std::string& line : diff.tensors) facts.rows.push_back({"tensor", line});
  if (!facts.rows.empty()) page.section("Interface and metadata").table(facts);

  std::unordered_map<std::string, std::int64_t> nodes;  // of the first function, which the page shows first
  if (b.program != nullptr && !b.program->functions.empty()) {
    std::vector<Graph> graphs;
    for (const auto& function : b.program->functions) {
      ModelGraph graph = model_graph(*function);
      graph.graph.colourings.insert(graph.graph.colourings.begin(), colours_of(diff, graph, function->name));
      if (graphs.empty()) {
        for (const auto& [op, node] : graph.nodes) nodes[op->label()] = static_cast<std::int64_t>(node);
      }
      graphs.push_back(std::move(graph.graph));
    }
    page.section(b.info.name, "What is new in it, what has changed, and what has other weights.").graphs(graphs);
  }
  const std::string first = b.program == nullptr || b.program->functions.empty() ? "" : b.program->functions.front()->name;
  const auto node_of = [&](const std::string& function, const std::string& op) {
    const auto found = nodes.find(op);
    return function == first && found != nodes.end() ? found->second : -1;
  };
  Table ops;
  ops.columns = {{"change", Column::Kind::badge}, {"type"}, {"op"}, {"what"}};
  const auto add = [&](const char* kind, const std::vector<OpChange>& changes) {
    for (const OpChange& change : changes) {
      ops.rows.push_back({kind, change.type, op_name(change), joined(change.what)});
      ops.nodes.push_back(node_of(change.function, change.op_b));
    }
  };
  add("removed", diff.removed);
  add("added", diff.added);
  add("changed", diff.changed);
  if (!ops.rows.empty()) page.section("Ops").table(ops);
  Table weights;
  weights.columns = {{"op"},
                     {"parameter"},
                     {"differ", Column::Kind::number, "elements", 0},
                     {"of", Column::Kind::number, "", 0},
                     {"largest", Column::Kind::number, "|a - b|", 6},
                     {"mean", Column::Kind::number, "of |a - b|", 6},
                     {"relative", Column::Kind::number, "root mean square of a - b over that of a", 5},
                     {"type"}};
  for (const WeightChange& w : diff.weights) {
    weights.rows.push_back({w.op, w.param, w.differing, w.count, json_number(w.largest), json_number(w.mean),
                            json_number(w.relative), w.type_a == w.type_b ? w.type_a : w.type_a + " -> " + w.type_b});
    weights.nodes.push_back(node_of(w.function, w.op));
  }
  if (!weights.rows.empty()) page.section("Weights").table(weights);
  return page.html();
}

}  // namespace tl::insight
