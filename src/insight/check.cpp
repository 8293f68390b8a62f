#include "insight/check.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "format/format.hpp"
#include "insight/model_graph.hpp"

namespace tl {

using namespace apple;
using insight::Examination;
using insight::Examined;

std::string_view to_string(Severity severity) noexcept {
  return severity == Severity::error ? "error" : severity == Severity::warning ? "warning" : "note";
}

namespace {

constexpr std::size_t max_changes = 3;

Units units_of(ComputeUnits units) {
  switch (units) {
    case ComputeUnits::all: return all_units;
    case ComputeUnits::cpu_only: return cpu;
    case ComputeUnits::cpu_and_gpu: return cpu | gpu;
    case ComputeUnits::cpu_and_neural_engine: return cpu | ane;
  }
  return all_units;
}

const Interface& interface_of(const ModelInfo& info, const std::string& function) {
  if (function.empty() && !info.interfaces.empty()) return info.interfaces.front();
  if (const Interface* found = info.interface(function)) return *found;
  std::string names;
  for (const Interface& candidate : info.interfaces) names += (names.empty() ? "'" : ", '") + candidate.function + "'";
  fail(ErrorKind::not_found, "no function '{}'; there are: {}", function, names.empty() ? "none" : names);
}

bool is_enumerated(const Feature& feature) {
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) return !array->enumerated.empty();
  const auto* image = std::get_if<ImageFeature>(&feature.kind);
  return image != nullptr && !image->enumerated.empty();
}

// Reads the model and gathers what stands in it; throws without the path.
void read_program(Examination& e, const CheckOptions& options) {
  if (e.model.program == nullptr || e.model.info.interfaces.empty()) {
    if (e.model.info.format == Format::core_ml)
      fail(ErrorKind::unsupported, "holds no program to check: {}",
           e.model.refusal.empty() ? "a model of type " + e.model.info.model_type : e.model.refusal);
    fail(ErrorKind::unsupported, "a {} file holds tensors, not a program to check", to_string(e.model.info.format));
  }
  e.interface = &interface_of(e.model.info, options.function);
  const ir::Function* declared = e.model.program->function(e.interface->function);
  if (declared == nullptr) fail(ErrorKind::bad_model, "the program has no function '{}'", e.interface->function);
  e.function = ir::clone(*declared);
  e.around.halves = e.model.info.model_type.starts_with("neuralnetwork") || e.model.info.model_type.starts_with("pipeline");
  e.around.enumerated = std::any_of(e.interface->inputs.begin(), e.interface->inputs.end(), is_enumerated);
  e.around.ranged = !e.around.enumerated && !insight::ranged_inputs(*declared, *e.interface, e.around.halves).empty();
  for (const StoredTensor& tensor : e.model.tensors) e.around.weight_bytes += tensor.bytes;
  e.around.flexible = insight::make_concrete(e.function, *e.interface, e.around.halves);
  std::vector<Candidate> candidates;
  ir::for_each_op(e.function->body, [&](const ir::Op& op) {
    if (runs_at_load(op)) return;
    const Site site(op, e.around);
    Examined examined{&op, exclusions(site), {}};
    examined.candidate = {supported(examined.exclusions), estimate(site)};
    candidates.push_back(examined.candidate);
    e.ops.push_back(std::move(examined));
  });
  e.placement = place(candidates, e.allowed);
}

Examination examine(const std::string& path, const CheckOptions& options) {
  Examination e;
  e.around.chip = &chip_named(options.chip);
  e.around.system = system_named(options.os, *e.around.chip);
  e.around.infrequent = options.infrequent_reshape;
  e.allowed = units_of(options.compute_units);
  e.model = format::read_model(path, {.lenient = true});
  within([&] { return path; }, [&] { read_program(e, options); });
  return e;
}

const Exclusion* off_neural_engine(const Examined& op) {
  const auto found = std::find_if(op.exclusions.begin(), op.exclusions.end(),
                                  [](const Exclusion& x) { return (x.rule->excludes & ane) != 0; });
  return found == op.exclusions.end() ? nullptr : &*found;
}

double at(const Examined& op, Backend backend) { return op.candidate.ms[static_cast<std::size_t>(backend)]; }

std::string why_not_taken(const Examined& op, Unit unit) {
  return fmt::format(
      "the {} is cheaper: {:.4f} ms there, {:.4f} ms on the Neural Engine, which a launch ({:.3f} ms) and changes of "
      "unit ({:.3f} ms each) add to",
      to_string(unit), unit == cpu ? std::min(at(op, Backend::bnns), at(op, Backend::classic_cpu)) : at(op, Backend::gpu_mps),
      at(op, Backend::neural_engine), launch_ms(Backend::neural_engine), switch_ms());
}

CheckOp describe(const Examined& examined, Unit unit, Units allowed) {
  const ir::Op& op = *examined.op;
  CheckOp row;
  row.name = op.outputs.empty() ? op.label() : op.outputs[0]->name;
  row.type = op.type;
  if (!op.outputs.empty()) row.output = ir::to_string(op.outputs[0]->type);
  const unsigned units = examined.candidate.units & (allowed | unsigned{cpu});
  for (const Unit candidate : {cpu, gpu, ane}) {
    if ((units & candidate) != 0) row.supported.emplace_back(to_string(candidate));
  }
  row.unit = to_string(unit);
  row.cpu_ms = std::min(at(examined, Backend::bnns), at(examined, Backend::classic_cpu));
  row.gpu_ms = at(examined, Backend::gpu_mps);
  row.ane_ms = at(examined, Backend::neural_engine);
  const Exclusion* exclusion = off_neural_engine(examined);
  if (exclusion == nullptr && !examined.exclusions.empty()) exclusion = &examined.exclusions.front();
  if (exclusion != nullptr) {
    const Rule& rule = *exclusion->rule;
    row.reason = std::string(rule.reason) + (exclusion->details.empty() ? "" : ": " + exclusion->details);
    row.rule = rule.id;
    row.source = rule.source;
    row.confidence = to_string(rule.confidence);
    row.measured = rule.measured;
    row.advice = rule.advice;
  } else if (unit != ane && (units & ane) != 0) {
    row.reason = why_not_taken(examined, unit);
  }
  return row;
}

// Which ops each op reads, by index; values of blocks count for the op that has the block.
void link(const Examination& e, std::vector<CheckOp>& rows) {
  std::unordered_map<const ir::Op*, int> index;
  for (std::size_t i = 0; i < e.ops.size(); ++i) index.emplace(e.ops[i].op, static_cast<int>(i));
  for (std::size_t i = 0; i < e.ops.size(); ++i) {
    std::set<int> reads;
    for (const ir::Argument& argument : e.ops[i].op->inputs) {
      for (const ir::Binding& binding : argument.bindings) {
        auto* const* var = std::get_if<ir::Var*>(&binding);
        if (var == nullptr || (*var)->producer == nullptr) continue;
        if (const auto found = index.find((*var)->producer); found != index.end()) reads.insert(found->second);
      }
    }
    rows[i].inputs.assign(reads.begin(), reads.end());
  }
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

void summarize(const Examination& e, CheckReport& report) {
  double sum = 0;
  for (const Unit unit : {cpu, gpu, ane}) report.units.push_back({std::string(to_string(unit)), 0, 0, 0, 0});
  for (std::size_t i = 0; i < e.ops.size(); ++i) {
    const Backend backend = e.placement.chosen[i];
    const double ms = at(e.ops[i], backend);
    CheckUnit& unit = report.units[unit_of(backend) == cpu ? 0 : unit_of(backend) == gpu ? 1 : 2];
    ++unit.ops;
    unit.ms += ms;
    sum += ms;
    report.ops[i].cost = ms;
  }
  for (CheckOp& op : report.ops) op.cost = share(op.cost, sum);
  for (CheckUnit& unit : report.units) {
    unit.share = share(unit.ops, static_cast<double>(e.ops.size()));
    unit.time_share = share(unit.ms, sum);
  }
  report.segments = e.placement.segments;
  report.total_ms = e.placement.total_ms;
}

// For each rule: the placement if it did not apply.
void weigh_changes(const Examination& e, CheckReport& report) {
  if ((e.allowed & ane) == 0) return;
  std::vector<std::pair<const Rule*, int>> blocking;
  for (const Examined& op : e.ops) {
    const Exclusion* exclusion = off_neural_engine(op);
    if (exclusion == nullptr) continue;
    const auto known =
        std::find_if(blocking.begin(), blocking.end(), [&](const auto& b) { return b.first == exclusion->rule; });
    if (known == blocking.end()) {
      blocking.emplace_back(exclusion->rule, 1);
    } else {
      ++known->second;
    }
  }
  for (const auto& [rule, count] : blocking) {
    std::vector<Candidate> candidates;
    for (const Examined& op : e.ops) {
      candidates.push_back(op.candidate);
      candidates.back().units = supported(op.exclusions, rule);
    }
    const Placement without = place(candidates, e.allowed);
    const auto on = std::count_if(without.chosen.begin(), without.chosen.end(), [](Backend b) { return unit_of(b) == ane; });
    report.changes.push_back({std::string(rule->id), std::string(rule->advice), count,
                              share(static_cast<double>(on), static_cast<double>(e.ops.size())), without.segments,
                              std::max(0.0, e.placement.total_ms - without.total_ms)});
  }
  const double now = report.units[2].share;
  std::stable_sort(report.changes.begin(), report.changes.end(), [&](const CheckChange& a, const CheckChange& b) {
    if (a.saved_ms != b.saved_ms) return a.saved_ms > b.saved_ms;
    if (a.ane_share != b.ane_share) return a.ane_share > b.ane_share;
    return a.ops > b.ops;
  });
  std::erase_if(report.changes, [&](const CheckChange& c) { return c.saved_ms <= 0 && c.ane_share <= now; });
  if (report.changes.size() > max_changes) report.changes.resize(max_changes);
}

}  // namespace

CheckReport check(const std::string& path, const CheckOptions& options) {
  const Examination e = examine(path, options);
  CheckReport report;
  report.path = path;
  report.name = e.model.info.name;
  report.model_type = e.model.info.model_type;
  report.chip = e.around.chip->name;
  report.os = to_string(e.around.system);
  report.cost_chip = "M4";
  report.compute_units = options.compute_units;
  report.weight_bytes = e.around.weight_bytes;
  for (std::size_t i = 0; i < e.ops.size(); ++i) {
    report.ops.push_back(describe(e.ops[i], unit_of(e.placement.chosen[i]), e.allowed));
    report.ops.back().function = e.function->name;
  }
  const insight::ModelGraph shown = insight::model_graph(*e.function, false);
  for (std::size_t i = 0; i < e.ops.size(); ++i) {
    if (const auto node = shown.nodes.find(e.ops[i].op); node != shown.nodes.end())
      report.ops[i].scope = shown.graph.nodes[node->second].scope;
  }
  link(e, report.ops);
  summarize(e, report);
  weigh_changes(e, report);
  report.findings = insight::findings(e);
  return report;
}

}  // namespace tl
