// Runs recorded cases of coremltools' own tests (test/data/conformance) and compares with the recorded expectations.

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "format/format.hpp"
#include "tensorlogic/tensorlogic.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace tl;

struct Case {
  std::string id;
  std::string test;
  double atol = 0;
  double rtol = 0;
  bool half = false;
  bool check_shapes = true;
  double mismatch = 0;
  std::string function;
  std::string first;  // of a sequence over one state
  int step = 0;
};

struct Outcome {
  bool passed = false;
  bool tight = false;
  bool values_checked = true;
  std::string reason;
};

struct Options {
  std::string folder;
  std::string device;
  std::string filter;
  std::string json_file;
  std::string known_file;
  bool verbose = false;
  int workers = 2;
};

constexpr std::string_view usage =
    "usage: tl_conformance FOLDER [--device cpu|reference] [--filter TEXT] [--known FILE] [--json FILE] [--workers N] "
    "[--verbose]\n";

// What is wrong with the arguments or the files, not with a case.
template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
  throw std::runtime_error(fmt::format(text, std::forward<Args>(args)...));
}

Case parse_case(const fs::path& folder) {
  std::ifstream in(folder / "case.json");
  const json j = json::parse(in);
  Case c;
  c.id = folder.filename().string();
  c.test = j.at("test");
  c.atol = j.at("atol");
  c.rtol = j.at("rtol");
  c.half = j.at("dtype") == "fp16";
  c.check_shapes = j.at("check_shapes");
  c.mismatch = j.at("mismatch");
  c.function = j.value("function", "");
  if (j.contains("state") && j["state"].is_object()) {
    c.first = j["state"].at("first");
    c.step = j["state"].at("step");
  }
  return c;
}

Case read_case(const fs::path& folder) {
  try {
    return parse_case(folder);
  } catch (const std::exception& error) {
    refuse("'{}': {}", (folder / "case.json").string(), error.what());
  }
}

// Share of elements beyond |a - e| <= atol + rtol |e|; NaN agrees with NaN, an infinity with itself.
double share_off(const Tensor& actual, const Tensor& expected, double atol, double rtol) {
  const Tensor a = actual.cast(DType::f64);
  const Tensor e = expected.cast(DType::f64);
  std::size_t off = 0;
  for (std::size_t i = 0; i < a.values<double>().size(); ++i) {
    const double x = a.values<double>()[i];
    const double y = e.values<double>()[i];
    if (std::isnan(x) && std::isnan(y)) continue;
    if (x == y) continue;
    if (!(std::fabs(x - y) <= atol + rtol * std::fabs(y)) || std::isinf(y)) ++off;
  }
  return a.size() == 0 ? 0 : static_cast<double>(off) / static_cast<double>(a.size());
}

double largest(const Tensor& t) {
  const Tensor wide = t.cast(DType::f64);
  double result = 0;
  for (const double v : wide.values<double>()) {
    if (std::isfinite(v)) result = std::max(result, std::fabs(v));
  }
  return result;
}

Outcome compare(const Case& c, const NamedValues& outputs, const std::map<std::string, Tensor>& expected, bool random) {
  Outcome outcome;
  outcome.tight = true;
  outcome.values_checked = !random;
  for (const auto& [name, want] : expected) {
    const auto found = outputs.find(name);
    if (found == outputs.end()) return {false, false, true, fmt::format("output '{}' is missing", name)};
    const Tensor& got = found->second.tensor();
    const Shape want_shape = want.rank() == 0 ? Shape{1} : want.shape();
    if (c.check_shapes && got.shape() != want_shape) {
      return {false, false, true,
              fmt::format("output '{}' has shape {}, expected {}", name, to_string(got.shape()), to_string(want_shape))};
    }
    if (got.size() != want.size())
      return {false, false, true, fmt::format("output '{}' has {} elements, expected {}", name, got.size(), want.size())};
    if (random) continue;
    if (const double off = share_off(got, want, c.atol, c.rtol); off > c.mismatch) {
      return {false, false, true, fmt::format("output '{}': {:.1f} % of the elements are off", name, off * 100)};
    }
    const double atol = (c.half ? 1e-2 : 1e-5) * largest(want);
    const double rtol = c.half ? 1e-2 : 1e-4;
    if (const double off = share_off(got, want, atol, rtol); off > c.mismatch) {
      outcome.tight = false;
      outcome.reason = fmt::format("tight: output '{}': {:.1f} % of the elements are off", name, off * 100);
    }
  }
  outcome.passed = true;
  return outcome;
}

