#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/checked.hpp"
#include "base/thread_pool.hpp"
#include "cli/inputs.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Inputs that are not given are made up: the same noise each time, in the declared default shapes. Times are those of one
prediction after another; "first" includes what is prepared on the first call.

EXAMPLES
  tl bench model.mlpackage
  tl bench model.mlpackage --threads 1 --iterations 500 --warmup 50
  tl bench model.mlpackage --in x=in.npy --json)";

struct Arguments {
  LoadArguments load;
  InputArguments inputs;
  int iterations = 100, warmup = 10;
  bool all_times = false;
};

using Clock = std::chrono::steady_clock;

struct Times {
  double load = 0, first = 0;
  std::vector<double> steady;  // seconds, sorted
  double mean = 0;

  // The smallest time that at least `share` of the predictions need.
  double quantile(double share) const {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(steady.size())));
    return steady[std::clamp<std::size_t>(rank, 1, steady.size()) - 1];
  }
};

std::uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

double predict_once(const Model& model, const NamedValues& inputs, State& state) {
  const auto start = Clock::now();
  model.predict(inputs, state.defined() ? &state : nullptr);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Times measure(const Model& model, const NamedValues& inputs, const Arguments& arguments, Progress& progress) {
  Times times;
  times.load = model.times().load_seconds;
  State state = model.interface().states.empty() ? State() : model.make_state();
  times.first = predict_once(model, inputs, state);
  for (int i = 1; i < arguments.warmup; ++i) {
    progress.show(fmt::format("warming up {}/{}", i + 1, arguments.warmup));
    predict_once(model, inputs, state);
  }
  progress.show(fmt::format("measuring {} predictions", arguments.iterations));
  for (int i = 0; i < arguments.iterations; ++i) times.steady.push_back(predict_once(model, inputs, state));
  std::sort(times.steady.begin(), times.steady.end());
  for (const double t : times.steady) times.mean += t / static_cast<double>(times.steady.size());
  return times;
}

int bench(const Arguments& arguments, const Context& context) {
  Times times;
  std::string device;
  {
    Progress progress(context);
    progress.show("loading " + arguments.load.model);
    const Model model = Model::load(arguments.load.model, load_options(arguments.load, context));
    device = model.device();
    NamedValues inputs = within([&] { return arguments.load.model; },
                                [&] {
                                  NamedValues values = read_inputs(arguments.inputs, model.interface(), context);
                                  fill_inputs(values, model.interface());
                                  return values;
                                });
    times = measure(model, inputs, arguments, progress);
  }
  const int threads = arguments.load.threads > 0 ? arguments.load.threads : default_threads();
  const std::vector<std::pair<const char*, double>> rows = {
      {"load", times.load},         {"first", times.first},        {"min", times.steady.front()}, {"p50", times.quantile(0.5)},
      {"p90", times.quantile(0.9)}, {"p99", times.quantile(0.99)}, {"mean", times.mean}};
  if (context.json) {
    nlohmann::ordered_json json = {{"model", arguments.load.model},
                                   {"device", device},
                                   {"threads", threads},
                                   {"iterations", arguments.iterations},
                                   {"warmup", arguments.warmup}};
    for (const auto& [key, seconds] : rows) json[std::string(key) + "_ms"] = seconds * 1e3;
    if (arguments.all_times) {
      json["times_ms"] = nlohmann::ordered_json::array();
      for (const double seconds : times.steady) json["times_ms"].push_back(seconds * 1e3);
    }
    json["per_second"] = 1 / times.mean;
    json["peak_memory_bytes"] = peak_memory();
    print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return ok;
  }
  std::vector<std::vector<std::string>> lines;
  for (const auto& [key, seconds] : rows) lines.push_back({key, fmt::format("{:.3f} ms", seconds * 1e3)});
  lines.push_back({"rate", fmt::format("{:.1f} /s", 1 / times.mean)});
  lines.push_back({"memory", bytes_text(peak_memory())});
  print(fmt::format("{} on {}, {} {}, {} predictions after {}\n", arguments.load.model, device, threads,
                    threads == 1 ? "thread" : "threads", arguments.iterations, arguments.warmup));
  print(table(lines, {1}));
  return ok;
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  CLI::App* command = add_command(app, "bench", "Measure load time, latency and memory of a model", footer);
  auto arguments = std::make_shared<Arguments>();
  add_load(*command, arguments->load);
  add_inputs(*command, arguments->inputs);
  command->add_option("--iterations", arguments->iterations, "Predictions that are measured")
      ->check(CLI::Range(1, 10'000'000))
      ->option_text("N [100]");
  command->add_option("--warmup", arguments->warmup, "Predictions before that, the first one included")
      ->check(CLI::Range(1, 10'000'000))
      ->option_text("N [10]");
  command->add_flag("--times", arguments->all_times, "With --json: the time of every prediction, sorted");
  add_json(*command, context);
  command->callback([&context, arguments] { context.action = [&context, arguments] { return bench(*arguments, context); }; });
}

}  // namespace tl::cli
