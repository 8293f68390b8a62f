#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "base/text.hpp"
#include "insight/page.hpp"
#include "tensorlogic/check.hpp"

namespace tl {

using namespace insight;

namespace {

constexpr const char* unit_names[] = {"CPU", "GPU", "ANE"};
constexpr const char* unit_colours[] = {"orange", "blue", "green"};

int index_of(const std::string& unit) {
  const auto found = std::find(std::begin(unit_names), std::end(unit_names), unit);
  return found == std::end(unit_names) ? -1 : static_cast<int>(found - std::begin(unit_names));
}

std::string plural(std::size_t count, const char* noun) { return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s"); }

GraphNode node_of(const CheckOp& op) {
  GraphNode node;
  node.name = op.name;
  node.type = op.type;
  node.scope = op.scope;
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) node.details.emplace_back(key, value);
  };
  add("predicted", op.unit);
  add("supported", joined(op.supported, ", "));
  add("reason", op.reason);
  add("to change", op.advice);
  add("rule", op.rule.empty() ? "" : fmt::format("{} ({}; {})", op.rule, op.confidence, op.source));
  add("measured on", op.measured);
  add("estimates", fmt::format("CPU {:.4f} ms, GPU {:.4f} ms, ANE {:.4f} ms", op.cpu_ms, op.gpu_ms, op.ane_ms));
  add("share of the time", per_cent(op.cost));
  add("output", op.output);
  return node;
}

Graph graph_of(const CheckReport& report) {
  Graph graph;
  graph.name = report.name;
  graph.values.resize(report.ops.size());
  Colouring units{"predicted unit", {}, {}, {}, "", ""};
  for (std::size_t i = 0; i < std::size(unit_names); ++i) units.classes.push_back({unit_names[i], unit_colours[i]});
  Colouring heat{"estimated time", {}, {}, {}, "0 %", ""};
  double most = 0;
  for (const CheckOp& op : report.ops) most = std::max(most, op.cost);
  heat.high = per_cent(most);
  for (std::size_t i = 0; i < report.ops.size(); ++i) {
    const CheckOp& op = report.ops[i];
    graph.nodes.push_back(node_of(op));
    units.of_node.push_back(index_of(op.unit));
    heat.heat.push_back(most > 0 ? op.cost / most : std::numeric_limits<double>::quiet_NaN());
    graph.values[i].label = op.output;
    graph.values[i].from = i;
    for (const int from : op.inputs) graph.values[static_cast<std::size_t>(from)].to.push_back(i);
  }
  std::erase_if(graph.values, [](const GraphValue& value) { return value.to.empty(); });
  graph.colourings = {std::move(units), std::move(heat)};
  return graph;
}

Table ops_table(const CheckReport& report) {
  using enum Column::Kind;
  Table table;
  table.columns = {{"op"},
                   {"type"},
                   {"predicted", badge},
                   {"supported"},
                   {"time", bar, "share of the estimated time"},
                   {"CPU ms", number, "estimated", 4},
                   {"ANE ms", number, "estimated", 4},
                   {"why, and what to change"},
                   {"rule"},
                   {"output"}};
  for (std::size_t i = 0; i < report.ops.size(); ++i) {
    const CheckOp& op = report.ops[i];
    const std::string why = op.advice.empty() ? op.reason : fmt::format("{} -> {}", op.reason, op.advice);
    table.rows.push_back(
        {op.name, op.type, op.unit, joined(op.supported, ", "), op.cost, op.cpu_ms, op.ane_ms, why, op.rule, op.output});
    table.nodes.push_back(static_cast<std::int64_t>(i));
  }
  return table;
}

Table changes_table(const CheckReport& report) {
  using enum Column::Kind;
  Table table;
  table.columns = {{"change"},
                   {"rule"},
                   {"ops", number, "that it keeps off the Neural Engine", 0},
                   {"ANE afterwards", bar, "share of the ops"},
                   {"segments", number, "afterwards", 0},
                   {"ms less", number, "estimated", 3}};
  for (const CheckChange& change : report.changes)
    table.rows.push_back({change.advice, change.rule, change.ops, change.ane_share, change.segments, change.saved_ms});
  return table;
}

std::vector<Finding> findings_of(const CheckReport& report) {
  std::vector<Finding> result;
  for (const CheckFinding& finding : report.findings) {
    std::string text = finding.details.empty() ? "" : finding.details + ". ";
    text += fmt::format("To change: {}. ({}; {})", finding.advice, finding.confidence, finding.source);
    result.push_back({std::string(to_string(finding.severity)), finding.title, text});
  }
  if (result.empty()) result.push_back({"good", "Nothing found", "No rule and no best practice speaks against this model."});
  return result;
}

}  // namespace

std::string to_html(const CheckReport& report) {
  Page page("check", report.name);
  std::vector<Fact> facts;
  facts.reserve(report.units.size() + 8);
  for (const CheckUnit& unit : report.units) {
    facts.push_back({unit.unit, per_cent(unit.share),
                     fmt::format("{}, {} of the estimated time", plural(static_cast<std::size_t>(unit.ops), "op"),
                                 per_cent(unit.time_share))});
  }
  facts.push_back({"segments", std::to_string(report.segments), "on the Neural Engine, each with a launch"});
  facts.push_back({"estimate", fmt::format("{:.3f} ms", report.total_ms),
                   "with launches and changes of unit, as for an " + report.cost_chip});
  facts.push_back({"target", report.chip, fmt::format("{}, {}", report.os, to_string(report.compute_units))});
  page.facts(facts);
  page.section("Findings", "Predicted from published rules and measurements; no device was asked.")
      .findings(findings_of(report));
  if (!report.changes.empty())
    page.section("What helps most", "The placement if one rule did not apply.").table(changes_table(report));
  if (!report.ops.empty()) {
    page.section("Graph", "Coloured by the unit that is predicted.").graphs({graph_of(report)});
    page.section("Ops").table(ops_table(report));
  }
  return page.html();
}

}  // namespace tl