Outcome run_step(const Options& options, const Case& c, Model& model, State* state) {
  NamedValues inputs;
  std::map<std::string, Tensor> expected;
  const ir::Model io = format::read_safetensors((fs::path(options.folder) / c.id / "io.safetensors").string(), {});
  for (const StoredTensor& tensor : io.tensors) {
    if (tensor.name.rfind("in.", 0) == 0) inputs[tensor.name.substr(3)] = tensor.read();
    if (tensor.name.rfind("out.", 0) == 0) expected[tensor.name.substr(4)] = tensor.read();
  }
  return compare(c, model.predict(inputs, state), expected, c.test.find("test_random.py") != std::string::npos);
}

// Runs the cases of one sequence (mostly of length one) on one model and state.
void run_sequence(const Options& options, const std::vector<Case>& sequence, std::map<std::string, Outcome>& results,
                  std::mutex& mutex) {
  const auto record = [&](const Case& c, Outcome outcome) {
    const std::lock_guard lock(mutex);
    results[c.id] = std::move(outcome);
  };
  std::size_t done = 0;
  try {
    const fs::path folder = fs::path(options.folder) / sequence.front().id;
    const bool package = fs::exists(folder / "model.mlpackage");
    LoadOptions load;
    load.device = options.device;
    load.function = sequence.front().function;
    load.threads = 1;
    Model model = Model::load((folder / (package ? "model.mlpackage" : "model.mlmodel")).string(), load);
    State state = model.make_state();
    for (; done < sequence.size(); ++done) record(sequence[done], run_step(options, sequence[done], model, &state));
  } catch (const std::exception& error) {
    for (; done < sequence.size(); ++done) record(sequence[done], {false, false, true, error.what()});
  }
}

std::map<std::string, std::string> read_known(const std::string& path) {
  std::map<std::string, std::string> known;
  if (path.empty()) return known;
  std::ifstream in(path);
  if (!in) refuse("--known: '{}' cannot be read", path);
  std::string line;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.find(' ');
    known[line.substr(0, blank)] = blank == std::string::npos ? "" : line.substr(blank + 1);
  }
  return known;
}

std::string short_name(const std::string& test) {
  const std::size_t file = test.rfind('/');
  return test.substr(file == std::string::npos ? 0 : file + 1, 100);
}

