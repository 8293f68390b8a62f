#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "insight/json_number.hpp"
#include "tensorlogic/compare.hpp"

namespace tl {
namespace {

using Json = nlohmann::ordered_json;

// Null where nothing differs, or where `broken` says that there is no number.
using insight::json_number;
Json json_number(const std::optional<double>& value) { return value ? json_number(*value) : Json(nullptr); }

Json accuracy_json(const Accuracy& accuracy) {
  return {{"snr", json_number(accuracy.snr)}, {"psnr", json_number(accuracy.psnr)},
          {"cosine", accuracy.cosine},        {"max_error", accuracy.max_error},
          {"count", accuracy.count},          {"equal", accuracy.equal},
          {"broken", accuracy.broken}};
}

Json outputs_json(const std::vector<ComparedOutput>& outputs) {
  Json rows = Json::array();
  for (const ComparedOutput& output : outputs) {
    Json row = {{"name", output.name}, {"type", output.type}, {"passed", output.passed}};
    row.update(accuracy_json(output.accuracy));
    rows.push_back(std::move(row));
  }
  return rows;
}

Json op_json(const ComparedOp& op) {
  Json row = {{"op", op.op}, {"type", op.type}, {"output", op.output}};
  if (!op.reference.empty()) row["reference"] = op.reference;
  if (!op.scope.empty()) row["scope"] = op.scope;
  row.update({{"runs", op.runs},
              {"total", accuracy_json(op.total)},
              {"added", accuracy_json(op.added)},
              {"inherited", accuracy_json(op.inherited)},
              {"needed_snr", json_number(op.needed_snr)},
              {"amplification", json_number(op.amplification)},
              {"overflowed", op.overflowed},
              {"nan", op.not_a_number},
              {"underflowed", op.underflowed},
              {"beyond_65504", op.beyond_fp16},
              {"beyond_32752", op.beyond_engine},
              {"largest", op.largest},
              {"diverged", op.diverged}});
  return row;
}

std::string decibels(const Accuracy& accuracy, double value) {
  if (accuracy.broken != 0) return "broken";
  return std::isinf(value) ? (value > 0 ? "exact" : "lost") : fmt::format("{:.1f}", value);
}

std::string outputs_table(const std::vector<ComparedOutput>& outputs) {
  std::vector<std::vector<std::string>> rows = {{"OUTPUT", "TYPE", "PSNR dB", "COSINE", "MAX ERROR", ""}};
  for (const ComparedOutput& output : outputs) {
    const Accuracy& a = output.accuracy;
    rows.push_back({output.name, output.type, decibels(a, a.psnr), a.broken != 0 ? "" : fmt::format("{:.7f}", a.cosine),
                    fmt::format("{:.3g}", a.max_error), output.passed ? "ok" : "MISSED"});
  }
  return text_table(rows, {2, 3, 4});
}

std::string notes_of(const ComparedOp& op) {
  std::string text;
  const auto add = [&](std::int64_t count, const char* what) {
    if (count != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(op.not_a_number, "NaN");
  add(op.overflowed, "overflow");
  add(op.underflowed, "underflow");
  add(op.beyond_fp16, "beyond 65504");
  add(op.beyond_engine - op.beyond_fp16, "beyond 32752");
  if (op.diverged) text += text.empty() ? "went another way" : ", went another way";
  if (!op.reference.empty()) text += fmt::format("{}against '{}'", text.empty() ? "" : ", ", op.reference);
  if (!op.scope.empty()) text += fmt::format("{}{}", text.empty() ? "" : ", ", op.scope);
  return text;
}

// How much an op adds beyond what the outputs allow; what matters most stands first.
double excess(const ComparedOp& op) {
  if (!op.needed_snr) return -1000 - std::min(op.added.snr, 400.0);
  return *op.needed_snr - std::clamp(op.added.snr, -400.0, 400.0);
}

std::string ops_table(const std::vector<ComparedOp>& ops, bool all) {
  constexpr std::size_t shown = 12;
  std::vector<const ComparedOp*> chosen;
  chosen.reserve(ops.size());
  for (const ComparedOp& op : ops) chosen.push_back(&op);
  if (!all && chosen.size() > shown) {
    std::stable_sort(chosen.begin(), chosen.end(), [](const auto* a, const auto* b) { return excess(*a) > excess(*b); });
    chosen.resize(shown);
    std::sort(chosen.begin(), chosen.end());
  }
  std::vector<std::vector<std::string>> rows = {{"OP", "TYPE", "ADDS dB", "INHERITS", "TOTAL", "NEEDS", "LARGEST", ""}};
  for (const ComparedOp* op : chosen) {
    rows.push_back({op->op, op->type, decibels(op->added, op->added.snr), decibels(op->inherited, op->inherited.snr),
                    decibels(op->total, op->total.snr),
                    op->needed_snr ? (*op->needed_snr >= 199 ? "all" : fmt::format("{:.1f}", *op->needed_snr)) : "",
                    fmt::format("{:.4g}", op->largest), notes_of(*op)});
  }
  std::string text = text_table(rows, {2, 3, 4, 5, 6});
  if (chosen.size() < ops.size())
    text += fmt::format("the {} ops of {} that matter most; all: --ops\n", chosen.size(), ops.size());
  return text;
}

std::string target_text(const CompareReport& report) {
  std::string text;
  if (report.target_psnr > 0) text += fmt::format("PSNR {:g} dB", report.target_psnr);
  if (report.target_cosine > 0) text += fmt::format("{}cosine {:g}", text.empty() ? "" : ", ", report.target_cosine);
  return text;
}

std::string weights_table(const std::vector<ComparedWeight>& weights, bool all) {
  constexpr std::size_t shown = 12;
  std::vector<std::vector<std::string>> rows = {{"WEIGHT OF", "STORED AS", "BYTES", "WEIGHT dB", "RESULT dB"}};
  for (const ComparedWeight& weight : weights) {
    if (!all && rows.size() > shown) break;
    rows.push_back({weight.op + "." + weight.param, weight.storage, std::to_string(weight.bytes),
                    decibels(weight.weight, weight.weight.snr), decibels(weight.result, weight.result.snr)});
  }
  return text_table(rows, {2, 3, 4});
}

std::string verdict(const CompareReport& report) {
  std::string text = report.passed ? fmt::format("Within the target ({}).\n", target_text(report))
                                   : fmt::format("Misses the target ({}).\n", target_text(report));
  if (!report.first_op.empty()) text += fmt::format("First to break: '{}': {}.\n", report.first_op, report.reason);
  if (report.first_op.empty() && !report.reason.empty()) text += report.reason + ".\n";
  if (!report.keep.empty()) {
    std::string names;
    for (const std::string& name : report.keep) names += (names.empty() ? "'" : ", '") + name + "'";
    text += fmt::format("Keep in float32 ({} op{}{}): {}\n", report.keep.size(), report.keep.size() == 1 ? "" : "s",
                        report.keep_minimal ? ", none of them can be left out" : "", names);
    text += fmt::format("Run with them in float32 ({} runs to find them):\n{}", report.search_runs,
                        outputs_table(report.kept_outputs));
    text += "\n" + report.op_selector;
  }
  if (!report.fixed.empty()) text += fmt::format("\n{} predicts:\n{}", report.fixed, outputs_table(report.fixed_outputs));
  for (const std::string& note : report.notes) text += note + "\n";
  return text;
}

}  // namespace

std::string to_json(const CompareReport& report) {
  Json ops = Json::array();
  for (const ComparedOp& op : report.ops) ops.push_back(op_json(op));
  Json document = {{"model", report.model},
                   {"other", report.other.empty() ? Json(nullptr) : Json(report.other)},
                   {"function", report.function},
                   {"precision", report.precision},
                   {"runs", report.runs},
                   {"made_up_inputs", report.made_up_inputs},
                   {"target",
                    {{"psnr", report.target_psnr > 0 ? Json(report.target_psnr) : Json(nullptr)},
                     {"cosine", report.target_cosine > 0 ? Json(report.target_cosine) : Json(nullptr)}}},
                   {"passed", report.passed},
                   {"outputs", outputs_json(report.outputs)},
                   {"first_op", report.first_op.empty() ? Json(nullptr) : Json(report.first_op)},
                   {"reason", report.reason.empty() ? Json(nullptr) : Json(report.reason)},
                   {"amplifier", report.amplifier.empty() ? Json(nullptr) : Json(report.amplifier)},
                   {"float32_breaks", report.float32_breaks},
                   {"keep", report.keep},
                   {"keep_verified", report.keep_verified},
                   {"keep_minimal", report.keep_minimal},
                   {"search_runs", report.search_runs},
                   {"kept_outputs", outputs_json(report.kept_outputs)},
                   {"op_selector", report.op_selector.empty() ? Json(nullptr) : Json(report.op_selector)},
                   {"fixed", report.fixed.empty() ? Json(nullptr) : Json(report.fixed)},
                   {"fixed_outputs", outputs_json(report.fixed_outputs)},
                   {"notes", report.notes},
                   {"ops", std::move(ops)}};
  if (!report.weights.empty()) {
    Json weights = Json::array();
    for (const ComparedWeight& weight : report.weights) {
      weights.push_back({{"op", weight.op},
                         {"param", weight.param},
                         {"storage", weight.storage},
                         {"bytes", weight.bytes},
                         {"weight", accuracy_json(weight.weight)},
                         {"result", accuracy_json(weight.result)}});
    }
    document["weights"] = std::move(weights);
  }
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_text(const CompareReport& report, bool all_ops) {
  std::string text = report.model;
  if (report.function != "main") text += fmt::format(", function {}", report.function);
  text += report.other.empty() ? fmt::format(": {} against float32, ", report.precision)
                               : fmt::format(" against {}, ", report.other);
  text += fmt::format("{} {}run{}\n\n", report.runs, report.made_up_inputs ? "made-up " : "", report.runs == 1 ? "" : "s");
  text += outputs_table(report.outputs) + "\n";
  if (!report.ops.empty()) text += ops_table(report.ops, all_ops) + "\n";
  if (!report.weights.empty()) text += weights_table(report.weights, all_ops) + "\n";
  return text + verdict(report);
}

}  // namespace tl
