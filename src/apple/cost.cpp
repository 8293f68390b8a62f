#include "apple/cost.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace tl::apple {

using namespace ir;

namespace {

using enum Unit;

struct Machine {
  Unit unit;
  double gb_per_s, tflop_per_s, launch_ms;
};
constexpr Machine machines[] = {
#define TL_BACKEND(id, unit, gb, tflop, launch) {unit, gb, tflop, launch},
#include "apple/cost.inc"
};
static_assert(std::size(machines) == backend_count);

enum class Law { roofline, tiers, moved, written, entered, produced, transposed };
struct Row {
  std::string_view op;
  Law law;
  Estimates factors;
};
const Row rows[] = {
#define TL_COST(op, law, bnns, classic, gpu, ane) {op, Law::law, {bnns, classic, gpu, ane}},
#include "apple/cost.inc"
};

struct Sized {
  double operations;
  Estimates factors;
};
const Sized tiers[] = {
#define TL_TIER(most, bnns, classic, gpu, ane) {most, {bnns, classic, gpu, ane}},
#include "apple/cost.inc"
};
const Sized powers[] = {
#define TL_POWER(at, bnns, classic, gpu, ane) {at, {bnns, classic, gpu, ane}},
#include "apple/cost.inc"
};

double bytes_of(const Site& site, const TensorType& type) { return elements(type) * bits(site.dtype(type)) / 8.0; }

double extent_of(const TensorType* type, std::size_t from_end) {
  if (type == nullptr || rank(*type) <= static_cast<std::int64_t>(from_end)) return 1;
  return static_cast<double>(extent((*type->dims)[type->dims->size() - 1 - from_end]));
}

double out_elements(const Site& site) { return site.output() == nullptr ? 0 : elements(*site.output()); }

double in_elements(const Site& site) {
  double sum = 0;
  for (const TensorType* type : site.runtime_inputs()) sum += elements(*type);
  return sum;
}

double output_bytes(const Site& site) {
  double sum = 0;
  for (const TensorType* type : site.outputs()) sum += bytes_of(site, *type);
  return sum;
}

double input_bytes(const Site& site) {
  double sum = 0;
  for (const TensorType* type : site.runtime_inputs()) sum += bytes_of(site, *type);
  return sum;
}

double memory_ms(const Machine& machine, double moved) { return moved / (machine.gb_per_s * 1e6); }
double compute_ms(const Machine& machine, double work) { return work / (machine.tflop_per_s * 1e9); }

double tiered_ms(std::size_t i, double work) {
  for (const Sized& tier : tiers) {
    if (work <= tier.operations) return compute_ms(machines[i], work * tier.factors[i]);
  }
  return compute_ms(machines[i], work);
}

// Between and below the recorded sizes a power through both; above in proportion.
double power_ms(std::size_t i, double work) {
  const auto& [low, high] = powers;
  const double a = low.factors[i], b = high.factors[i];
  if (work >= high.operations) return b * work / high.operations;
  const double exponent = std::log(b / a) / std::log(high.operations / low.operations);
  return a * std::pow(work / low.operations, exponent);
}

double law_ms(const Row* row, std::size_t i, const Site& site) {
  const Machine& machine = machines[i];
  if (row == nullptr) return memory_ms(machine, bytes(site));
  const double factor = row->factors[i];
  switch (row->law) {
    case Law::roofline: return std::max(memory_ms(machine, bytes(site)), compute_ms(machine, operations(site)));
    case Law::tiers: return tiered_ms(i, operations(site));
    case Law::moved: return (input_bytes(site) + output_bytes(site)) / (factor * 1e6);
    case Law::written: return output_bytes(site) / (factor * 1e6);
    case Law::entered: return in_elements(site) * factor * 1e-6;
    case Law::produced: return out_elements(site) * factor * 1e-6;
    case Law::transposed: return power_ms(i, operations(site));
  }
  return 0;
}

}  // namespace

Unit unit_of(Backend backend) noexcept { return machines[static_cast<std::size_t>(backend)].unit; }
double launch_ms(Backend backend) noexcept { return machines[static_cast<std::size_t>(backend)].launch_ms; }
double switch_ms() noexcept {
#define TL_SWITCH(ms) return ms;
#include "apple/cost.inc"
}

double operations(const Site& site) {
  const TensorType* weight = site.type("weight");
  const double out = out_elements(site);
  if (site.is("conv") && weight != nullptr && rank(*weight) > 0) {
    const double filters = static_cast<double>(std::max<std::int64_t>(extent(weight->dims->front()), 1));
    return 2 * out * elements(*weight) / filters;
  }
  if (site.is("conv_transpose") && weight != nullptr && rank(*weight) > 0) {
    const TensorType* x = site.type("x");
    const double channels = static_cast<double>(std::max<std::int64_t>(extent(weight->dims->front()), 1));
    return 2 * (x == nullptr ? 0 : elements(*x)) * elements(*weight) / channels;
  }
  if (site.is("linear")) return 2 * out * extent_of(weight, 0);
  if (site.is("matmul")) return 2 * out * extent_of(site.type("x"), site.flag("transpose_x") ? 1 : 0);
  if (site.op().type.ends_with("_pool")) {
    double window = 1;
    for (const std::int64_t size : site.ints("kernel_sizes")) window *= static_cast<double>(size);
    return out * window;
  }
  double gates = 0;  // of recurrent layers: weights times steps and batch
  for (const char* name : {"weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back"}) {
    if (const TensorType* gate = site.type(name)) gates += elements(*gate);
  }
  const TensorType* x = site.type("x");
  return gates == 0 || x == nullptr ? 0 : 2 * gates * elements(*x) / extent_of(x, 0);
}

double bytes(const Site& site) {
  double sum = output_bytes(site);
  for (const Argument& argument : site.op().inputs) {
    for (const Binding& binding : argument.bindings) {
      if (const auto* type = type_of(binding).as<TensorType>()) sum += bytes_of(site, *type);
    }
  }
  return sum;
}

Estimates estimate(const Site& site) {
  Estimates result{};
  if (runs_at_load(site.op()) || !site.op().blocks.empty()) return result;
  const auto* row = std::find_if(std::begin(rows), std::end(rows), [&](const Row& r) { return r.op == site.op().type; });
  for (std::size_t i = 0; i < backend_count; ++i) result[i] = law_ms(row == std::end(rows) ? nullptr : row, i, site);
  return result;
}

}  // namespace tl::apple
