#pragma once

#include <string>

#include "lang/interpreter.hpp"

namespace tl::lang {

// The dialogue of `tl repl`, without a terminal: lines go in, text comes out of the interpreter's sinks.
class Repl {
 public:
  Repl(Interpreter& interpreter, Sink out) : interpreter_(interpreter), out_(std::move(out)) {}

  std::string prompt() const;  // "tl[1]> ", or "   ... " while a bracket is open
  // Takes one line; false when it asked to end. Errors become text.
  bool feed(const std::string& line);

 private:
  Interpreter& interpreter_;
  Sink out_;
  std::string pending_;
  int count_ = 1;
};

}  // namespace tl::lang
