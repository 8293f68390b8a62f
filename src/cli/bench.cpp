#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>
#include <latch>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "base/thread_pool.hpp"
#include "cli/describe.hpp"
#include "cli/inputs.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr const char* footer =
    R"(Inputs that are not given are made up: the same noise each time, in the declared default shapes. Times are those of one
prediction after another; "first" includes what is prepared on the first call. Lists sweep: one row for each combination.
--streams N predicts from N threads at once (each with its own state; --threads counts for one stream) and tells the throughput.
--baseline compares the median (with several streams the throughput) with a file that --save wrote: exit status 1 past --threshold.

EXAMPLES
  tl bench model.mlpackage
  tl bench model.mlpackage --threads 1,2 --batch 1,8 --markdown
  tl bench model.mlpackage --streams 2 --iterations 500
  tl bench model.mlpackage --save base.json
  tl bench model.mlpackage --baseline base.json --threshold 5
  tl bench model.mlpackage --in x=in.npy --json)";

constexpr std::size_t most_runs = 64;
constexpr std::size_t largest_baseline = std::size_t{16} << 20;

struct Arguments {
  LoadArguments load;
  InputArguments inputs;
  int iterations = 100, warmup = 10, streams = 1;
  std::vector<int> threads, batches = {1};
  std::string save, baseline;
  double threshold = 10;
  bool all_times = false, markdown = false;
};

// One combination of threads, streams and batch.
struct Run {
  int threads = 0, streams = 1, batch = 1;
  double load = 0, first = 0, mean = 0, per_second = 0;
  std::vector<double> steady;  // seconds, sorted
  std::uint64_t peak_memory = 0, anonymous_memory = 0;

  // The smallest time that at least `share` of the predictions need.
  double quantile(double share) const {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(steady.size())));
    return steady[std::clamp<std::size_t>(rank, 1, steady.size()) - 1];
  }
  std::vector<std::pair<const char*, double>> times() const {
    return {{"load", load},         {"first", first},        {"min", steady.front()}, {"p50", quantile(0.5)},
            {"p90", quantile(0.9)}, {"p99", quantile(0.99)}, {"mean", mean}};
  }
};

std::uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

// Memory that no file backs, now; 0 where the system doesn't tell.
std::uint64_t anonymous_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "RssAnon:") continue;
    std::uint64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

// The interface with its arrays at this batch. Throws Error{invalid_argument} when no shape that an input declares has it.
Interface batched(Interface interface, int batch) {
  if (batch == 1) return interface;
  for (Feature& feature : interface.inputs) {
    auto* array = std::get_if<ArrayFeature>(&feature.kind);
    bool taken = false;
    if (array != nullptr && !array->shape.empty()) {
      Shape wanted = array->shape;
      wanted[0] = batch;
      if (!array->ranges.empty())
        taken = batch >= array->ranges[0].lower && (array->ranges[0].upper < 0 || batch <= array->ranges[0].upper);
      taken = taken || wanted == array->shape ||
              std::find(array->enumerated.begin(), array->enumerated.end(), wanted) != array->enumerated.end();
      array->shape = wanted;
    }
    if (!taken)
      fail(ErrorKind::invalid_argument, "input '{}' ({}) takes no batch of {}", feature.name, describe(feature), batch);
  }
  return interface;
}

double predict_once(const Model& model, const NamedValues& inputs, State& state) {
  const auto start = Clock::now();
  model.predict(inputs, state.defined() ? &state : nullptr);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

State state_of(const Model& model) { return model.interface().states.empty() ? State() : model.make_state(); }

// All streams start together; the first fault of any is thrown.
void measure_streams(const Model& model, const NamedValues& inputs, const Arguments& arguments, Run& run) {
  std::latch ready(run.streams + 1);
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(run.streams));
  for (int s = 0; s < run.streams; ++s) {
    threads.emplace_back([&] {
      std::vector<double> times;
      bool arrived = false;
      try {
        State state = state_of(model);
        predict_once(model, inputs, state);
        arrived = true;
        ready.arrive_and_wait();
        for (int i = 0; i < arguments.iterations; ++i) times.push_back(predict_once(model, inputs, state));
        const std::lock_guard lock(mutex);
        run.steady.insert(run.steady.end(), times.begin(), times.end());
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
        if (!arrived) ready.count_down();
      }
    });
  }
  ready.arrive_and_wait();
  const auto start = Clock::now();
  for (std::thread& thread : threads) thread.join();
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  if (failure) std::rethrow_exception(failure);
  run.per_second = static_cast<double>(run.steady.size()) * run.batch / wall;
}

