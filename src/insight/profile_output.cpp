#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "insight/model_graph.hpp"
#include "insight/page.hpp"
#include "insight/profile_data.hpp"

namespace tl {

using insight::Json;

namespace {

std::string ms(double seconds) { return fmt::format("{:.3f}", seconds * 1e3); }
std::string share(double part) { return fmt::format("{:.1f} %", 100 * part); }
double rate(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

std::string optional_share(const std::optional<double>& part) { return part ? fmt::format("{:.0f} %", 100 * *part) : ""; }

// Below what a clock tells rates mean nothing.
constexpr double shortest = 2e-7;
std::string rate_text(double amount, double seconds) {
  return amount > 0 && seconds >= shortest ? fmt::format("{:.1f}", rate(amount, seconds) * 1e-9) : "";
}

std::string energy_text(const Profile& profile) {
  return profile.joules ? fmt::format("{:.3f} J a prediction, of the whole processor package", *profile.joules)
                        : "not known: " + profile.energy_note;
}

double memory_rate(const Profile& profile) { return profile.peak_bandwidth.empty() ? 0 : profile.peak_bandwidth.back().second; }

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

}  // namespace

std::string profile_json(const Profile& profile) {
  const double total = insight::step_seconds(profile);
  Json json = {{"model", profile.model},
               {"device", profile.device},
               {"threads", profile.threads},
               {"iterations", profile.iterations},
               {"predict_ms", profile.predict_seconds * 1e3},
               {"profiled_ms", profile.profiled_seconds * 1e3},
               {"steps_ms", total * 1e3},
               {"joules", optional_json(profile.joules)}};
  if (!profile.joules) json["energy_note"] = profile.energy_note;
  json["memory"] = {{"arena_bytes", profile.arena_bytes},
                    {"workspace_bytes", profile.workspace_bytes},
                    {"packed_bytes", profile.packed_bytes}};
  json["peak"] = {{"gflops", profile.peak_flops * 1e-9}, {"bandwidth", Json::array()}};
  for (const auto& [size, speed] : profile.peak_bandwidth)
    json["peak"]["bandwidth"].push_back({{"working_set_bytes", size}, {"gb_per_second", speed * 1e-9}});
  json["steps"] = Json::array();
  for (const ProfileStep& step : profile.steps) {
    json["steps"].push_back({{"op", step.op},
                             {"type", step.type},
                             {"kernel", step.kernel},
                             {"output", step.output},
                             {"ms", step.seconds * 1e3},
                             {"share", total > 0 ? step.seconds / total : 0},
                             {"flops", step.flops},
                             {"bytes", step.bytes},
                             {"roofline", optional_json(step.roofline)},
                             {"layout_change", step.layout},
                             {"packed_bytes", step.packed_bytes},
                             {"live_bytes", step.live_bytes},
                             {"joined", step.joined}});
  }
  json["kernels"] = Json::array();
  for (const insight::KernelSum& sum : insight::sums_by_kernel(profile)) {
    json["kernels"].push_back({{"kernel", sum.kernel},
                               {"steps", sum.steps},
                               {"ms", sum.seconds * 1e3},
                               {"share", total > 0 ? sum.seconds / total : 0},
                               {"flops", sum.flops},
                               {"bytes", sum.bytes}});
  }
  json["phases"] = Json::array();
  for (const ProfilePhase& phase : profile.phases) {
    json["phases"].push_back(
        {{"name", phase.name}, {"ms", phase.seconds * 1e3}, {"ops_before", phase.ops_before}, {"ops_after", phase.ops_after}});
  }
  json["findings"] = Json::array();
  for (const insight::Advice& advice : insight::advice_on(profile))
    json["findings"].push_back({{"severity", advice.severity}, {"title", advice.title}, {"text", advice.text}});
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string profile_text(const Profile& profile, bool sorted, int top) {
  const double total = std::max(insight::step_seconds(profile), 1e-12);
  std::vector<const ProfileStep*> steps;
  steps.reserve(profile.steps.size());
  for (const ProfileStep& step : profile.steps) steps.push_back(&step);
  if (sorted) {
    std::stable_sort(steps.begin(), steps.end(),
                     [](const ProfileStep* a, const ProfileStep* b) { return a->seconds > b->seconds; });
  }
  if (top > 0 && steps.size() > static_cast<std::size_t>(top)) steps.resize(static_cast<std::size_t>(top));
  std::vector<std::vector<std::string>> rows = {
      {"MS", "SHARE", "GFLOP/S", "GB/S", "ROOF", "OP", "TYPE", "KERNEL", "PACKED", "OUTPUT"}};
  for (const ProfileStep* step : steps) {
    rows.push_back({ms(step->seconds), share(step->seconds / total), rate_text(step->flops, step->seconds),
                    rate_text(step->bytes, step->seconds), step->seconds < shortest ? "" : optional_share(step->roofline),
                    step->op, step->type, step->kernel, step->packed_bytes == 0 ? "" : bytes_text(step->packed_bytes),
                    step->output});
  }
  std::string text = text_table(rows, {0, 1, 2, 3, 4});
  rows = {{"KERNEL", "STEPS", "MS", "SHARE", "GFLOP/S", "GB/S", "ROOF"}};
  for (const insight::KernelSum& sum : insight::sums_by_kernel(profile)) {
    rows.push_back({sum.kernel, std::to_string(sum.steps), ms(sum.seconds), share(sum.seconds / total),
                    rate_text(sum.flops, sum.seconds), rate_text(sum.bytes, sum.seconds),
                    sum.bound > 0 && sum.seconds >= shortest ? fmt::format("{:.0f} %", 100 * sum.bound / sum.seconds) : ""});
  }
  text += "\n" + text_table(rows, {1, 2, 3, 4, 5, 6});
  rows = {{"PREPARATION", "MS", "OPS"}};
  for (const ProfilePhase& phase : profile.phases) {
    rows.push_back({phase.name, ms(phase.seconds),
                    phase.ops_before == phase.ops_after ? std::to_string(phase.ops_after)
                                                        : fmt::format("{} -> {}", phase.ops_before, phase.ops_after)});
  }
  text += "\n" + text_table(rows, {1});
  rows.clear();
  rows.push_back({"all steps", ms(total) + " ms"});
  rows.push_back(
      {"prediction", fmt::format("{} ms ({} ms while measured)", ms(profile.predict_seconds), ms(profile.profiled_seconds))});
  rows.push_back(
      {"memory", fmt::format("{} planned (workspaces of up to {} in it), {} packed weights", bytes_text(profile.arena_bytes),
                             bytes_text(profile.workspace_bytes), bytes_text(profile.packed_bytes))});
  std::string speeds;
  for (const auto& [size, speed] : profile.peak_bandwidth)
    speeds += fmt::format(", {:.0f} GB/s in {}", speed * 1e-9, bytes_text(static_cast<std::uint64_t>(size)));
  rows.push_back({"roofline", fmt::format("{:.0f} GFLOP/s{}, {} {}", profile.peak_flops * 1e-9, speeds, profile.threads,
                                          profile.threads == 1 ? "thread" : "threads")});
  rows.push_back({"energy", energy_text(profile)});
  text += "\n" + text_table(rows);
  for (const insight::Advice& advice : insight::advice_on(profile))
    text += fmt::format("\n{}: {}\n  {}\n", advice.severity, advice.title, advice.text);
  return text;
}

std::string profile_trace(const Profile& profile) {
  Json events = Json::array();
  events.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"args", {{"name", "tl profile " + profile.model}}}});
  events.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", "steps"}}}});
  const std::vector<double>& moments = profile.trace->moments;
  const std::size_t stride = profile.steps.size() + 1;
  for (std::size_t first = 0, run = 1; first + stride <= moments.size(); first += stride, ++run) {
    events.push_back({{"name", fmt::format("prediction {}", run)},
                      {"cat", "prediction"},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", moments[first] * 1e6},
                      {"dur", (moments[first + stride - 1] - moments[first]) * 1e6}});
    for (std::size_t i = 0; i < profile.steps.size(); ++i) {
      const ProfileStep& step = profile.steps[i];
      const double start = moments[first + i], end = moments[first + i + 1];
      events.push_back(
          {{"name", step.op},
           {"cat", step.type},
           {"ph", "X"},
           {"pid", 1},
           {"tid", 1},
           {"ts", start * 1e6},
           {"dur", (end - start) * 1e6},
           {"args", {{"kernel", step.kernel}, {"output", step.output}, {"flops", step.flops}, {"bytes", step.bytes}}}});
      events.push_back({{"name", "planned memory in use"},
                        {"ph", "C"},
                        {"pid", 1},
                        {"ts", start * 1e6},
                        {"args", {{"bytes", step.live_bytes}}}});
    }
  }
  return Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump(-1, ' ', false,
                                                                                  Json::error_handler_t::replace) +
         "\n";
}

