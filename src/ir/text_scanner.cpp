#include "ir/text_scanner.hpp"

#include <algorithm>

namespace tl::ir {
namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_inner(char c) noexcept {
  return is_letter(c) || is_digit(c) || c == '.' || c == '/' || c == ':' || c == '@' || c == '$';
}

int hex_digit(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool is_text_name(std::string_view name) noexcept {
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), is_inner);
}

void TextScanner::skip() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '/' && text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return;
    }
  }
}

std::string_view TextScanner::word() {
  skip();
  const std::size_t begin = at_;
  if (at_ == text_.size() || !is_letter(text_[at_])) stop("expected a name");
  while (at_ < text_.size() && is_inner(text_[at_])) ++at_;
  return text_.substr(begin, at_ - begin);
}

std::string TextScanner::name() { return peek() == '"' ? string() : std::string(word()); }

std::string_view TextScanner::number() {
  skip();
  const std::size_t begin = at_;
  const auto sign = [&] {
    if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
  };
  sign();
  while (at_ < text_.size() && (is_digit(text_[at_]) || is_letter(text_[at_]) || text_[at_] == '.')) {
    const char c = text_[at_++];
    const bool hex = text_.substr(begin, at_ - begin).find('x') != std::string_view::npos;
    if (hex ? (c == 'p' || c == 'P') : (c == 'e' || c == 'E')) sign();
    if (at_ - begin > 400) stop("a number of over 400 characters");
  }
  if (at_ == begin) stop("expected a number");
  return text_.substr(begin, at_ - begin);
}

std::string TextScanner::string() {
  expect("\"");
  std::string result;
  while (true) {
    if (at_ == text_.size()) stop("a string does not end");
    char c = text_[at_++];
    if (c == '"') return result;
    if (c == '\\') {
      if (at_ == text_.size()) stop("a string does not end");
      c = text_[at_++];
      if (c == 'n') {
        c = '\n';
      } else if (c == 't') {
        c = '\t';
      } else if (c == 'r') {
        c = '\r';
      } else if (c == 'x') {
        const int high = at_ + 1 < text_.size() ? hex_digit(text_[at_]) : -1;
        const int low = at_ + 1 < text_.size() ? hex_digit(text_[at_ + 1]) : -1;
        if (high < 0 || low < 0) stop("expected two hexadecimal digits");
        c = static_cast<char>(high * 16 + low);
        at_ += 2;
      } else if (c != '"' && c != '\\' && c != '\'') {
        stop("unknown escape '\\{}'", c);
      }
    }
    result += c;
  }
}

std::string TextScanner::place() const {
  const std::string_view before = text_.substr(0, at_);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n');
  return fmt::format("line {}, column {}", line, start == std::string_view::npos ? at_ + 1 : at_ - start);
}

}  // namespace tl::ir
