// Conditions of the findings (findings.inc) and the findings that rules make.
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/text.hpp"
#include "insight/check.hpp"
#include "insight/cuts.hpp"

namespace tl::insight {

using namespace apple;

namespace {

// What a condition has to say when it holds.
struct Hit {
  std::string details;
  std::vector<int> ops;
};
using Condition = std::optional<Hit> (*)(const Examination&);

constexpr double gb = 1e9;
constexpr std::uint64_t two_gib = std::uint64_t{2} << 30;

template <class Test>
std::optional<Hit> ops_where(const Examination& e, Test&& test, std::string details = {}) {
  Hit hit{std::move(details), {}};
  for (std::size_t i = 0; i < e.ops.size(); ++i) {
    if (test(Site(*e.ops[i].op, e.around), i)) hit.ops.push_back(static_cast<int>(i));
  }
  return hit.ops.empty() ? std::nullopt : std::optional(std::move(hit));
}

template <class Test>
std::optional<Hit> inputs_where(const Examination& e, Test&& test) {
  std::vector<std::string> names;
  for (const Feature& feature : e.interface->inputs) {
    if (test(feature)) names.push_back(fmt::format("'{}' ({})", feature.name, describe(feature)));
  }
  return names.empty() ? std::nullopt : std::optional(Hit{joined(names, ", "), {}});
}

std::size_t listed_shapes(const Feature& feature) {
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) return array->enumerated.size();
  const auto* image = std::get_if<ImageFeature>(&feature.kind);
  return image == nullptr ? 0 : image->enumerated.size();
}

std::optional<Hit> needs_newer_system(const Examination& e) {
  const int needs = e.model.info.specification_version, loads = e.around.system.specification();
  if (needs <= loads) return std::nullopt;
  return Hit{fmt::format("specification version {}; {} loads up to {}", needs, to_string(e.around.system), loads), {}};
}

std::optional<Hit> heavy(const Examination& e, double most) {
  const auto bytes = static_cast<double>(e.around.weight_bytes);
  if (bytes <= most) return std::nullopt;
  Hit hit{fmt::format("{:.2f} GB", bytes / gb), {}};
  for (const Cut& cut : cuts(*e.function, static_cast<std::uint64_t>(gb))) {
    const auto found = std::find_if(e.ops.begin(), e.ops.end(), [&](const Examined& x) { return x.op == cut.after; });
    if (found != e.ops.end()) hit.ops.push_back(static_cast<int>(found - e.ops.begin()));
    hit.details += fmt::format("; cut after '{}': {:.2f} GB before it, {} bytes cross", cut.after->label(),
                               static_cast<double>(cut.weights_before) / gb, cut.crossing_bytes);
  }
  return hit;
}
std::optional<Hit> over_2gib(const Examination& e) { return heavy(e, static_cast<double>(two_gib)); }
std::optional<Hit> over_1gb(const Examination& e) { return e.around.weight_bytes > two_gib ? std::nullopt : heavy(e, gb); }

std::optional<Hit> is_neuralnetwork(const Examination& e) {
  if (!e.model.info.model_type.starts_with("neuralnetwork")) return std::nullopt;
  return Hit{"", {}};
}

std::optional<Hit> not_fp16(const Examination& e) {
  auto hit = ops_where(e, [](const Site& site, std::size_t) { return has_float32(site).has_value(); });
  if (!hit) return hit;
  hit->details = fmt::format("{} of {} ops compute in float32", hit->ops.size(), e.ops.size());
  // A few kept in float32 for accuracy are a choice; the rule T2 names them.
  return hit->ops.size() * 2 > e.ops.size() ? hit : std::nullopt;
}

// -inf as a constant that is added, selected or compared.
std::optional<Hit> infinite_masks(const Examination& e) {
  constexpr std::int64_t most = std::int64_t{1} << 24;
  return ops_where(e, [&](const Site& site, std::size_t) {
    if (!site.is("add") && !site.is("sub") && !site.is("select") && !site.is("mul") && !site.is("maximum")) return false;
    for (const ir::Argument& argument : site.op().inputs) {
      for (const ir::Binding& binding : argument.bindings) {
        const ir::ConstantPtr constant = ir::constant_of(binding);
        if (constant == nullptr || !constant->value.is_tensor()) continue;
        const Tensor& value = constant->value.tensor();
        if (!value.defined() || !is_floating(value.dtype()) || value.size() > most) continue;
        const Tensor wide = value.cast(DType::f32);
        const auto values = wide.values<float>();
        if (std::any_of(values.begin(), values.end(), [](float v) { return v == -INFINITY; })) return true;
      }
    }
    return false;
  });
}

std::optional<Hit> odd_states(const Examination& e) {
  std::vector<std::string> names;
  for (const auto& input : e.function->inputs) {
    const auto* state = input->type.as<ir::StateType>();
    const auto* tensor = state == nullptr ? nullptr : state->wrapped->as<ir::TensorType>();
    if (tensor == nullptr || rank(*tensor) < 1) continue;
    const std::int64_t width = extent(tensor->dims->back());
    if (width % 32 != 0) names.push_back(fmt::format("'{}' ({} wide)", input->name, width));
  }
  return names.empty() ? std::nullopt : std::optional(Hit{joined(names, ", "), {}});
}

std::optional<Hit> ranged_shapes(const Examination& e) {
  if (!e.around.ranged) return std::nullopt;
  const ir::Function& declared = *e.model.program->function(e.function->name);
  return Hit{joined(ranged_inputs(declared, *e.interface, e.around.halves), ", "), {}};
}

constexpr std::size_t most_shapes = 128;
std::optional<Hit> enumerated_shapes(const Examination& e) {
  return inputs_where(e, [](const Feature& f) { return listed_shapes(f) != 0 && listed_shapes(f) <= most_shapes; });
}
std::optional<Hit> too_many_shapes(const Examination& e) {
  return inputs_where(e, [](const Feature& f) { return listed_shapes(f) > most_shapes; });
}
std::optional<Hit> several_enumerated(const Examination& e) {
  const auto& inputs = e.interface->inputs;
  const auto count = std::count_if(inputs.begin(), inputs.end(), [](const Feature& f) { return listed_shapes(f) != 0; });
  if (count < 2) return std::nullopt;
  return inputs_where(e, [](const Feature& f) { return listed_shapes(f) != 0; });
}

std::optional<Hit> batched(const Examination& e) {
  // Three axes of a network's input are channel, height, width.
  const std::size_t least = e.around.halves ? 4 : 3;
  return inputs_where(e, [&](const Feature& feature) {
    const auto* array = std::get_if<ArrayFeature>(&feature.kind);
    return array != nullptr && array->shape.size() >= least && array->shape[0] > 1;
  });
}

std::optional<Hit> slow_to_compile(const Examination& e) {
  if (e.around.chip->generation < 16) return std::nullopt;
  return ops_where(e, [](const Site& site, std::size_t) {
    const ir::TensorType* weight = site.is("conv") ? site.type("weight") : nullptr;
    if (weight == nullptr || rank(*weight) != 4) return false;
    return extent((*weight->dims)[2]) == 16 && extent((*weight->dims)[3]) == 16;
  });
}

bool on_neural_engine(const Examination& e, std::size_t i) { return unit_of(e.placement.chosen[i]) == ane; }

std::optional<Hit> has_topk(const Examination& e) {
  return ops_where(e, [&](const Site& site, std::size_t i) { return site.is("topk") && on_neural_engine(e, i); });
}

std::optional<Hit> weights_at_run_time(const Examination& e) {
  return ops_where(e, [](const Site& site, std::size_t) {
    return (site.is("conv") || site.is("conv_transpose")) && !site.constant("weight");
  });
}

std::optional<Hit> odd_activations(const Examination& e) {
  constexpr std::string_view odd[] = {"elu",         "clamped_relu",     "softplus",          "softplus_parametric", "softsign",
                                      "scaled_tanh", "thresholded_relu", "linear_activation", "sigmoid_hard",        "prelu",
                                      "erf"};
  return ops_where(e, [&](const Site& site, std::size_t) {
    return std::find(std::begin(odd), std::end(odd), site.op().type) != std::end(odd);
  });
}

std::optional<Hit> strided_palettes(const Examination& e) {
  return ops_where(e, [](const Site& site, std::size_t) {
    const ir::Binding* weight = site.is("conv") ? site.binding("weight") : nullptr;
    auto* const* var = weight == nullptr ? nullptr : std::get_if<ir::Var*>(weight);
    if (var == nullptr || (*var)->producer == nullptr || !(*var)->producer->type.starts_with("constexpr_lut")) return false;
    const auto strides = site.ints("strides");
    return std::any_of(strides.begin(), strides.end(), [](std::int64_t s) { return s > 2; });
  });
}

std::optional<Hit> singleton_last_axis(const Examination& e) {
  constexpr double least = 4096;  // elements: small vectors do not matter
  return ops_where(e, [&](const Site& site, std::size_t i) {
    const ir::TensorType* y = site.output();
    return y != nullptr && rank(*y) >= 3 && elements(*y) >= least && extent(y->dims->back()) == 1 && on_neural_engine(e, i);
  });
}

std::optional<Hit> eligible_on_cpu(const Examination& e) {
  if ((e.allowed & ane) == 0) return std::nullopt;
  auto hit = ops_where(e, [&](const Site&, std::size_t i) {
    return unit_of(e.placement.chosen[i]) == cpu && (e.ops[i].candidate.units & ane) != 0;
  });
  if (hit) hit->details = fmt::format("{} of {} ops", hit->ops.size(), e.ops.size());
  return hit;
}

struct Row {
  std::string_view id;
  Severity severity;
  Condition condition;
  std::string_view title, advice, source;
  Confidence confidence;
};

using enum Severity;
using enum Confidence;
constexpr Row rows[] = {
#define TL_FINDING(id, severity, condition, title, advice, source, confidence) \
  {id, severity, condition, title, advice, source, confidence},
#include "insight/findings.inc"
#undef TL_FINDING
};

std::string sentence(std::string_view text) {
  std::string result(text);
  if (!result.empty() && result[0] >= 'a' && result[0] <= 'z') result[0] = static_cast<char>(result[0] - 'a' + 'A');
  return result;
}

// One finding per rule that keeps ops off the Neural Engine.
void add_rules(const Examination& e, std::vector<CheckFinding>& result) {
  if ((e.allowed & ane) == 0) return;
  for (const Rule& rule : rules()) {
    if ((rule.excludes & ane) == 0) continue;
    CheckFinding finding;
    std::string details;
    for (std::size_t i = 0; i < e.ops.size(); ++i) {
      const auto& all = e.ops[i].exclusions;
      const auto first = std::find_if(all.begin(), all.end(), [](const Exclusion& x) { return (x.rule->excludes & ane) != 0; });
      if (first == all.end() || first->rule != &rule) continue;
      finding.ops.push_back(static_cast<int>(i));
      if (details.empty()) details = first->details;
    }
    if (finding.ops.empty()) continue;
    finding.id = rule.id;
    finding.severity = Severity::warning;
    finding.title = sentence(rule.reason);
    finding.details = fmt::format("{} op{}{}{}", finding.ops.size(), finding.ops.size() == 1 ? "" : "s",
                                  details.empty() ? "" : ", such as ", details);
    finding.advice = rule.advice;
    finding.source = rule.source;
    finding.confidence = to_string(rule.confidence);
    result.push_back(std::move(finding));
  }
}

}  // namespace

std::vector<CheckFinding> findings(const Examination& e) {
  std::vector<CheckFinding> result;
  for (const Row& row : rows) {
    std::optional<Hit> hit = row.condition(e);
    if (!hit) continue;
    result.push_back({std::string(row.id), row.severity, std::string(row.title), std::move(hit->details),
                      std::string(row.advice), std::string(row.source), std::string(to_string(row.confidence)),
                      std::move(hit->ops)});
  }
  add_rules(e, result);
  std::stable_sort(result.begin(), result.end(),
                   [](const CheckFinding& a, const CheckFinding& b) { return a.severity < b.severity; });
  return result;
}

}  // namespace tl::insight
