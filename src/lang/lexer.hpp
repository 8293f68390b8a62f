#pragma once

#include <vector>

#include "lang/source.hpp"

namespace tl::lang {

enum class TokenKind { end, name, keyword, integer, number, string, symbol };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  // strings: with the escapes resolved
  Place place;
  bool line_start = false;  // first on its line
  bool glued = false;       // no blank before it
  std::int64_t integer = 0;
  double number = 0;
};

// The tokens of a source, `end` last. Throws Error{script} at the first character that fits nowhere.
std::vector<Token> lex(const Source& source);
bool is_keyword(std::string_view word) noexcept;
const std::vector<std::string_view>& keywords();

}  // namespace tl::lang
