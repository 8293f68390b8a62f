#pragma once

#include <functional>
#include <string>

#include "cli/options.hpp"
#include "tensorlogic/error.hpp"
#include "tensorlogic/model.hpp"

namespace tl::cli {

// What the process ends with; `tl --help` prints this list.
enum ExitCode : int {
  ok = 0,
  failed = 1,       // a check failed, or a script stopped with an error
  usage = 2,        // wrong options, or inputs that the model does not take
  bad_file = 3,     // a file is damaged, wrong or of a kind that is not supported
  unreachable = 4,  // a file is missing, or the system refused to read or write it
  over_limit = 5,   // a budget (memory, depth) is exhausted
  internal = 70,    // a fault of this program
};
int exit_code(ErrorKind kind) noexcept;

struct Context {
  bool quiet = false;
  bool json = false;
  std::function<int()> action;  // set by the subcommand that was chosen
};

#define TL_COMMAND(name) void add_##name(Command app, Context& context);
#include "cli/commands.inc"
#undef TL_COMMAND

void add_json(Command command, Context& context);

// The options that choose how a model is loaded.
struct LoadArguments {
  std::string model;
  std::string compute_units = "all";
  std::string function;
  std::string device;
  std::string precision;
  int threads = 0;
};
void add_load(Command command, LoadArguments& arguments);
// Tells on stderr which units stand in for others unless `quiet`.
LoadOptions load_options(const LoadArguments& arguments, const Context& context);

}  // namespace tl::cli
