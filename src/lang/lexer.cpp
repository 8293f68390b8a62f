#include "lang/lexer.hpp"

#include <algorithm>
#include <charconv>

namespace tl::lang {

const std::vector<std::string_view>& keywords() {
  static const std::vector<std::string_view> words = {
      "let",   "fn",  "main", "if", "else", "for",   "while",  "loop", "break",  "continue",  "return", "in",   "true",
      "false", "not", "and",  "or", "as",   "match", "struct", "impl", "import", "learnable", "frozen", "where"};
  return words;
}

bool is_keyword(std::string_view word) noexcept {
  return std::find(keywords().begin(), keywords().end(), word) != keywords().end();
}

namespace {

constexpr std::string_view symbols[] = {"...", "**", "==", "!=", "<=", ">=", "&&", "||", ":=", "->", "=>",
                                        "::",  "..", "+=", "-=", "*=", "/=", "⊙",  "⊗",  "≈",  "<",  ">",
                                        "+",   "-",  "*",  "/",  "%",  "@",  "=",  "(",  ")",  "[",  "]",
                                        "{",   "}",  ",",  ";",  ":",  ".",  "!",  "?",  "|",  "&",  "~"};

bool is_digit(char ch) { return ch >= '0' && ch <= '9'; }
bool is_ascii_letter(char ch) { return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_'; }

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text) {}

  std::vector<Token> run() {
    if (text_.size() > (std::size_t{64} << 20)) fail(ErrorKind::limit, "{}: a script of more than 64 MiB", source_.name);
    std::vector<Token> tokens;
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    for (;;) {
      const std::size_t before = at_;
      const std::uint32_t line = line_;
      skip_blanks();
      Token token;
      token.place = place(at_);
      token.line_start = tokens.empty() || line_ != line;
      token.glued = at_ == before && !tokens.empty();
      if (at_ < text_.size()) read(token);
      tokens.push_back(token);
      if (tokens.back().kind == TokenKind::end) return tokens;
    }
  }

 private:
  Place place(std::size_t offset) const { return {&source_, static_cast<std::uint32_t>(offset), line_}; }

  void skip_blanks() {
    while (at_ < text_.size()) {
      const char ch = text_[at_];
      if (ch == '\n') {
        ++line_;
        ++at_;
      } else if (ch == ' ' || ch == '\t' || ch == '\r') {
        ++at_;
      } else if (ch == '#' || text_.substr(at_, 2) == "//") {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_, 2) == "/*") {
        const Place start = place(at_);
        const std::size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) fail_at(start, "this comment never ends");
        line_ += static_cast<std::uint32_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                                       text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
        at_ = end + 2;
      } else {
        return;
      }
    }
  }

  // Length of the character of UTF-8 at `at` when it is a letter, else 0.
  std::size_t letter(std::size_t at) const {
    const auto lead = static_cast<unsigned char>(text_[at]);
    if (lead < 0x80) return is_ascii_letter(text_[at]) ? 1 : 0;
    const std::size_t length = lead >= 0xF0 && lead < 0xF5 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
    if (length == 0 || lead >= 0xF5 || at + length > text_.size()) return 0;
    std::uint32_t code = lead & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
      const auto next = static_cast<unsigned char>(text_[at + i]);
      if ((next & 0xC0) != 0x80) return 0;
      code = code << 6 | (next & 0x3FU);
    }
    const bool punctuation = code < 0xAA || (code > 0xAA && code < 0xB5) || (code > 0xB5 && code < 0xC0) || code == 0xD7 ||
                             code == 0xF7 || (code >= 0x2000 && code < 0x2C00) || (code >= 0x3000 && code < 0x3005) ||
                             (code >= 0x3008 && code < 0x3021) || (code >= 0xFF00 && code < 0xFF10) ||
                             (code >= 0xFF1A && code < 0xFF21) || (code >= 0xD800 && code < 0xF900) || code == 0xFEFF;
    return punctuation ? 0 : length;
  }

  void read(Token& token) {
    const char ch = text_[at_];
    if (is_digit(ch)) return read_number(token);
    if (ch == '"') return read_string(token);
    if (letter(at_) != 0) {
      const std::size_t start = at_;
      while (at_ < text_.size() && (is_digit(text_[at_]) || letter(at_) != 0)) at_ += is_digit(text_[at_]) ? 1 : letter(at_);
      token.text = std::string(text_.substr(start, at_ - start));
      token.kind = is_keyword(token.text) ? TokenKind::keyword : TokenKind::name;
      return;
    }
    for (const std::string_view symbol : symbols) {
      if (text_.substr(at_, symbol.size()) == symbol) {
        token.kind = TokenKind::symbol;
        token.text = std::string(symbol);
        at_ += symbol.size();
        return;
      }
    }
    if (static_cast<unsigned char>(ch) < 0x20 || static_cast<unsigned char>(ch) >= 0x7F) {
      fail_at(token.place, "unexpected character (byte 0x{:02X})", static_cast<unsigned char>(ch));
    }
    fail_at(token.place, "unexpected character '{}'", ch);
  }

  void digits() {
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  }

  void read_number(Token& token) {
    const std::size_t start = at_;
    bool integer = true;
    digits();
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit(text_[at_ + 1])) {
      integer = false;
      ++at_;
      digits();
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      std::size_t next = at_ + 1;
      if (next < text_.size() && (text_[next] == '+' || text_[next] == '-')) ++next;
      if (next < text_.size() && is_digit(text_[next])) {
        integer = false;
        at_ = next;
        digits();
      }
    }
    token.text = std::string(text_.substr(start, at_ - start));
    if (at_ < text_.size() && letter(at_) != 0) {
      if (text_[at_] == 'i' || text_[at_] == 'j') fail_at(token.place, "complex numbers are not supported");
      fail_at(token.place, "a letter follows the number {}", token.text.substr(0, 40));
    }
    const char* first = token.text.data();
    const char* last = first + token.text.size();
    token.kind = integer ? TokenKind::integer : TokenKind::number;
    const auto result = integer ? std::from_chars(first, last, token.integer) : std::from_chars(first, last, token.number);
    if (result.ec != std::errc()) fail_at(token.place, "the number {} is out of range", token.text.substr(0, 40));
    if (integer) token.number = static_cast<double>(token.integer);
  }

  void read_string(Token& token) {
    token.kind = TokenKind::string;
    for (++at_; at_ < text_.size(); ++at_) {
      const char ch = text_[at_];
      if (ch == '"') {
        ++at_;
        return;
      }
      if (ch == '\n') break;
      if (ch != '\\') {
        token.text += ch;
        continue;
      }
      const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\n';
      switch (next) {
        case 'n': token.text += '\n'; break;
        case 't': token.text += '\t'; break;
        case 'r': token.text += '\r'; break;
        case '"': token.text += '"'; break;
        case '\\': token.text += '\\'; break;
        default: fail_at(place(at_), "unknown escape; known are \\n \\t \\r \\\" \\\\");
      }
      ++at_;
    }
    fail_at(token.place, "this string never ends");
  }

  const Source& source_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
};

}  // namespace

std::vector<Token> lex(const Source& source) { return Lexer(source).run(); }

}  // namespace tl::lang
