#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "format/format.hpp"
#include "insight/model_graph.hpp"
#include "insight/page.hpp"
#include "ir/verify.hpp"
#include "tensorlogic/compare.hpp"

namespace tl {

using insight::Json;
using Kind = insight::Column::Kind;

namespace {

constexpr double quiet = 100;  // decibels at which an error has no colour

Json cell(const Accuracy& accuracy, double decibels) {
  // Numbers sort; what has none stands at the ends.
  if (accuracy.broken != 0) return -999.0;
  return std::isfinite(decibels) ? Json(decibels) : Json(decibels > 0 ? 999.0 : -999.0);
}

Json if_any(std::int64_t count) { return count != 0 ? Json(count) : Json(nullptr); }

std::string text_of(const Accuracy& accuracy, double decibels) {
  if (accuracy.broken != 0) return "broken";
  return std::isinf(decibels) ? (decibels > 0 ? "exact" : "lost") : fmt::format("{:.1f} dB", decibels);
}

insight::Table outputs_table(const std::vector<ComparedOutput>& outputs) {
  insight::Table table;
  table.columns = {{"output"},
                   {"type"},
                   {"PSNR dB"},
                   {"cosine", Kind::number, "", 7},
                   {"largest error", Kind::number, "", 6},
                   {"broken", Kind::number, "infinity or NaN where the reference has a number", 0},
                   {"target", Kind::badge}};
  for (const ComparedOutput& output : outputs) {
    table.rows.push_back({output.name, output.type, text_of(output.accuracy, output.accuracy.psnr), output.accuracy.cosine,
                          output.accuracy.max_error, if_any(output.accuracy.broken), output.passed ? "met" : "missed"});
  }
  return table;
}

// The model as it is in the file, coloured by the verdict and by the error; `nodes` by the name of the op.
insight::Graph coloured_graph(const CompareReport& report, std::unordered_map<std::string, std::int64_t>& nodes) {
  const ir::Model model = format::read_model(report.model);
  ir::Function& function = *model.program->function(report.function);
  ir::verify(function);
  insight::ModelGraph built = insight::model_graph(function, false);
  std::unordered_map<std::string, const ComparedOp*> rows;
  for (const ComparedOp& op : report.ops) rows.emplace(op.op, &op);
  const std::size_t count = built.graph.nodes.size();
  insight::Colouring verdict{"verdict",
                             {{"first to break", "red"}, {"keep in float32", "orange"}, {"compared", "gray"}},
                             std::vector<int>(count, -1),
                             {},
                             "",
                             ""};
  insight::Colouring error{"error",
                           {},
                           {},
                           std::vector<double>(count, std::numeric_limits<double>::quiet_NaN()),
                           fmt::format("{:.0f} dB and more", quiet),
                           "0 dB, or broken"};
  for (const auto& [op, node] : built.nodes) {
    const auto row = rows.find(op->label());
    if (row == rows.end()) continue;
    const ComparedOp& found = *row->second;
    nodes[found.op] = static_cast<std::int64_t>(node);
    const bool kept = std::find(report.keep.begin(), report.keep.end(), found.op) != report.keep.end();
    verdict.of_node[node] = found.op == report.first_op ? 0 : kept ? 1 : 2;
    const double total = found.total.broken != 0 ? 0 : found.total.snr;
    error.heat[node] = 1 - std::clamp(total, 0.0, quiet) / quiet;
    auto& details = built.graph.nodes[node].details;
    details.emplace_back("adds", text_of(found.added, found.added.snr));
    details.emplace_back("inherits", text_of(found.inherited, found.inherited.snr));
    details.emplace_back("total", text_of(found.total, found.total.snr));
    details.emplace_back("largest", fmt::format("{:.4g}", found.largest));
  }
  built.graph.colourings.insert(built.graph.colourings.begin(), {std::move(verdict), std::move(error)});
  return std::move(built.graph);
}

std::vector<insight::Finding> findings_of(const CompareReport& report) {
  std::vector<insight::Finding> findings;
  if (report.passed) findings.push_back({"good", "Within the target", "Every output reaches it."});
  if (!report.first_op.empty())
    findings.push_back({"error", fmt::format("First to break: {}", report.first_op), report.reason + "."});
  if (report.first_op.empty() && !report.passed) findings.push_back({"error", "Misses the target", report.reason + "."});
  if (!report.amplifier.empty())
    findings.push_back({"warning", fmt::format("{} enlarges errors", report.amplifier), "A difference of close numbers."});
  if (!report.keep.empty()) {
    std::string names;
    for (const std::string& name : report.keep) names += (names.empty() ? "" : ", ") + name;
    findings.push_back(
        {"note", fmt::format("Keep {} ops in float32", report.keep.size()),
         names + (report.keep_minimal ? ". It was run: with them it meets the target, without any one it does not."
                                      : ". It was run: with them it meets the target.")});
  }
  for (const std::string& note : report.notes) findings.push_back({"note", note, ""});
  return findings;
}

}  // namespace

std::string to_html(const CompareReport& report) {
  const auto base = [](const std::string& path) { return path.substr(path.find_last_of('/') + 1); };
  insight::Page page("compare", base(report.model));
  double psnr = std::numeric_limits<double>::infinity();
  bool broken = false;
  for (const ComparedOutput& output : report.outputs) {
    psnr = std::min(psnr, output.accuracy.psnr);
    broken = broken || output.accuracy.broken != 0;
  }
  page.facts({{"against", report.other.empty() ? "float32" : base(report.other), report.precision},
              {"worst output",
               broken             ? "broken"
               : std::isinf(psnr) ? "exact"
                                  : fmt::format("{:.1f} dB", psnr),
               report.target_psnr > 0 ? fmt::format("target {:g} dB", report.target_psnr)
                                      : fmt::format("target cosine {:g}", report.target_cosine)},
              {"verdict", report.passed ? "met" : "missed", ""},
              {"runs", std::to_string(report.runs), report.made_up_inputs ? "on made-up inputs" : "on given inputs"}});
  page.section("Verdict").findings(findings_of(report));
  if (!report.op_selector.empty()) page.code(report.op_selector);
  page.section("Outputs").table(outputs_table(report.outputs));
  if (!report.kept_outputs.empty()) page.section("Outputs with these ops in float32").table(outputs_table(report.kept_outputs));

  std::unordered_map<std::string, std::int64_t> nodes;
  const insight::Graph graph = coloured_graph(report, nodes);
  page.section("The model", "Click an op for its figures, a group to open it.");
  page.graphs({graph});

  insight::Table ops;
  ops.columns = {{"step", Kind::number, "", 0},
                 {"op"},
                 {"type", Kind::badge},
                 {"adds dB", Kind::number, "against the reference op on the op's own inputs; 999: exact, -999: broken", 1},
                 {"inherits dB", Kind::number, "the reference op on the op's own inputs against the reference run", 1},
                 {"total dB", Kind::number, "against the reference run", 1},
                 {"needs dB", Kind::number, "what it may not fall below for the outputs to meet the target", 1},
                 {"largest", Kind::number, "in the reference run", 4},
                 {"overflow", Kind::number, "infinite here, finite there", 0},
                 {"NaN", Kind::number, "", 0},
                 {"underflow", Kind::number, "zero here, not zero there", 0},
                 {"over 65504", Kind::number, "", 0},
                 {"over 32752", Kind::number, "where matrix products overflow on the Neural Engine", 0}};
  std::int64_t step = 0;
  for (const ComparedOp& op : report.ops) {
    ops.rows.push_back({++step, op.op, op.type, cell(op.added, op.added.snr), cell(op.inherited, op.inherited.snr),
                        cell(op.total, op.total.snr), op.needed_snr ? Json(*op.needed_snr) : Json(nullptr), op.largest,
                        if_any(op.overflowed), if_any(op.not_a_number), if_any(op.underflowed), if_any(op.beyond_fp16),
                        if_any(op.beyond_engine)});
    const auto node = nodes.find(op.op);
    ops.nodes.push_back(node == nodes.end() ? -1 : node->second);
  }
  page.section("Ops", "In the order in which they run; click a heading to sort, a row to show the op in the graph.").table(ops);

  if (!report.weights.empty()) {
    insight::Table weights;
    weights.columns = {{"op"},
                       {"parameter"},
                       {"stored as"},
                       {"bytes", Kind::bytes},
                       {"weight dB", Kind::number, "", 1},
                       {"result dB", Kind::number, "the op with this weight against the other's, on the same inputs", 1}};
    for (const ComparedWeight& weight : report.weights) {
      weights.rows.push_back({weight.op, weight.param, weight.storage, weight.bytes, cell(weight.weight, weight.weight.snr),
                              cell(weight.result, weight.result.snr)});
    }
    page.section("Weights", "What each costs, the most costly first.").table(weights);
  }
  return page.html();
}

}  // namespace tl