void measure(const Model& model, const NamedValues& inputs, const Arguments& arguments, Progress& progress, Run& run) {
  run.load = model.times().load_seconds;
  State state = state_of(model);
  run.first = predict_once(model, inputs, state);
  for (int i = 1; i < arguments.warmup; ++i) {
    progress.show(fmt::format("warming up {}/{}", i + 1, arguments.warmup));
    predict_once(model, inputs, state);
  }
  progress.show(fmt::format("measuring {} predictions", arguments.iterations));
  if (run.streams > 1) {
    measure_streams(model, inputs, arguments, run);
  } else {
    for (int i = 0; i < arguments.iterations; ++i) run.steady.push_back(predict_once(model, inputs, state));
  }
  std::sort(run.steady.begin(), run.steady.end());
  for (const double t : run.steady) run.mean += t / static_cast<double>(run.steady.size());
  if (run.streams == 1) run.per_second = run.batch / run.mean;
  run.peak_memory = peak_memory();
  run.anonymous_memory = anonymous_memory();
}

Json run_json(const Run& run, const Arguments& arguments) {
  Json json = {{"threads", run.threads},
               {"streams", run.streams},
               {"batch", run.batch},
               {"iterations", arguments.iterations},
               {"warmup", arguments.warmup}};
  for (const auto& [key, seconds] : run.times()) json[std::string(key) + "_ms"] = seconds * 1e3;
  if (arguments.all_times) {
    json["times_ms"] = Json::array();
    for (const double seconds : run.steady) json["times_ms"].push_back(seconds * 1e3);
  }
  json["per_second"] = run.per_second;
  json["peak_memory_bytes"] = run.peak_memory;
  json["anonymous_memory_bytes"] = run.anonymous_memory;
  return json;
}

// One run stands in the document itself, several under "runs".
Json document(const std::vector<Run>& runs, const std::string& device, const Arguments& arguments) {
  Json json = {{"model", arguments.load.model}, {"device", device}};
  if (runs.size() == 1) {
    json.update(run_json(runs.front(), arguments));
  } else {
    json["runs"] = Json::array();
    for (const Run& run : runs) json["runs"].push_back(run_json(run, arguments));
  }
  return json;
}

