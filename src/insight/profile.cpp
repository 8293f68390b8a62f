#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "insight/energy.hpp"
#include "insight/made_inputs.hpp"
#include "insight/model_graph.hpp"
#include "insight/profile_data.hpp"
#include "insight/roofline.hpp"
#include "plan/cost.hpp"
#include "plan/model_impl.hpp"

namespace tl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int max_iterations = 1'000'000;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What the step takes; what passes from a joined op to the next is neither written nor read.
plan::Cost cost_of(const plan::StepInfo& info) {
  plan::Cost sum = plan::cost_of(*info.op);
  for (const ir::Op* op : info.joined) {
    const plan::Cost cost = plan::cost_of(*op);
    sum.flops += cost.flops;
    sum.read += cost.read - cost.written;
  }
  return sum;
}

ProfileStep step_of(const plan::StepInfo& info, double seconds, const cpu::Peak& peak) {
  ProfileStep step;
  const ir::Op& op = *info.op;
  step.op = op.label();
  step.type = op.type;
  step.kernel = info.kernel;
  step.output = op.outputs.empty() ? "" : insight::short_type(op.outputs[0]->type);
  step.seconds = seconds;
  step.packed_bytes = info.packed_bytes;
  step.live_bytes = info.live_bytes;
  step.layout = op.type == "transpose" && info.kernel != "view";
  if (info.kernel == "view") return step;
  for (const ir::Op* joined : info.joined) step.joined.push_back(joined->label());
  const plan::Cost cost = cost_of(info);
  step.flops = cost.flops;
  step.bytes = cost.read + cost.written;
  if (seconds > 0 && step.flops + step.bytes > 0) step.roofline = peak.bound(step.flops, step.bytes) / seconds;
  return step;
}

// Operations per second of the fastest step that does all that are counted (Winograd's and Strassen's do fewer).
double fastest(const std::vector<plan::StepInfo>& infos, const plan::Recorder& recorder) {
  double most = 0;
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const double seconds = recorder.median_seconds(i);
    const std::string_view kernel = infos[i].kernel;
    const bool counted = !kernel.starts_with("winograd") && !kernel.starts_with("strassen") && kernel != "view";
    if (counted && seconds > 1e-5) most = std::max(most, cost_of(infos[i]).flops / seconds);
  }
  return most;
}

std::vector<ProfilePhase> phases_of(const plan::Executable& executable, const ir::Function& original) {
  const plan::CompileCosts& costs = executable.costs;
  const auto count = [](std::size_t ops) { return static_cast<std::int64_t>(ops); };
  const std::int64_t first =
      costs.passes.empty() ? count(executable.function().body.ops.size()) : count(costs.passes.front().ops_before);
  std::vector<ProfilePhase> phases = {{"specialize", costs.specialize_seconds, count(original.body.ops.size()), first}};
  for (const pass::PassCost& pass : costs.passes)
    phases.push_back({std::string(pass.name), pass.seconds, count(pass.ops_before), count(pass.ops_after)});
  const std::int64_t last = count(executable.function().body.ops.size());
  phases.push_back({"kernels", costs.kernel_seconds, last, count(executable.statistics().steps)});
  return phases;
}

}  // namespace

Profile profile(const Model& model, const NamedValues& inputs, const ProfileOptions& options, State* state) {
  if (options.iterations < 1 || options.iterations > max_iterations || options.warmup < 0 || options.warmup > max_iterations)
    fail(ErrorKind::invalid_argument, "iterations {} and warm-up {}: expected 1 to {} and at least 0", options.iterations,
         options.warmup, max_iterations);
  NamedValues values = inputs;
  within([&] { return model.info().name; }, [&] { insight::fill_inputs(values, model.interface()); });
  const Model::Impl& impl = model.impl();
  plan::Recorder recorder;
  run_model(impl, values, state, &recorder);
  for (int i = 1; i < options.warmup; ++i) run_model(impl, values, state, nullptr);
  cpu::Peak peak = insight::roofline(*impl.session->pool(), options.cache_folder, options.measure_roofline);

  recorder = {};
  std::vector<double> plain, measured;
  insight::EnergyMeter meter;
  meter.start();
  const auto timed = [&](std::vector<double>& seconds, plan::Recorder* used) {
    const auto start = Clock::now();
    run_model(impl, values, state, used);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  };
  for (int i = 0; i < options.iterations; ++i) {
    timed(plain, nullptr);
    timed(measured, &recorder);
  }
  const std::optional<double> joules = meter.joules();

  const plan::Executable& executable = *recorder.executable;
  Profile result;
  result.model = model.info().path;
  result.device = std::string(model.device());
  result.threads = impl.session->pool()->threads();
  result.iterations = options.iterations;
  result.predict_seconds = median(std::move(plain));
  result.profiled_seconds = median(std::move(measured));
  const std::vector<plan::StepInfo> infos = executable.steps();
  if (fastest(infos, recorder) > peak.flops)
    peak = insight::better_roofline(*impl.session->pool(), options.cache_folder, std::move(peak));
  for (std::size_t i = 0; i < infos.size(); ++i) result.steps.push_back(step_of(infos[i], recorder.median_seconds(i), peak));
  result.phases = phases_of(executable, impl.session->function());
  result.arena_bytes = executable.statistics().arena_bytes;
  result.workspace_bytes = executable.statistics().workspace_bytes;
  result.packed_bytes = executable.statistics().packed_bytes;
  result.peak_flops = peak.flops;
  result.peak_bandwidth = peak.bandwidth;
  if (joules) result.joules = *joules / (2.0 * options.iterations);
  result.energy_note = meter.note();
  const ir::Function* original = impl.model.program->function(impl.interface->function);
  auto trace = std::make_shared<Profile::Trace>();
  trace->model = std::make_shared<Model>(model);
  trace->executable = recorder.executable;
  trace->moments = std::move(recorder.moments);
  trace->original = {trace->model, original};
  result.trace = std::move(trace);
  return result;
}

