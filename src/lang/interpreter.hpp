#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lang/source.hpp"
#include "lang/value.hpp"

namespace tl::lang {

using Sink = std::function<void(std::string_view)>;

struct Options {
  Sink out;                                // `print` and the answers of queries
  Sink err;                                // progress
  std::function<bool(std::string&)> read;  // a line for `input`; false at the end
  std::uint64_t fuel = 20'000'000'000;     // steps of one run
  std::uint64_t max_bytes = std::uint64_t{8} << 30;
  std::vector<std::string> args;         // what `args()` gives
  std::vector<std::string> directories;  // where files are looked for after the working directory and the script's own
  LoadOptions load;                      // for `load_model`
  std::uint64_t seed = 0;
};

struct BlockResult {
  std::string name;
  bool passed = true;
  std::string error;
  double seconds = 0;
};

// One session of the language: variables, functions and relations stay from run to run. Errors are tl::Error{script, limit,
// ...} whose `what()` reads "file:line:column: error: message", then the source line with a caret. Nothing is ever printed but
// through the sinks. Not for several threads at once.
class Interpreter {
 public:
  explicit Interpreter(Options options = {});
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void run_file(const std::string& path);
  void run_source(const std::string& text, const std::string& name);
  // As run_source; the value of a last bare expression (void when there is none).
  Datum evaluate(const std::string& text, const std::string& name);
  // All errors that can be told without running.
  std::vector<Diagnostic> check(const std::string& text, const std::string& name) const;
  std::vector<BlockResult> run_tests();
  std::vector<BlockResult> run_benches();

  // Throws Error{not_found}.
  Datum get(const std::string& name) const;
  void set(const std::string& name, Datum value);
  void set(const std::string& name, const Tensor& value);
  std::vector<std::string> variables() const;
  void clear();
  // Names that can start with `prefix`: keywords, builtins, variables, functions.
  std::vector<std::string> complete(const std::string& prefix) const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// True when a bracket or comment is still open: a prompt reads another line first.
bool needs_more_input(const std::string& text);

}  // namespace tl::lang