namespace {

using insight::Column;

// The graph of the steps as they run, coloured by time, in the groups of the model's own names.
insight::Graph timed_graph(const Profile& profile, std::vector<std::int64_t>& node_of_step) {
  insight::ModelGraph timed = insight::model_graph(profile.trace->executable->function(), false);
  insight::copy_scopes(*profile.trace->original, timed);
  const auto infos = profile.trace->executable->steps();
  insight::Colouring heat, roof;
  heat.title = "time";
  heat.heat.assign(timed.graph.nodes.size(), std::nan(""));
  double most = 0;
  for (const ProfileStep& step : profile.steps) most = std::max(most, step.seconds);
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const auto found = timed.nodes.find(infos[i].op);
    node_of_step.push_back(found == timed.nodes.end() ? -1 : static_cast<std::int64_t>(found->second));
    if (found == timed.nodes.end()) continue;
    const ProfileStep& step = profile.steps[i];
    heat.heat[found->second] = most > 0 ? step.seconds / most : 0;
    auto& details = timed.graph.nodes[found->second].details;
    std::vector<std::pair<std::string, std::string>> rows = {{"time", ms(step.seconds) + " ms"}, {"kernel", step.kernel}};
    if (step.flops > 0)
      rows.emplace_back("work",
                        fmt::format("{:.4f} GFLOP, {} GFLOP/s", step.flops * 1e-9, rate_text(step.flops, step.seconds)));
    if (step.bytes > 0)
      rows.emplace_back("moves", fmt::format("{}, {} GB/s", bytes_text(static_cast<std::uint64_t>(step.bytes)),
                                             rate_text(step.bytes, step.seconds)));
    if (step.roofline) rows.emplace_back("roofline", optional_share(step.roofline));
    details.insert(details.begin(), rows.begin(), rows.end());
  }
  heat.low = "0 ms";
  heat.high = ms(most) + " ms";
  timed.graph.colourings.insert(timed.graph.colourings.begin(), std::move(heat));
  return std::move(timed.graph);
}

}  // namespace

