#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace tl::ir {

// Characters and tokens of MIL text.
class TextScanner {
 public:
  explicit TextScanner(std::string_view text) : text_(text) {}

  char peek() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool done() {
    skip();
    return at_ == text_.size();
  }
  bool accept(std::string_view token) {
    skip();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) stop("expected '{}'", token);
  }
  std::string_view word();    // a name or keyword; stops when there is none
  std::string name();         // a name, bare or in quotes
  std::string_view number();  // the characters of a number
  std::string string();
  std::size_t position() const noexcept { return at_; }
  void rewind(std::size_t position) noexcept { at_ = position; }

  // Throws Error{bad_model} at the line and column of the next token.
  template <class... Args>
  [[noreturn]] void stop(fmt::format_string<Args...> message, Args&&... args) {
    skip();
    throw Error(ErrorKind::bad_model, fmt::format(message, std::forward<Args>(args)...), place());
  }
  std::string place() const;

 private:
  void skip();
  std::string_view text_;
  std::size_t at_ = 0;
};

bool is_text_name(std::string_view name) noexcept;

}  // namespace tl::ir
