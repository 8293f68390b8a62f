#include "cli/output.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "base/error.hpp"

namespace tl::cli {

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail(ErrorKind::io, "cannot write to standard output");
  }
}

void note(std::string_view line) { fmt::print(stderr, "tl: {}\n", line); }
void error_line(std::string_view line) { fmt::print(stderr, "tl: error: {}\n", line); }

Progress::Progress(const Context& context) : on_(!context.quiet && ::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::show(std::string_view line) {
  if (!on_) return;
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
  shown_ = true;
}

}  // namespace tl::cli