std::string runs_text(const std::vector<Run>& runs, const std::string& device, const Arguments& arguments) {
  if (runs.size() == 1 && runs.front().streams == 1 && runs.front().batch == 1) {
    const Run& run = runs.front();
    std::vector<std::vector<std::string>> lines;
    for (const auto& [key, seconds] : run.times()) lines.push_back({key, fmt::format("{:.3f} ms", seconds * 1e3)});
    lines.push_back({"rate", fmt::format("{:.1f} /s", run.per_second)});
    lines.push_back(
        {"memory", fmt::format("{} ({} of it anonymous)", bytes_text(run.peak_memory), bytes_text(run.anonymous_memory))});
    return fmt::format("{} on {}, {} {}, {} predictions after {}\n", arguments.load.model, device, run.threads,
                       run.threads == 1 ? "thread" : "threads", arguments.iterations, arguments.warmup) +
           table(lines, {1});
  }
  std::vector<std::vector<std::string>> lines = {
      {"THREADS", "STREAMS", "BATCH", "LOAD", "FIRST", "P50", "P90", "P99", "RATE", "PEAK", "ANONYMOUS"}};
  for (const Run& run : runs) {
    const auto ms = [](double seconds) { return fmt::format("{:.3f} ms", seconds * 1e3); };
    lines.push_back({std::to_string(run.threads), std::to_string(run.streams), std::to_string(run.batch), ms(run.load),
                     ms(run.first), ms(run.quantile(0.5)), ms(run.quantile(0.9)), ms(run.quantile(0.99)),
                     fmt::format("{:.1f} /s", run.per_second), bytes_text(run.peak_memory), bytes_text(run.anonymous_memory)});
  }
  return fmt::format("{} on {}, {} predictions after {}\n", arguments.load.model, device, arguments.iterations,
                     arguments.warmup) +
         table(lines, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
}

std::string runs_markdown(const std::vector<Run>& runs, const Arguments& arguments) {
  std::string name;
  for (const char c : base_name(arguments.load.model)) name += c == '|' ? "\\|" : std::string(1, c);
  std::string text =
      "| model | threads | streams | batch | load ms | first ms | p50 ms | p90 ms | p99 ms | per second | peak MB | anonymous "
      "MB |\n"
      "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const Run& run : runs) {
    text += fmt::format("| {} | {} | {} | {} | {:.2f} | {:.2f} | {:.3f} | {:.3f} | {:.3f} | {:.1f} | {:.1f} | {:.1f} |\n", name,
                        run.threads, run.streams, run.batch, run.load * 1e3, run.first * 1e3, run.quantile(0.5) * 1e3,
                        run.quantile(0.9) * 1e3, run.quantile(0.99) * 1e3, run.per_second,
                        static_cast<double>(run.peak_memory) * 1e-6, static_cast<double>(run.anonymous_memory) * 1e-6);
  }
  return text;
}

struct Expected {
  int threads = 0, streams = 0, batch = 0;
  double p50_ms = 0, per_second = 0;
};

std::vector<Expected> read_baseline(const std::string& path) {
  const Json json = Json::parse(read_text(path, largest_baseline), nullptr, false);
  const auto wrong = [&]() -> Error { return {ErrorKind::bad_file, "is not what `tl bench --save` writes", path}; };
  if (!json.is_object()) throw wrong();
  const Json runs = json.contains("runs") ? json["runs"] : Json::array({json});
  if (!runs.is_array()) throw wrong();
  std::vector<Expected> expected;
  for (const Json& run : runs) {
    const auto number = [&](const char* key) {
      if (!run.is_object() || !run.contains(key) || !run[key].is_number()) throw wrong();
      return run[key].get<double>();
    };
    Expected one{static_cast<int>(number("threads")), static_cast<int>(number("streams")), static_cast<int>(number("batch")),
                 number("p50_ms"), number("per_second")};
    if (!(one.p50_ms > 0) || !(one.per_second > 0)) throw wrong();
    expected.push_back(one);
  }
  return expected;
}

// Tells every run beside the baseline's; false when one is past the threshold.
bool held_against(const std::vector<Run>& runs, const std::vector<Expected>& expected, const Arguments& arguments) {
  bool good = true;
  for (const Run& run : runs) {
    const auto found = std::find_if(expected.begin(), expected.end(), [&](const Expected& one) {
      return one.threads == run.threads && one.streams == run.streams && one.batch == run.batch;
    });
    const std::string name = fmt::format("{} threads, {} streams, batch {}", run.threads, run.streams, run.batch);
    if (found == expected.end())
      throw Error(ErrorKind::invalid_argument, fmt::format("has no run with {}", name), arguments.baseline);
    const bool latency = run.streams == 1;
    const double now = latency ? run.quantile(0.5) * 1e3 : run.per_second, before = latency ? found->p50_ms : found->per_second;
    const double slower = latency ? now / before - 1 : before / now - 1;
    const bool past = 100 * slower > arguments.threshold;
    good = good && !past;
    const std::string line = fmt::format("{}: {} {:.3f} {}, baseline {:.3f}: {:.1f} % {} (threshold {:g} %)", name,
                                         latency ? "median" : "throughput", now, latency ? "ms" : "/s", before,
                                         100 * std::fabs(slower), slower > 0 ? "slower" : "faster", arguments.threshold);
    past ? error_line(line) : note(line);
  }
  return good;
}

