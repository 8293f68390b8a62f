#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/text.hpp"
#include "tensorlogic/check.hpp"

namespace tl {
namespace {

constexpr std::size_t text_width = 100;

// Lines of at most text_width columns, those after the first indented.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string result;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (column > indent && column + 1 + end > text_width) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    for (const char c : text.substr(0, end)) result += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

std::string units_text(const CheckReport& report) {
  std::vector<std::vector<std::string>> rows{{"unit", "ops", "share", "estimated ms", "share"}};
  for (const CheckUnit& unit : report.units) {
    rows.push_back(
        {unit.unit, std::to_string(unit.ops), per_cent(unit.share), fmt::format("{:.4f}", unit.ms), per_cent(unit.time_share)});
  }
  return text_table(rows, {1, 2, 3, 4});
}

std::string changes_text(const CheckReport& report) {
  std::string text;
  int number = 0;
  for (const CheckChange& change : report.changes) {
    text += fmt::format("  {}. {}\n     {}: {} op{}; then {} of the ops on the Neural Engine in {} segment{}, {:.3f} ms less\n",
                        ++number, wrapped(change.advice, 5), change.rule, change.ops, change.ops == 1 ? "" : "s",
                        per_cent(change.ane_share), change.segments, change.segments == 1 ? "" : "s", change.saved_ms);
  }
  return text;
}

std::string findings_text(const CheckReport& report) {
  std::string text;
  for (const CheckFinding& finding : report.findings) {
    const std::string title = finding.details.empty() ? finding.title : fmt::format("{} ({})", finding.title, finding.details);
    text += fmt::format("  {:<8} {}\n", to_string(finding.severity), wrapped(title, 11));
    text += fmt::format("           -> {}\n", wrapped(finding.advice, 14));
    text += fmt::format("           {}, {}; {}\n", finding.id, finding.confidence, wrapped(finding.source, 11));
  }
  return text;
}

std::string ops_text(const CheckReport& report, std::size_t rows) {
  std::vector<std::size_t> order(report.ops.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (rows != 0 && rows < order.size()) {
    std::stable_partition(order.begin(), order.end(), [&](std::size_t i) { return report.ops[i].unit != "ANE"; });
    order.resize(rows);
    std::sort(order.begin(), order.end());
  }
  std::vector<std::vector<std::string>> lines{{"op", "type", "predicted", "supported", "cost", "rule", "output"}};
  for (const std::size_t i : order) {
    const CheckOp& op = report.ops[i];
    std::string supported;
    for (const std::string& unit : op.supported) supported += (supported.empty() ? "" : " ") + unit;
    lines.push_back({op.name, op.type, op.unit, supported, per_cent(op.cost), op.rule, op.output});
  }
  std::string text = text_table(lines, {4});
  if (order.size() < report.ops.size()) text += fmt::format("({} more ops)\n", report.ops.size() - order.size());
  return text;
}

}  // namespace

std::string to_text(const CheckReport& report, std::size_t rows) {
  std::string text =
      fmt::format("{}: {}, {} of weights\nPredicted for {} under {}, compute units {}; estimates as fitted to an {}\n\n",
                  report.name, report.model_type, bytes_text(report.weight_bytes), report.chip, report.os,
                  to_string(report.compute_units), report.cost_chip);
  text += units_text(report);
  text += fmt::format("\n{} segment{} on the Neural Engine; {:.3f} ms with launches and changes of unit\n", report.segments,
                      report.segments == 1 ? "" : "s", report.total_ms);
  if (!report.changes.empty()) text += "\nWhat helps most\n" + changes_text(report);
  if (!report.findings.empty()) text += "\nFindings\n" + findings_text(report);
  return text + "\n" + ops_text(report, rows);
}

}  // namespace tl