namespace insight {

double step_seconds(const Profile& profile) {
  double total = 0;
  for (const ProfileStep& step : profile.steps) total += step.seconds;
  return total;
}

std::vector<KernelSum> sums_by_kernel(const Profile& profile) {
  std::map<std::string, KernelSum> sums;
  for (const ProfileStep& step : profile.steps) {
    KernelSum& sum = sums[step.kernel];
    sum.kernel = step.kernel;
    ++sum.steps;
    sum.seconds += step.seconds;
    sum.flops += step.flops;
    sum.bytes += step.bytes;
    sum.bound += step.roofline.value_or(0) * step.seconds;
  }
  std::vector<KernelSum> list;
  list.reserve(sums.size());
  for (auto& [kernel, sum] : sums) list.push_back(std::move(sum));
  std::sort(list.begin(), list.end(), [](const KernelSum& a, const KernelSum& b) { return a.seconds > b.seconds; });
  return list;
}

std::vector<Advice> advice_on(const Profile& profile) {
  std::vector<Advice> list;
  const double total = step_seconds(profile);
  if (profile.steps.empty() || total <= 0) return list;
  double slow = 0, layout = 0;
  int slow_count = 0, layout_count = 0;
  std::map<std::string, double> slow_types;
  for (const ProfileStep& step : profile.steps) {
    if (step.kernel == "reference") {
      slow += step.seconds;
      ++slow_count;
      slow_types[step.type] += step.seconds;
    }
    if (step.layout) {
      layout += step.seconds;
      ++layout_count;
    }
  }
  if (slow_count > 0) {
    std::string names;
    for (const auto& [type, seconds] : slow_types)
      names += fmt::format("{}{} {:.1f} %", names.empty() ? "" : ", ", type, 100 * seconds / total);
    list.push_back({slow > 0.05 * total ? "warning" : "note",
                    fmt::format("{} {} on the slow reference: {:.1f} % of the time", slow_count,
                                slow_count == 1 ? "step runs" : "steps run", 100 * slow / total),
                    fmt::format("No kernel takes these ops with these types or shapes: {}.", names)});
  }
  if (layout > 0.05 * total)
    list.push_back({"note",
                    fmt::format("{} {} {:.1f} % of the time", layout_count,
                                layout_count == 1 ? "transpose takes" : "transposes take", 100 * layout / total),
                    "They only bring values into another order. A model whose neighbouring ops agree on one needs none."});
  const ProfileStep* worst = nullptr;
  for (const ProfileStep& step : profile.steps) {
    if (step.kernel == "reference" || !step.roofline || step.seconds < 0.03 * total || *step.roofline > 0.4) continue;
    if (worst == nullptr || step.seconds * (1 - *step.roofline) > worst->seconds * (1 - *worst->roofline)) worst = &step;
  }
  if (worst != nullptr)
    list.push_back(
        {"note", fmt::format("'{}' reaches {:.0f} % of the roofline", worst->op, 100 * *worst->roofline),
         fmt::format("{} takes {:.3f} ms; this machine could do its {:.3f} GFLOP and {:.2f} MB in {:.3f} ms.", worst->kernel,
                     worst->seconds * 1e3, worst->flops * 1e-9, worst->bytes * 1e-6, worst->seconds * *worst->roofline * 1e3)});
  if (const double outside = profile.predict_seconds - total; outside > 0.1 * profile.predict_seconds)
    list.push_back({"note",
                    fmt::format("{:.1f} % of a prediction lies outside of the steps", 100 * outside / profile.predict_seconds),
                    "Inputs are converted and checked, outputs are copied; small models feel it."});
  return list;
}

}  // namespace insight
}  // namespace tl
