#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.hpp"
#include "tensorlogic/check.hpp"

namespace tl {
namespace {

struct Metric {
  std::string_view name;
  bool per_cent;
  double (*value)(const CheckReport&);
};

double count(const CheckReport& report, Severity severity) {
  return static_cast<double>(std::count_if(report.findings.begin(), report.findings.end(),
                                           [&](const CheckFinding& finding) { return finding.severity == severity; }));
}

// Nothing for a report that has not been filled.
CheckUnit unit(const CheckReport& report, std::size_t i) { return i < report.units.size() ? report.units[i] : CheckUnit(); }

constexpr Metric metrics[] = {
    {"cpu", true, [](const CheckReport& r) { return 100 * unit(r, 0).share; }},
    {"gpu", true, [](const CheckReport& r) { return 100 * unit(r, 1).share; }},
    {"ane", true, [](const CheckReport& r) { return 100 * unit(r, 2).share; }},
    {"cpu_time", true, [](const CheckReport& r) { return 100 * unit(r, 0).time_share; }},
    {"gpu_time", true, [](const CheckReport& r) { return 100 * unit(r, 1).time_share; }},
    {"ane_time", true, [](const CheckReport& r) { return 100 * unit(r, 2).time_share; }},
    {"segments", false, [](const CheckReport& r) { return static_cast<double>(r.segments); }},
    {"ops", false, [](const CheckReport& r) { return static_cast<double>(r.ops.size()); }},
    {"errors", false, [](const CheckReport& r) { return count(r, Severity::error); }},
    {"warnings", false, [](const CheckReport& r) { return count(r, Severity::warning); }},
    {"total_ms", false, [](const CheckReport& r) { return r.total_ms; }},
};

std::string names() {
  std::string text;
  for (const Metric& metric : metrics) text += (text.empty() ? "" : ", ") + std::string(metric.name);
  return text;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

struct Requirement {
  const Metric* metric;
  std::string_view comparison;
  double bound;
};

[[noreturn]] void refuse(std::string_view part, const std::string& why) {
  fail(ErrorKind::invalid_argument, "requirement '{}': {}", part, why);
}

Requirement parse(std::string_view part) {
  const std::size_t at = part.find_first_of("<>=");
  if (at == std::string_view::npos) refuse(part, "expected a comparison such as ane>=95%");
  const std::size_t length = at + 1 < part.size() && part[at + 1] == '=' ? 2 : 1;
  Requirement requirement{nullptr, part.substr(at, length), 0};
  if (requirement.comparison == "=") requirement.comparison = "==";
  const std::string_view name = trimmed(part.substr(0, at));
  for (const Metric& metric : metrics) {
    if (metric.name == name) requirement.metric = &metric;
  }
  if (requirement.metric == nullptr) refuse(part, fmt::format("no metric '{}'; there are: {}", name, names()));
  std::string_view number = trimmed(part.substr(at + length));
  if (number.ends_with('%')) {
    if (!requirement.metric->per_cent) refuse(part, fmt::format("'{}' is no percentage", name));
    number = trimmed(number.substr(0, number.size() - 1));
  }
  const char* end = number.data() + number.size();
  const auto parsed = std::from_chars(number.data(), end, requirement.bound);
  if (number.empty() || parsed.ec != std::errc() || parsed.ptr != end || !std::isfinite(requirement.bound))
    refuse(part, fmt::format("'{}' is no number", number));
  return requirement;
}

bool holds(const Requirement& requirement, double value) {
  constexpr double slack = 1e-9;  // shares are quotients
  const double over = value - requirement.bound;
  if (requirement.comparison == ">=") return over >= -slack;
  if (requirement.comparison == "<=") return over <= slack;
  if (requirement.comparison == ">") return over > slack;
  if (requirement.comparison == "<") return over < -slack;
  return std::abs(over) <= slack;
}

std::string complaint(const Requirement& requirement, double value) {
  const char* unit = requirement.metric->per_cent ? " %" : "";
  const double off = requirement.bound - value;
  return fmt::format("{} is {:.4g}{}, {} {:.4g}{} is required: {:.4g}{} {}", requirement.metric->name, value, unit,
                     requirement.comparison, requirement.bound, unit, std::abs(off), unit, off > 0 ? "short" : "over");
}

}  // namespace

std::vector<std::string> unmet(const CheckReport& report, std::string_view requirements) {
  std::vector<Requirement> parsed;
  if (trimmed(requirements).empty()) fail(ErrorKind::invalid_argument, "no requirement is given");
  while (true) {
    const std::size_t comma = requirements.find(',');
    parsed.push_back(parse(trimmed(requirements.substr(0, comma))));
    if (comma == std::string_view::npos) break;
    requirements.remove_prefix(comma + 1);
  }
  std::vector<std::string> lines;
  for (const Requirement& requirement : parsed) {
    const double value = requirement.metric->value(report);
    if (!holds(requirement, value)) lines.push_back(complaint(requirement, value));
  }
  return lines;
}

}  // namespace tl
