#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"
#include "cli/command.hpp"

namespace tl::cli {

void print(std::string_view text);       // to stdout; throws Error{io} when it cannot be written
void note(std::string_view line);        // "tl: line" to stderr
void error_line(std::string_view line);  // "tl: error: line" to stderr

// A line of progress that replaces the one before; shown only when stderr is a terminal and `quiet` is off, gone afterwards.
class Progress {
 public:
  explicit Progress(const Context& context);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(std::string_view line);

 private:
  bool on_;
  bool shown_ = false;
};

// As in base/text.hpp.
inline std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<std::size_t>& right = {}) {
  return text_table(rows, right);
}

}  // namespace tl::cli