int report(const Options& options, const std::vector<Case>& cases, const std::map<std::string, std::string>& known,
           const std::map<std::string, Outcome>& results) {
  std::size_t passed = 0, tight = 0, shapes_only = 0, inverted = 0, listed = 0, failed = 0;
  std::map<std::string, std::vector<std::string>> reasons;
  json out = json::array();
  for (const Case& c : cases) {
    Outcome outcome = results.at(c.id);
    const auto row = known.find(c.id);
    if (row != known.end() && row->second.rfind("inverted", 0) == 0) {
      outcome.passed = outcome.tight = !outcome.passed;
      if (!outcome.passed) outcome.reason = "the answer that the test refuses";
      ++inverted;
    }
    out.push_back(
        {{"id", c.id}, {"test", c.test}, {"passed", outcome.passed}, {"tight", outcome.tight}, {"reason", outcome.reason}});
    if (outcome.passed) ++passed;
    if (outcome.passed && outcome.tight) ++tight;
    if (outcome.passed && !outcome.values_checked) ++shapes_only;
    if (!outcome.passed) {
      const bool is_known = row != known.end() && row->second.rfind("inverted", 0) != 0;
      ++(is_known ? listed : failed);
      if (!is_known || options.verbose) fmt::print("FAIL {} {}\n     {}\n", c.id, short_name(c.test), outcome.reason);
    } else if (!outcome.tight && options.verbose) {
      fmt::print("WIDE {} {}\n     {}\n", c.id, short_name(c.test), outcome.reason);
    } else if (row != known.end() && row->second.rfind("inverted", 0) != 0) {
      fmt::print("NOTE {} is listed as failing and passes\n", c.id);
    }
  }
  if (!options.json_file.empty()) {
    std::ofstream file(options.json_file);
    file << out.dump(1, ' ', false, json::error_handler_t::replace) << std::endl;
    if (!file) refuse("--json: '{}' cannot be written", options.json_file);
  }
  fmt::print(
      "recorded cases: {} of {} pass ({} at the tight tolerance, {} of random ops by shape only, {} of tests that want an "
      "error), {} "
      "listed as failing\n",
      passed, cases.size(), tight, shapes_only, inverted, listed);
  fmt::print("{} passed, {} failed, {} skipped\n", passed, failed, listed);
  return failed == 0 ? 0 : 1;
}

int worker_count(std::string_view text) {
  int count = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (code != std::errc() || stop != text.data() + text.size() || count < 1) {
    refuse("--workers: '{}' is not a whole number from 1", text);
  }
  return count;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&] {
      if (i + 1 == argc) refuse("{} needs a value", argument);
      return std::string(argv[++i]);
    };
    if (argument == "--device")
      options.device = value();
    else if (argument == "--filter")
      options.filter = value();
    else if (argument == "--json")
      options.json_file = value();
    else if (argument == "--known")
      options.known_file = value();
    else if (argument == "--workers")
      options.workers = worker_count(value());
    else if (argument == "--verbose")
      options.verbose = true;
    else if (argument.starts_with('-') || !options.folder.empty())
      refuse("'{}' is no option and not the one folder of cases\n{}", argument, usage);
    else
      options.folder = argument;
  }
  if (options.folder.empty()) refuse("which folder of cases?\n{}", usage);
  return options;
}

int run(const Options& options) {
  std::error_code error;
  const fs::directory_iterator folders(options.folder, error);
  if (error) refuse("'{}' cannot be read: {}", options.folder, error.message());
  const auto known = read_known(options.known_file);
  std::vector<Case> cases;
  for (const auto& entry : folders) {
    if (!fs::exists(entry.path() / "case.json")) continue;
    Case c = read_case(entry.path());
    if (c.test.find(options.filter) != std::string::npos || c.id == options.filter) cases.push_back(std::move(c));
  }
  if (cases.empty()) refuse("no case in '{}' matches '{}'", options.folder, options.filter);
  std::sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return a.id < b.id; });
  std::map<std::string, std::vector<Case>> sequences;
  for (const Case& c : cases) sequences[c.first.empty() ? c.id : c.first].push_back(c);
  std::vector<std::vector<Case>> work;
  for (auto& [key, sequence] : sequences) {
    std::sort(sequence.begin(), sequence.end(), [](const Case& a, const Case& b) { return a.step < b.step; });
    work.push_back(std::move(sequence));
  }
  std::map<std::string, Outcome> results;
  std::mutex mutex;
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> workers;
  const std::size_t count = std::min<std::size_t>({static_cast<std::size_t>(options.workers), work.size(), 64});
  while (workers.size() < count) {
    workers.emplace_back([&] {
      for (std::size_t k = next++; k < work.size(); k = next++) run_sequence(options, work[k], results, mutex);
    });
  }
  for (std::thread& worker : workers) worker.join();
  return report(options, cases, known, results);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    fmt::print("{}", usage);
    return 0;
  }
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "tl_conformance: {}\n", error.what());
    return 2;
  }
}
