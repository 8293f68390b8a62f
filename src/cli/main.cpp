#include <fmt/core.h>

#include <cstdio>
#include <exception>

#include "cli/command.hpp"
#include "cli/output.hpp"

namespace {

constexpr const char* footer = R"(EXAMPLES
  tl info model.mlpackage
  tl predict model.mlpackage --in image=cat.jpg
  tl predict model.mlpackage --in x=in.npy --out out.npz --assert ref.npz
  tl bench model.mlpackage --iterations 200 --json

EXIT STATUS
  0   success
  1   a check (--assert) failed, or a script stopped with an error
  2   wrong options, or inputs that the model does not take
  3   a file is damaged, or of a kind that is not supported
  4   a file is missing, or the system refused to read or write it
  5   a limit (memory, depth) is exhausted
  70  a fault of this program: please report it

Results go to stdout; notes, progress (only on a terminal) and errors go to stderr.
`tl COMMAND --help` tells more about each command.)";

int run(int argc, char** argv) {
  using namespace tl::cli;
  const Program program("tl", "Run, check, measure and inspect Core ML models anywhere.", footer, "tl " TL_VERSION);
  Context context;
  program.add_flag("-q,--quiet", context.quiet, "No notes and no progress on stderr, errors only");
#define TL_COMMAND(name) add_##name(program, context);
#include "cli/commands.inc"
#undef TL_COMMAND
  if (const auto status = program.parse(argc, argv)) return *status;
  return context.action();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const tl::Error& error) {
    tl::cli::error_line(error.what());
    return tl::cli::exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    tl::cli::error_line("out of memory");
    return tl::cli::over_limit;
  } catch (const std::exception& error) {
    tl::cli::error_line(fmt::format("internal fault: {}", error.what()));
    return tl::cli::internal;
  }
}
