#include "lang/interpreter_impl.hpp"
#include "tensorlogic/check.hpp"

namespace tl::lang {

namespace {

ObjectPtr object(const char* type, std::vector<std::pair<std::string, Datum>> fields) {
  auto result = std::make_shared<Object>();
  result->type = type;
  result->fields = std::move(fields);
  return result;
}

Datum names(Interpreter::Impl& session, const std::vector<std::string>& values) {
  return session.array({values.begin(), values.end()}, "list");
}

std::string path_of(Call& c) {
  if (const auto* model = c.args[0].as<std::shared_ptr<ModelBox>>()) return (*model)->model.info().path;
  return c.session.find_file(c.text(0));
}

CheckOptions options_of(Call& c) {
  CheckOptions options;
  for (std::size_t i = 1; i < c.args.size(); ++i) {
    const std::string& label = c.labels[i];
    if (label == "chip") {
      options.chip = c.text(i);
    } else if (label == "os") {
      options.os = c.text(i);
    } else if (label == "compute_units") {
      const auto units = compute_units_from_name(c.text(i));
      if (!units)
        fail(ErrorKind::invalid_argument, "no compute units '{}'; there are: all, cpuOnly, cpuAndGPU, cpuAndNeuralEngine",
             c.text(i));
      options.compute_units = *units;
    } else {
      fail(ErrorKind::invalid_argument, "arguments after the model are named chip, os and compute_units");
    }
  }
  return options;
}

}  // namespace

Datum builtin_check(Call& c) {
  const CheckReport report = check(path_of(c), options_of(c));
  std::vector<Datum> ops, findings;
  for (const CheckOp& op : report.ops) {
    ops.emplace_back(object("CheckedOp", {{"name", op.name},
                                          {"type", op.type},
                                          {"unit", op.unit},
                                          {"supported", names(c.session, op.supported)},
                                          {"reason", op.reason},
                                          {"rule", op.rule},
                                          {"advice", op.advice},
                                          {"cost", op.cost}}));
  }
  for (const CheckFinding& finding : report.findings) {
    findings.emplace_back(object("Finding", {{"id", finding.id},
                                             {"severity", std::string(to_string(finding.severity))},
                                             {"title", finding.title},
                                             {"details", finding.details},
                                             {"advice", finding.advice}}));
  }
  ObjectPtr result = object("Check", {{"chip", report.chip}, {"os", report.os}});
  for (const CheckUnit& unit : report.units) {
    std::string field;
    for (const char letter : unit.unit) field += static_cast<char>(letter - 'A' + 'a');
    result->fields.emplace_back(field, unit.share);
    result->fields.emplace_back(field + "_time", unit.time_share);
  }
  result->fields.emplace_back("segments", std::int64_t{report.segments});
  result->fields.emplace_back("total_ms", report.total_ms);
  result->fields.emplace_back("findings", c.session.array(std::move(findings), "list"));
  result->fields.emplace_back("ops", c.session.array(std::move(ops), "list"));
  return result;
}

}  // namespace tl::lang