std::string profile_html(const Profile& profile) {
  const double total = std::max(insight::step_seconds(profile), 1e-12);
  double flops = 0;
  for (const ProfileStep& step : profile.steps) flops += step.flops;
  const std::string name = profile.model.substr(profile.model.find_last_of('/') + 1);
  insight::Page page("profile", name);
  page.facts(
      {{"prediction", ms(profile.predict_seconds) + " ms", fmt::format("median of {}", profile.iterations)},
       {"steps", std::to_string(profile.steps.size()), fmt::format("on the {}, {} threads", profile.device, profile.threads)},
       {"work", fmt::format("{:.2f} GFLOP", flops * 1e-9),
        fmt::format("{:.0f} GFLOP/s", rate(flops, profile.predict_seconds) * 1e-9)},
       {"planned memory", bytes_text(profile.arena_bytes), bytes_text(profile.packed_bytes) + " packed weights"},
       {"this machine", fmt::format("{:.0f} GFLOP/s", profile.peak_flops * 1e-9),
        fmt::format("{:.0f} GB/s from memory", memory_rate(profile) * 1e-9)},
       {"energy", profile.joules ? fmt::format("{:.2f} J", *profile.joules) : "not known",
        profile.joules ? "a prediction" : profile.energy_note}});
  std::vector<insight::Finding> findings;
  for (const insight::Advice& advice : insight::advice_on(profile))
    findings.push_back({advice.severity, advice.title, advice.text});
  if (!findings.empty()) page.section("Where to look").findings(findings);

  std::vector<std::int64_t> nodes;
  const insight::Graph graph = timed_graph(profile, nodes);
  page.section("The model as it runs",
               "Ops after all passes, coloured by time. Click an op for its figures, a group to open it.");
  page.graphs({graph});

  insight::Table kernels;
  kernels.columns = {{"kernel"},
                     {"steps", Column::Kind::number, "", 0},
                     {"ms", Column::Kind::number},
                     {"share", Column::Kind::bar},
                     {"GFLOP/s", Column::Kind::number, "", 1},
                     {"GB/s", Column::Kind::number, "", 1},
                     {"roofline", Column::Kind::bar}};
  for (const insight::KernelSum& sum : insight::sums_by_kernel(profile)) {
    const bool timed = sum.seconds >= shortest;
    kernels.rows.push_back({sum.kernel, sum.steps, sum.seconds * 1e3, sum.seconds / total,
                            timed && sum.flops > 0 ? Json(rate(sum.flops, sum.seconds) * 1e-9) : Json(nullptr),
                            timed && sum.bytes > 0 ? Json(rate(sum.bytes, sum.seconds) * 1e-9) : Json(nullptr),
                            timed && sum.bound > 0 ? Json(sum.bound / sum.seconds) : Json(nullptr)});
  }
  page.section("By kernel").table(kernels);

  insight::Table steps;
  steps.columns = {{"step", Column::Kind::number, "", 0},
                   {"op"},
                   {"type", Column::Kind::badge},
                   {"kernel"},
                   {"ms", Column::Kind::number, "median"},
                   {"share", Column::Kind::bar},
                   {"GFLOP", Column::Kind::number, "a multiplication with its addition counts as two", 4},
                   {"moves", Column::Kind::bytes, "read and written, weights included"},
                   {"roofline", Column::Kind::bar, "the least time that this machine could need, over the time taken"},
                   {"output"}};
  steps.nodes = nodes;
  steps.sorted_by = "ms";
  insight::StepChart memory{"planned memory in use", true, {}, {}};
  for (std::size_t i = 0; i < profile.steps.size(); ++i) {
    const ProfileStep& step = profile.steps[i];
    steps.rows.push_back({i + 1, step.op, step.type, step.kernel, step.seconds * 1e3, step.seconds / total,
                          step.flops > 0 ? Json(step.flops * 1e-9) : Json(nullptr),
                          step.bytes > 0 ? Json(step.bytes) : Json(nullptr),
                          step.seconds >= shortest ? optional_json(step.roofline) : Json(nullptr), step.output});
    memory.values.push_back(static_cast<double>(step.live_bytes));
    memory.labels.push_back(step.type + " " + step.op);
  }
  page.section("Steps", "In the order of time; click a heading to sort, a row to show the op in the graph.").table(steps);
  page.section("Memory over time",
               fmt::format("Results and workspaces of kernels share one block of {}.", bytes_text(profile.arena_bytes)))
      .chart(memory);

  insight::Table phases;
  phases.columns = {{"phase"},
                    {"ms", Column::Kind::number},
                    {"ops before", Column::Kind::number, "", 0},
                    {"ops after", Column::Kind::number, "", 0}};
  for (const ProfilePhase& phase : profile.phases)
    phases.rows.push_back({phase.name, phase.seconds * 1e3, phase.ops_before, phase.ops_after});
  page.section("Preparation", "What the first prediction with these shapes took before it ran.").table(phases);
  return page.html();
}

}  // namespace tl
