#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "cli/inputs.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Each row is a step: an op, or several fused into one kernel. Times are medians over the iterations, measured here.
"view" moves no bytes; "reference" is the slow path that runs what no kernel takes.

EXAMPLES
  tl profile model.mlpackage
  tl profile model.mlpackage --sort --top 10
  tl profile model.mlpackage --in x=in.npy --json)";

struct Arguments {
  LoadArguments load;
  InputArguments inputs;
  int iterations = 30;
  int top = 0;
  bool sort = false;
};

std::string by_kernel(const std::vector<StepProfile>& steps, double total) {
  std::map<std::string, std::pair<double, int>> sums;
  for (const StepProfile& step : steps) {
    sums[step.kernel].first += step.seconds;
    ++sums[step.kernel].second;
  }
  std::vector<std::pair<std::string, std::pair<double, int>>> sorted(sums.begin(), sums.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
  std::vector<std::vector<std::string>> lines = {{"KERNEL", "STEPS", "MS", "SHARE"}};
  for (const auto& [kernel, sum] : sorted) {
    lines.push_back({kernel, std::to_string(sum.second), fmt::format("{:.3f}", sum.first * 1e3),
                     fmt::format("{:.1f} %", 100 * sum.first / total)});
  }
  return table(lines, {1, 2, 3});
}

int profile(const Arguments& arguments, const Context& context) {
  std::vector<StepProfile> steps;
  {
    Progress progress(context);
    progress.show("loading " + arguments.load.model);
    const Model model = Model::load(arguments.load.model, load_options(arguments.load, context));
    NamedValues inputs = within([&] { return arguments.load.model; },
                                [&] {
                                  NamedValues values = read_inputs(arguments.inputs, model.interface(), context);
                                  fill_inputs(values, model.interface());
                                  return values;
                                });
    State state = model.interface().states.empty() ? State() : model.make_state();
    State* used = state.defined() ? &state : nullptr;
    for (int i = 0; i < 5; ++i) model.predict(inputs, used);
    progress.show(fmt::format("measuring {} predictions", arguments.iterations));
    steps = model.profile(inputs, arguments.iterations, used);
  }
  double total = 0;
  for (const StepProfile& step : steps) total += step.seconds;
  if (context.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const StepProfile& step : steps) {
      json.push_back({{"op", step.op},
                      {"type", step.type},
                      {"kernel", step.kernel},
                      {"output", step.output},
                      {"ms", step.seconds * 1e3},
                      {"share", total > 0 ? step.seconds / total : 0},
                      {"packed_bytes", step.packed_bytes}});
    }
    print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return ok;
  }
  const std::string summary = by_kernel(steps, total);
  if (arguments.sort) {
    std::stable_sort(steps.begin(), steps.end(),
                     [](const StepProfile& a, const StepProfile& b) { return a.seconds > b.seconds; });
  }
  if (arguments.top > 0 && steps.size() > static_cast<std::size_t>(arguments.top))
    steps.resize(static_cast<std::size_t>(arguments.top));
  std::vector<std::vector<std::string>> lines = {{"MS", "SHARE", "OP", "TYPE", "KERNEL", "PACKED", "OUTPUT"}};
  for (const StepProfile& step : steps) {
    lines.push_back({fmt::format("{:.3f}", step.seconds * 1e3), fmt::format("{:.1f} %", 100 * step.seconds / total), step.op,
                     step.type, step.kernel, step.packed_bytes == 0 ? "" : bytes_text(step.packed_bytes), step.output});
  }
  print(table(lines, {0, 1}));
  print("\n" + summary + fmt::format("all steps {:.3f} ms\n", total * 1e3));
  return ok;
}

}  // namespace

void add_profile(CLI::App& app, Context& context) {
  CLI::App* command = add_command(app, "profile", "Measure where the time of a prediction goes, step by step", footer);
  auto arguments = std::make_shared<Arguments>();
  add_load(*command, arguments->load);
  add_inputs(*command, arguments->inputs);
  command->add_option("--iterations", arguments->iterations, "Predictions that are measured")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [30]");
  command->add_option("--top", arguments->top, "Show this many steps only")->check(CLI::Range(1, 1'000'000))->option_text("N");
  command->add_flag("--sort", arguments->sort, "The slowest first");
  add_json(*command, context);
  command->callback([&context, arguments] { context.action = [&context, arguments] { return profile(*arguments, context); }; });
}

}  // namespace tl::cli
