#include "lang/repl.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cli/output.hpp"
#include "cli/script.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Variables and functions stay until the end. An open bracket continues on the next line; exit, or the end of the input,
ends the session.

EXAMPLES
  tl repl
  echo '1 + 2' | tl repl)";

int repl(const Context& context) {
  lang::Interpreter interpreter(session_options(context, {}));
  lang::Repl dialogue(interpreter, [](std::string_view text) { print(text); });
  const bool prompting = ::isatty(STDIN_FILENO) == 1;
  std::string line;
  while (true) {
    if (prompting) print(dialogue.prompt());
    if (!std::getline(std::cin, line)) break;
    if (!dialogue.feed(line)) return ok;
  }
  if (prompting) print("\n");
  return ok;
}

}  // namespace

void add_repl(Command app, Context& context) {
  const Command command = app.add_command("repl", "Start a dialogue in the TensorLogic language", footer);
  command.set_action(context, [&context] { return repl(context); });
}

}  // namespace tl::cli
