#include <nlohmann/json.hpp>

#include "tensorlogic/check.hpp"

namespace tl {

using Json = nlohmann::ordered_json;

namespace {

// Null for what does not apply.
Json text(const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); }

Json op_json(const CheckOp& op) {
  return {{"name", op.name},
          {"type", op.type},
          {"function", op.function},
          {"output", op.output},
          {"supported", op.supported},
          {"predicted", op.unit},
          {"reason", text(op.reason)},
          {"rule", text(op.rule)},
          {"source", text(op.source)},
          {"confidence", text(op.confidence)},
          {"measured_on", text(op.measured)},
          {"advice", text(op.advice)},
          {"estimate_ms", {{"CPU", op.cpu_ms}, {"GPU", op.gpu_ms}, {"ANE", op.ane_ms}}},
          {"cost", op.cost},
          {"inputs", op.inputs},
          {"scope", op.scope}};
}

}  // namespace

std::string to_json(const CheckReport& report) {
  Json json = {{"kind", "check"}, {"table", "ops"}, {"prediction", true}};
  json["model"] = {
      {"path", report.path}, {"name", report.name}, {"type", report.model_type}, {"weight_bytes", report.weight_bytes}};
  json["target"] = {{"chip", report.chip},
                    {"os", report.os},
                    {"compute_units", to_string(report.compute_units)},
                    {"estimates_fitted_to", report.cost_chip}};
  Json summary = {{"ops", report.ops.size()}, {"segments", report.segments}, {"total_ms", report.total_ms}};
  summary["units"] = Json::object();
  for (const CheckUnit& unit : report.units) {
    summary["units"][unit.unit] = {{"ops", unit.ops}, {"share", unit.share}, {"ms", unit.ms}, {"time_share", unit.time_share}};
  }
  summary["changes"] = Json::array();
  for (const CheckChange& change : report.changes) {
    summary["changes"].push_back({{"rule", change.rule},
                                  {"advice", change.advice},
                                  {"ops", change.ops},
                                  {"ane_share", change.ane_share},
                                  {"segments", change.segments},
                                  {"saved_ms", change.saved_ms}});
  }
  json["summary"] = std::move(summary);
  json["findings"] = Json::array();
  for (const CheckFinding& finding : report.findings) {
    json["findings"].push_back({{"id", finding.id},
                                {"severity", to_string(finding.severity)},
                                {"title", finding.title},
                                {"details", text(finding.details)},
                                {"advice", finding.advice},
                                {"source", finding.source},
                                {"confidence", finding.confidence},
                                {"ops", finding.ops}});
  }
  json["ops"] = Json::array();
  for (const CheckOp& op : report.ops) json["ops"].push_back(op_json(op));
  // What the abbreviations in `source` stand for.
  json["sources"] = Json::object();
#define TL_SOURCE(name, what, where) json["sources"][name] = std::string(what) + ": " + where;
#include "apple/sources.inc"
#undef TL_SOURCE
  // Names come from files and need not be UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tl
