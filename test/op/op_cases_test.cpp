// Runs the cases of every test/op/*.test file. The numbers in them come from outside (NumPy, coremltools, PyTorch).
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
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "ir/op_def.hpp"

namespace {

namespace fs = std::filesystem;
using namespace tl;

struct Expected {
  Tensor value;
  bool any = false;
};

struct Case {
  std::string file, op, name;
  int line = 0;
  std::vector<std::pair<std::string, std::vector<Value>>> arguments;
  std::vector<Expected> outputs;
  std::optional<std::string> error;
  double tolerance = -1;  // negative: one unit in the last place
  bool needs_shapes = false;
};

std::vector<std::string> words(const std::string& text) {
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
Tensor parse_tensor(const std::string& text, bool* any = nullptr) {
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

void parse_line(Case& c, const std::string& key, const std::string& rest) {
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

std::vector<Case> parse_file(const fs::path& path) {
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

// Distance in units of the last place of `dtype`, counted over its ordered values.
std::int64_t steps_apart(DType dtype, double a, double b) {
  const auto rank = [&](double v) -> std::int64_t {
    const auto order = [](std::int64_t bits, std::int64_t top) { return (bits & top) != 0 ? -(bits & (top - 1)) : bits; };
    switch (dtype) {
      case DType::f16: return order(to_f16(v).bits, 0x8000);
      case DType::bf16: return order(to_bf16(static_cast<float>(v)).bits, 0x8000);
      case DType::f32: return order(std::bit_cast<std::uint32_t>(static_cast<float>(v)), std::int64_t{1} << 31);
      default:
        return v < 0 ? -static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(-v))
                     : static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(v));
    }
  };
  return std::abs(rank(a) - rank(b));
}

bool agrees(const Case& c, DType dtype, double got, double want) {
  if (std::isnan(want)) return std::isnan(got);
  if (got == want) return want != 0 || std::signbit(got) == std::signbit(want) || c.tolerance > 0;
  if (!std::isfinite(want) || !std::isfinite(got)) return false;
  if (c.tolerance >= 0) return std::fabs(got - want) <= c.tolerance * (1 + std::fabs(want));
  return steps_apart(dtype, got, want) <= 1;
}

void compare(const Case& c, std::size_t index, const Tensor& got) {
  const Expected& expected = c.outputs[index];
  const Tensor& want = expected.value;
  if (got.dtype() != want.dtype() || got.shape() != want.shape()) {
    ADD_FAILURE_AT(c.file.c_str(), c.line) << fmt::format("output {} is {}{}, expected {}{}", index, name(got.dtype()),
                                                          to_string(got.shape()), name(want.dtype()), to_string(want.shape()));
    return;
  }
  if (expected.any) return;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    if (want.dtype() == DType::string) {
      if (got.strings()[uz(i)] == want.strings()[uz(i)]) continue;
      ADD_FAILURE_AT(c.file.c_str(), c.line)
          << fmt::format("output {}[{}] is '{}', expected '{}'", index, i, got.strings()[uz(i)], want.strings()[uz(i)]);
    } else if (is_floating(want.dtype())) {
      if (agrees(c, want.dtype(), got.number_at(i), want.number_at(i))) continue;
      ADD_FAILURE_AT(c.file.c_str(), c.line)
          << fmt::format("output {}[{}] is {}, expected {}", index, i, got.number_at(i), want.number_at(i));
    } else if (got.integer_at(i) != want.integer_at(i)) {
      ADD_FAILURE_AT(c.file.c_str(), c.line)
          << fmt::format("output {}[{}] is {}, expected {}", index, i, got.integer_at(i), want.integer_at(i));
    }
  }
}

// Infers the types when only what must be constant is: with the extents known or all unknown. The results must hold the
// outputs.
void check_inference(const Case& c, const std::vector<Value>& outputs, bool known_extents) {
  ir::Op op;
  op.type = c.op;
  op.def = ir::find_op(c.op);
  std::vector<std::unique_ptr<ir::Var>> vars;
  for (const auto& [key, values] : c.arguments) {
    ir::Argument& argument = op.inputs.emplace_back();
    argument.name = key;
    for (const Value& value : values) {
      const Tensor& tensor = value.tensor();
      if (op.def->param(key)->must_be_constant) {
        argument.bindings.emplace_back(ir::make_constant(tensor));
        continue;
      }
      vars.push_back(std::make_unique<ir::Var>());
      vars.back()->name = key;
      vars.back()->type = {tensor.dtype(),
                           known_extents ? ir::dims_of(tensor.shape()) : ir::Dims(tensor.rank(), ir::Dim::unknown())};
      argument.bindings.emplace_back(vars.back().get());
    }
  }
  const auto types = ir::infer_types(op);
  ASSERT_EQ(types.size(), outputs.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (!outputs[i].is_tensor()) continue;
    const ir::Type actual(outputs[i].tensor().dtype(), ir::dims_of(outputs[i].tensor().shape()));
    if (!ir::compatible(types[i], actual)) {
      ADD_FAILURE_AT(c.file.c_str(), c.line)
          << fmt::format("inferred {}, which does not hold the output, {}", to_string(types[i]), to_string(actual));
    }
  }
}

void run(const Case& c) {
  std::vector<std::pair<std::string, Value>> inputs;
  for (const auto& [key, values] : c.arguments) inputs.emplace_back(key, values.size() == 1 ? values[0] : Value(List{values}));
  try {
    const auto outputs = ir::eager(c.op, inputs);
    if (c.error) {
      ADD_FAILURE_AT(c.file.c_str(), c.line) << "no error, expected: " << *c.error;
      return;
    }
    if (outputs.size() != c.outputs.size()) {
      ADD_FAILURE_AT(c.file.c_str(), c.line) << fmt::format("{} outputs, expected {}", outputs.size(), c.outputs.size());
      return;
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) compare(c, i, outputs[i].tensor());
    check_inference(c, outputs, true);
    if (!c.needs_shapes && !ir::find_op(c.op)->constexpr_op) check_inference(c, outputs, false);
  } catch (const Error& error) {
    if (!c.error || std::string(error.what()).find(*c.error) == std::string::npos) {
      ADD_FAILURE_AT(c.file.c_str(), c.line) << "error: " << error.what() << (c.error ? "\nexpected: " + *c.error : "");
    }
  }
}

class OpCase : public testing::Test {
 public:
  explicit OpCase(Case c) : case_(std::move(c)) {}
  void TestBody() override { run(case_); }

 private:
  Case case_;
};

class BadFile : public testing::Test {
 public:
  explicit BadFile(std::string message) : message_(std::move(message)) {}
  void TestBody() override { FAIL() << message_; }

 private:
  std::string message_;
};

const bool registered = [] {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(TL_SOURCE_DIR "/test/op")) {
    if (entry.path().extension() == ".test") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string suite = "op_" + file.stem().string();
    try {
      for (const Case& c : parse_file(file)) {
        testing::RegisterTest(suite.c_str(), c.name.c_str(), nullptr, nullptr, c.file.c_str(), c.line,
                              [c]() -> testing::Test* { return new OpCase(c); });
      }
    } catch (const std::exception& error) {
      testing::RegisterTest(suite.c_str(), "parses", nullptr, nullptr, file.c_str(), 0,
                            [message = std::string(error.what())]() -> testing::Test* { return new BadFile(message); });
    }
  }
  return true;
}();

}  // namespace
