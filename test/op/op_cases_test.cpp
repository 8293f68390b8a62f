#include <gtest/gtest.h>

#include "op/device_run.hpp"
#include "op/op_case.hpp"

// Runs the cases of every test/op/*.test file; op_case.hpp says how they are written.
namespace {

namespace fs = std::filesystem;
using namespace tl;
using namespace tl::test;

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

// Kernels compute in float: sums in another order, functions within a few units.
constexpr double kernel_tolerance = 4e-6;

bool agrees(const Case& c, DType dtype, double got, double want, bool device) {
  if (std::isnan(want)) return std::isnan(got);
  if (device && dtype == DType::f32 && std::isfinite(want) && std::fabs(got - want) <= kernel_tolerance * (1 + std::fabs(want)))
    return true;
  if (got == want) return want != 0 || std::signbit(got) == std::signbit(want) || c.tolerance > 0;
  if (!std::isfinite(want) || !std::isfinite(got)) return false;
  if (c.tolerance >= 0) return std::fabs(got - want) <= c.tolerance * (1 + std::fabs(want));
  return steps_apart(dtype, got, want) <= 1;
}

void compare(const Case& c, std::size_t index, const Tensor& got, bool device) {
  const char* const where = device ? " (device)" : "";
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
      if (agrees(c, want.dtype(), got.number_at(i), want.number_at(i), device)) continue;
      ADD_FAILURE_AT(c.file.c_str(), c.line)
          << fmt::format("output {}[{}] is {}, expected {}{}", index, i, got.number_at(i), want.number_at(i), where);
    } else if (got.integer_at(i) != want.integer_at(i)) {
      ADD_FAILURE_AT(c.file.c_str(), c.line)
          << fmt::format("output {}[{}] is {}, expected {}{}", index, i, got.integer_at(i), want.integer_at(i), where);
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
  try {
    const auto outputs = run_eagerly(c.op, c.arguments);
    if (c.error) {
      ADD_FAILURE_AT(c.file.c_str(), c.line) << "no error, expected: " << *c.error;
      return;
    }
    if (outputs.size() != c.outputs.size()) {
      ADD_FAILURE_AT(c.file.c_str(), c.line) << fmt::format("{} outputs, expected {}", outputs.size(), c.outputs.size());
      return;
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) compare(c, i, outputs[i].tensor(), false);
    if (ir::find_op(c.op)->pure) {
      const auto on_device = run_on_device(c.op, c.arguments);
      for (std::size_t i = 0; i < on_device.size(); ++i) compare(c, i, on_device[i].tensor(), true);
    }
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
  for (const fs::path& file : case_files()) {
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
