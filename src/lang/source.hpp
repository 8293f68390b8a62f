#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace tl::lang {

struct Source {
  std::string name;
  std::string text;
};

// A point in a source, which must outlive it. Lines and columns count from 1, columns in characters.
struct Place {
  const Source* source = nullptr;
  std::uint32_t offset = 0;
  std::uint32_t line = 0;
};

struct Diagnostic {
  std::string where;    // "classify.tl:5:12"
  std::string message;  // without the source line
  std::string excerpt;  // the source line and a caret under it
};

Diagnostic diagnose(const Place& place, std::string_view message);
// "classify.tl:5:12: error: unknown name 'foo'", the source line, a caret.
std::string to_string(const Diagnostic& diagnostic);
// One error with all diagnostics in its message.
Error make_error(const std::vector<Diagnostic>& diagnostics, ErrorKind kind = ErrorKind::script);

template <class... Args>
[[noreturn]] void fail_at(const Place& place, fmt::format_string<Args...> text, Args&&... args) {
  throw make_error({diagnose(place, fmt::format(text, std::forward<Args>(args)...))});
}

}  // namespace tl::lang
