#include "lang/source.hpp"

#include <algorithm>

namespace tl::lang {

namespace {

// Bytes that start a character of UTF-8.
std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char ch) { return (ch & 0xC0) != 0x80; }));
}

}  // namespace

Diagnostic diagnose(const Place& place, std::string_view message) {
  Diagnostic result{"", std::string(message), ""};
  if (place.source == nullptr) return result;
  const std::string& text = place.source->text;
  const std::size_t at = std::min<std::size_t>(place.offset, text.size());
  const std::size_t start = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
  const std::size_t end = std::min(text.find('\n', at), text.size());
  const std::size_t column = characters(std::string_view(text).substr(start, at - start)) + 1;
  result.where = fmt::format("{}:{}:{}", place.source->name, place.line, column);
  std::string line = text.substr(start, std::min<std::size_t>(end - start, 400));
  std::string indent;
  for (std::size_t i = start; i < at && indent.size() < 400; ++i) {
    if ((text[i] & 0xC0) != 0x80) indent += text[i] == '\t' ? '\t' : ' ';
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  result.excerpt = "    " + line + "\n    " + indent + "^";
  return result;
}

std::string to_string(const Diagnostic& diagnostic) {
  std::string text = diagnostic.where.empty() ? "" : diagnostic.where + ": ";
  text += "error: " + diagnostic.message;
  if (!diagnostic.excerpt.empty()) text += "\n" + diagnostic.excerpt;
  return text;
}

Error make_error(const std::vector<Diagnostic>& diagnostics, ErrorKind kind) {
  std::string text;
  for (std::size_t i = 0; i < diagnostics.size(); ++i) {
    Diagnostic one = diagnostics[i];
    if (i == 0) one.where.clear();
    text += (i == 0 ? "" : "\n") + to_string(one);
  }
  return Error(kind, text, diagnostics.empty() ? "" : diagnostics[0].where);
}

}  // namespace tl::lang
