#include <fmt/core.h>

#include <cstdio>
#include <iostream>
#include <memory>

#include "base/error.hpp"
#include "cli/output.hpp"
#include "cli/script.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(All scripts and the CODE of each -e run in one session, in the order given. The first word that does not end in .tl, and all
words after it, are what the script's args() gives. File names in a script are relative to the working directory, else
to the script.

EXAMPLES
  tl run hello.tl
  tl run prepare.tl main.tl 10 fast
  tl run -e 'print(1 + 2)'
  tl run -e 'let tl_model = load_model("model.mlpackage")' save.tl
  tl run network.tl --test)";

struct Arguments {
  std::vector<std::string> words, code;
  std::vector<bool> is_code;  // by place on the command line
  std::string compute_units = "all";
  bool test = false, bench = false;
};

int report_tests(const std::vector<lang::BlockResult>& results) {
  int wrong = 0;
  for (const lang::BlockResult& result : results) {
    print(fmt::format("test {} ... {}\n", result.name, result.passed ? "✓ ok" : "✗ FAILED"));
    if (!result.passed) fmt::print(stderr, "{}\n", result.error);
    wrong += result.passed ? 0 : 1;
  }
  const int passed = static_cast<int>(results.size()) - wrong;
  print(fmt::format("test result: {}. {} passed; {} failed\n", wrong == 0 ? "ok" : "FAILED", passed, wrong));
  return wrong == 0 ? ok : failed;
}

int report_benches(const std::vector<lang::BlockResult>& results) {
  int code = ok;
  for (const lang::BlockResult& result : results) {
    if (result.passed) {
      print(fmt::format("bench {}: {:.3f} ms\n", result.name, result.seconds * 1e3));
    } else {
      fmt::print(stderr, "bench {} failed: {}\n", result.name, result.error);
      code = failed;
    }
  }
  return code;
}

int run(const Arguments& arguments, const Context& context) {
  std::size_t scripts = 0;
  while (scripts < arguments.words.size() &&
         (arguments.words[scripts].ends_with(".tl") || (scripts == 0 && arguments.code.empty())))
    ++scripts;
  const auto first_argument = arguments.words.begin() + static_cast<std::ptrdiff_t>(scripts);
  if (scripts == 0 && arguments.code.empty()) fail(ErrorKind::invalid_argument, "name a script, or give code with -e");
  lang::Options options = session_options(context, {first_argument, arguments.words.end()});
  options.load.compute_units = compute_units_from_name(arguments.compute_units).value_or(ComputeUnits::all);
  lang::Interpreter interpreter(std::move(options));
  return guarded([&] {
    auto script = arguments.words.begin();
    auto code_text = arguments.code.begin();
    for (const bool is_code : arguments.is_code) {
      if (is_code) {
        interpreter.run_source(*code_text++, "-e");
      } else if (script != first_argument) {
        interpreter.run_file(*script++);
      }
    }
    int code = ok;
    if (arguments.test) code = report_tests(interpreter.run_tests());
    if (arguments.bench && code == ok) code = report_benches(interpreter.run_benches());
    return code;
  });
}

}  // namespace

lang::Options session_options(const Context& context, std::vector<std::string> args) {
  lang::Options options;
  options.out = [](std::string_view text) { print(text); };
  if (!context.quiet) options.err = [](std::string_view text) { fmt::print(stderr, "{}", text); };
  options.read = [](std::string& line) { return static_cast<bool>(std::getline(std::cin, line)); };
  options.args = std::move(args);
  return options;
}

int guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    const std::string_view text = error.what();
    if (text.find(": error: ") == std::string_view::npos) throw;
    fmt::print(stderr, "{}{}", text, text.ends_with('\n') ? "" : "\n");
    return failed;
  }
}

void add_run(Command app, Context& context) {
  const Command command = app.add_command("run", "Run TensorLogic scripts", footer);
  auto arguments = std::make_shared<Arguments>();
  const Option words = command.add_option("SCRIPT", arguments->words, "Scripts (.tl), then arguments for them")
                           .hint("SCRIPT.tl ... [ARGUMENT ...]");
  const Option code =
      command.add_option("-e,--eval", arguments->code, "Code to run; may be given again").hint("CODE").repeated().no_extra();
  command.add_option("--compute-units", arguments->compute_units, "The units that loaded models may use")
      .one_of({"all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine"})
      .hint("UNITS [all]");
  command.add_flag("--test", arguments->test, "Then run the scripts' test blocks");
  command.add_flag("--bench", arguments->bench, "Then time the scripts' bench blocks");
  command.set_action(context, [&context, arguments, command, words, code] {
    for (const Option option : command.given()) {
      if (option == words || option == code) arguments->is_code.push_back(option == code);
    }
    return run(*arguments, context);
  });
}

}  // namespace tl::cli
