#pragma once

// The cases of test/op/*.test. The numbers in them come from outside (NumPy, coremltools, PyTorch).
//
//   # a comment, up to the end of the line
//   op add                          a case starts here; `op add: broadcasts` gives it a name
//   x fp16[2, 2] 1 2 3 4            an argument: dtype, extents (none: a scalar), elements in row-major order
//   y fp32 0.5                      a scalar; the same argument twice binds a variadic parameter twice
//   out fp16[2, 2] 1.5 2.5 3.5 4.5  the expected outputs, in order
//   error does not broadcast        instead of `out`: an Error whose text holds this
//
// Elements: numbers (nan, inf, -0 and hexadecimal floats too), true, false; strings are words, or "quoted" to hold spaces.
// `...` after the last one repeats it up to the size; `any` in place of all leaves the values of an output unchecked.
// Integers and booleans must be equal; floats may be off by one unit in the last place, zeros must agree in sign.
//   exact                           floats must be equal
//   tol 1e-4                        floats may be off by 1e-4 * (1 + |expected|)
//   needs_shapes                    the op cannot infer its type from unknown extents; otherwise that is checked as well

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "ir/op_def.hpp"

namespace tl::test {

struct Expected {
  Tensor value;
  bool any = false;
};

using Argument = std::pair<std::string, std::vector<Value>>;  // several values: a variadic parameter

struct Case {
  std::string file, op, name;
  int line = 0;
  std::vector<Argument> arguments;
  std::vector<Expected> outputs;
  std::optional<std::string> error;
  double tolerance = -1;  // negative: one unit in the last place
  bool needs_shapes = false;
};

inline std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> result;
  bool quoted = false, open = false;
  for (const char ch : text) {
    if (ch == '"') {
      quoted = !quoted;
      if (quoted) result.emplace_back();
      open = quoted;
    } else if (ch == '#' && !quoted) {
      break;
    } else if (!quoted && (ch == ' ' || ch == '\t' || ch == '\r')) {
      open = false;
    } else {
      if (!open) result.emplace_back();
      open = true;
      result.back() += ch;
    }
  }
  return result;
}

template <class T>
T number(const std::string& word) {
  if constexpr (std::is_same_v<T, bool>) {
    if (word == "true" || word == "1") return true;
    if (word == "false" || word == "0") return false;
  } else {
    char* end = nullptr;
    T value{};
    if constexpr (is_small_float<T> || std::is_floating_point_v<T>) {
      value = convert_element<T>(std::strtod(word.c_str(), &end));
    } else if constexpr (std::is_same_v<T, std::uint64_t>) {
      value = std::strtoull(word.c_str(), &end, 0);
    } else {
      const long long wide = std::strtoll(word.c_str(), &end, 0);
      value = static_cast<T>(wide);
      if (static_cast<long long>(value) != wide) throw std::runtime_error(fmt::format("'{}' does not fit", word));
    }
    if (end == word.c_str() + word.size()) return value;
  }
  throw std::runtime_error(fmt::format("'{}' is no such element", word));
}

// "fp16[2, 2] 1 2 3 4"
inline Tensor parse_tensor(const std::string& text, bool* any = nullptr) {
  const std::size_t end = text.find_first_of("[ ");
  const auto dtype = dtype_from_name(text.substr(0, end));
  if (!dtype) throw std::runtime_error(fmt::format("no dtype in '{}'", text));
  Shape shape;
  std::size_t rest = end;
  if (end != std::string::npos && text[end] == '[') {
    rest = text.find(']', end);
    if (rest == std::string::npos) throw std::runtime_error("']' is missing");
    std::string extents = text.substr(end + 1, rest++ - end - 1);
    std::replace(extents.begin(), extents.end(), ',', ' ');
    for (const std::string& word : words(extents)) shape.push_back(number<std::int64_t>(word));
  }
  std::vector<std::string> elements = rest >= text.size() ? std::vector<std::string>() : words(text.substr(rest));
  const std::size_t count = uz(element_count(shape));
  if (any != nullptr && elements == std::vector<std::string>{"any"}) {
    *any = true;
    return *dtype == DType::string ? Tensor::of_strings(shape, std::vector<std::string>(count)) : Tensor::zeros(*dtype, shape);
  }
  if (elements.size() > 1 && elements.back() == "...") {
    elements.pop_back();
    elements.resize(count, std::string(elements.back()));
  }
  if (elements.size() != count) throw std::runtime_error(fmt::format("{} elements for {}", elements.size(), to_string(shape)));
  if (*dtype == DType::string) return Tensor::of_strings(shape, elements);
  const DType stored = is_sub_byte(*dtype) ? DType::i32 : *dtype;
  Tensor result(stored, shape);
  visit_dtype(stored, [&](auto tag) {
    auto out = result.mutable_values<decltype(tag)>();
    for (std::size_t i = 0; i < count; ++i) out[i] = number<decltype(tag)>(elements[i]);
  });
  return result.cast(*dtype);
}

inline void parse_line(Case& c, const std::string& key, const std::string& rest) {
  if (key == "error") {
    c.error = rest;
  } else if (key == "exact") {
    c.tolerance = 0;
  } else if (key == "tol") {
    c.tolerance = number<double>(words(rest).at(0));
  } else if (key == "needs_shapes") {
    c.needs_shapes = true;
  } else if (key == "out") {
    Expected expected;
    expected.value = parse_tensor(rest, &expected.any);
    c.outputs.push_back(std::move(expected));
  } else {
    const auto found = std::find_if(c.arguments.begin(), c.arguments.end(), [&](const auto& a) { return a.first == key; });
    auto& values = found != c.arguments.end() ? found->second : c.arguments.emplace_back(key, std::vector<Value>()).second;
    values.emplace_back(parse_tensor(rest));
  }
}

inline std::vector<Case> parse_file(const std::filesystem::path& path) {
  std::vector<Case> cases;
  std::ifstream in(path);
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    try {
      const auto parts = words(text);
      if (parts.empty()) continue;
      const std::size_t start = text.find_first_not_of(" \t");
      const std::size_t after = text.find_first_not_of(" \t", start + parts[0].size());
      std::string rest = after == std::string::npos ? "" : text.substr(after);
      if (const std::size_t comment = rest.find(" #"); comment != std::string::npos) rest.resize(comment);
      while (!rest.empty() && std::isspace(static_cast<unsigned char>(rest.back())) != 0) rest.pop_back();
      if (parts[0] == "op") {
        Case& c = cases.emplace_back();
        c.file = path.string();
        c.line = line;
        c.op = rest.substr(0, rest.find_first_of(": #"));
        const std::size_t colon = rest.find(':');
        c.name = fmt::format("{}:{} {}", path.filename().string(), line, colon == std::string::npos ? c.op : rest);
      } else if (cases.empty()) {
        throw std::runtime_error("a case starts with 'op'");
      } else {
        parse_line(cases.back(), parts[0], rest);
      }
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("{}:{}: {}", path.string(), line, error.what()));
    }
  }
  return cases;
}

inline std::vector<std::filesystem::path> case_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(TL_SOURCE_DIR "/test/op")) {
    if (entry.path().extension() == ".test") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline std::vector<Value> run_eagerly(const std::string& op, const std::vector<Argument>& arguments) {
  std::vector<std::pair<std::string, Value>> inputs;
  for (const auto& [key, values] : arguments) inputs.emplace_back(key, values.size() == 1 ? values[0] : Value(List{values}));
  return ir::eager(op, std::move(inputs));
}

}  // namespace tl::test
