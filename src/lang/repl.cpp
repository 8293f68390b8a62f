#include "lang/repl.hpp"

#include "tensorlogic/error.hpp"

namespace tl::lang {

std::string Repl::prompt() const { return pending_.empty() ? fmt::format("tl[{}]> ", count_) : "   ... "; }

bool Repl::feed(const std::string& line) {
  if (pending_.empty()) {
    if (line == "exit" || line == "quit") return false;
    if (line.find_first_not_of(" \t\r") == std::string::npos) return true;
    if (line == "help") {
      out_("exit, quit: end; vars: variables; clear: forget everything; all else is run, an expression prints its value\n");
      return true;
    }
    if (line == "vars") {
      for (const std::string& name : interpreter_.variables())
        out_(name + " = " + to_text(interpreter_.get(name), true) + "\n");
      return true;
    }
    if (line == "clear") {
      interpreter_.clear();
      return true;
    }
  }
  pending_ += line + "\n";
  if (!line.empty() && needs_more_input(pending_)) return true;
  const std::string text = std::exchange(pending_, "");
  try {
    const Datum value = interpreter_.evaluate(text, fmt::format("tl[{}]", count_++));
    if (!value.is_void()) out_(to_text(value, true) + "\n");
  } catch (const Error& error) {
    out_(std::string(error.what()) + "\n");
  }
  return true;
}

}  // namespace tl::lang