int bench(const Arguments& arguments, const Context& context) {
  std::vector<Expected> expected;
  if (!arguments.baseline.empty()) expected = read_baseline(arguments.baseline);
  std::vector<int> threads = arguments.threads;
  if (threads.empty()) threads = {std::max(1, default_threads() / arguments.streams)};
  if (threads.size() * arguments.batches.size() > most_runs)
    fail(ErrorKind::invalid_argument, "{} combinations, at most {}", threads.size() * arguments.batches.size(), most_runs);
  std::vector<Run> runs;
  std::string device;
  {
    Progress progress(context);
    for (const int count : threads) {
      progress.show("loading " + arguments.load.model);
      LoadArguments load = arguments.load;
      load.threads = count;
      const Model model = Model::load(load.model, load_options(load, context));
      device = model.device();
      for (const int batch : arguments.batches) {
        const NamedValues inputs =
            within([&] { return load.model; },
                   [&] {
                     NamedValues values = read_inputs(arguments.inputs, model.interface(), context);
                     if (batch > 1 && !values.empty())
                       fail(ErrorKind::invalid_argument, "--batch is for made-up inputs; --in gives its own");
                     fill_inputs(values, batched(model.interface(), batch));
                     return values;
                   });
        Run run;
        run.threads = count > 0 ? count : default_threads();
        run.streams = arguments.streams;
        run.batch = batch;
        measure(model, inputs, arguments, progress, run);
        runs.push_back(std::move(run));
      }
    }
  }
  const std::string json = pretty(document(runs, device, arguments));
  if (!arguments.save.empty()) write_file(arguments.save, json);
  print(context.json ? json : arguments.markdown ? runs_markdown(runs, arguments) : runs_text(runs, device, arguments));
  return expected.empty() || held_against(runs, expected, arguments) ? ok : failed;
}

}  // namespace

void add_bench(Command app, Context& context) {
  const Command command = app.add_command("bench", "Measure load time, latency, throughput and memory of a model", footer);
  auto arguments = std::make_shared<Arguments>();
  add_load(command, arguments->load);
  command.remove_option("--threads");
  command
      .add_option("--threads", arguments->threads,
                  "Threads of a prediction, or a list of numbers (default: TL_THREADS, else all cores over the streams)")
      .split_at(',')
      .range(0, 1024)
      .hint("N,...");
  command
      .add_option("--batch", arguments->batches,
                  "Size of the first axis of every input where the model's shapes allow it, or a list")
      .split_at(',')
      .range(1, 1'000'000)
      .hint("N,... [1]");
  command.add_option("--streams", arguments->streams, "Predictions that run at once, each from a thread of its own")
      .range(1, 256)
      .hint("N [1]");
  add_inputs(command, arguments->inputs);
  command.add_option("--iterations", arguments->iterations, "Predictions that are measured, of each stream")
      .range(1, 10'000'000)
      .hint("N [100]");
  command.add_option("--warmup", arguments->warmup, "Predictions before that, the first one included")
      .range(1, 10'000'000)
      .hint("N [10]");
  command.add_option("--save", arguments->save, "Write the figures as JSON, for --baseline").hint("FILE");
  command.add_option("--baseline", arguments->baseline, "Figures to hold these against").hint("FILE");
  command.add_option("--threshold", arguments->threshold, "Percent that a run may be slower than the baseline")
      .range(0.0, 1e6)
      .hint("PERCENT [10]");
  command.add_flag("--times", arguments->all_times, "With --json: the time of every prediction, sorted");
  command.add_flag("--markdown", arguments->markdown, "Print a Markdown table");
  add_json(command, context);
  command.set_action(context, [&context, arguments] { return bench(*arguments, context); });
}

}  // namespace tl::cli
