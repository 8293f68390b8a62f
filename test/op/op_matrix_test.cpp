#include <gtest/gtest.h>

#include <map>
#include <random>

#include "op/device_run.hpp"
#include "op/hostile.hpp"
#include "op/samples.hpp"

// Every op against nasty arguments: it gives a result or an Error that names the op, and nothing else.
namespace {

using namespace tl;
using namespace tl::test;

struct Tally {
  std::size_t results = 0, errors = 0;
};

void attempt(const std::string& op, const std::vector<Argument>& arguments, Tally& tally) {
  try {
    for (const Value& value : run_eagerly(op, arguments)) {
      if (value.is_tensor() && !value.tensor().defined()) ADD_FAILURE() << "an output is missing: " << describe(op, arguments);
    }
    ++tally.results;
  } catch (const Error& error) {
    ++tally.errors;
    if (error.kind() == ErrorKind::internal) ADD_FAILURE() << error.what() << "\n" << describe(op, arguments);
    if (error.where().find(op) == std::string::npos) ADD_FAILURE() << "the op is not named: " << error.what();
    if (error.message().empty()) ADD_FAILURE() << "no message: " << describe(op, arguments);
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what() << "\n" << describe(op, arguments);
  }
}

void attempt_variants(const Case& c, Tally& tally) {
  for (std::size_t k = 0; k < c.arguments.size(); ++k) {
    std::vector<Argument> arguments = c.arguments;
    arguments.erase(arguments.begin() + iz(k));
    attempt(c.op, arguments, tally);
    for (std::size_t i = 0; i < c.arguments[k].second.size(); ++i) {
      if (c.arguments[k].second[i].tensor().size() > 4096) continue;
      for (const Tensor& variant : variants(c.arguments[k].second[i].tensor())) {
        arguments = c.arguments;
        arguments[k].second[i] = variant;
        attempt(c.op, arguments, tally);
      }
    }
  }
  std::vector<Argument> arguments = c.arguments;
  arguments.emplace_back("no_such_parameter", std::vector<Value>{Tensor::scalar(1.0F)});
  attempt(c.op, arguments, tally);
}

// The cases of the test files, a few for each op and set of parameters.
std::vector<Case> seeds() {
  std::vector<Case> result;
  std::map<std::string, int> taken;
  for (const auto& file : case_files()) {
    for (Case& c : parse_file(file)) {
      std::string key = c.op;
      for (const auto& argument : c.arguments) key += " " + argument.first;
      if (!c.error && taken[key]++ < 3) result.push_back(std::move(c));
    }
  }
  return result;
}

TEST(OpMatrix, VariantsOfCases) {
  const MemoryCap cap;
  Tally tally;
  for (const Case& c : seeds()) attempt_variants(c, tally);
  RecordProperty("results", static_cast<int>(tally.results));
  RecordProperty("errors", static_cast<int>(tally.errors));
  EXPECT_GT(tally.results, 1000U);
  EXPECT_GT(tally.errors, 1000U);
}

Tensor drawn(const ir::Param& param, std::mt19937& random) {
  static const std::vector<Shape> shapes = {{},     {0},    {1},       {2},          {3},          {4},
                                            {2, 3}, {3, 2}, {1, 2, 3}, {1, 2, 4, 4}, {2, 2, 3, 3}, {1, 1, 2, 3, 4}};
  static const std::vector<double> numbers = {
      0, 1, 2, 3, -1, -2, 5, 0.5, capped ? 0x1p31 - 1 : 9, -0x1p31, NAN, capped ? INFINITY : -INFINITY};
  const auto pick = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  std::vector<DType> dtypes;
  for (int i = 0; i <= static_cast<int>(DType::string); ++i) {
    if ((param.dtypes & ir::dt::of(static_cast<DType>(i))) != 0) dtypes.push_back(static_cast<DType>(i));
  }
  const DType dtype = dtypes[pick(dtypes.size())];
  if (dtype == DType::string) return param.fallback.defined() ? param.fallback : Tensor::scalar(std::string("custom"));
  const Shape& shape = shapes[pick(param.must_be_constant ? 6 : shapes.size())];
  Tensor wide(DType::f64, shape);
  const bool small = pick(4) != 0;
  for (double& v : wide.mutable_values<double>()) v = numbers[pick(small ? 3 : numbers.size())];
  return wide.cast(dtype);
}

// Arguments drawn from the declared parameters alone, so that no op is left out.
TEST(OpMatrix, DrawnArguments) {
  const MemoryCap cap;
  Tally tally;
  std::mt19937 random(1);
  for (const ir::OpDef* def : ir::all_ops()) {
    for (int round = 0; round < 150; ++round) {
      std::vector<Argument> arguments;
      bool possible = true;
      for (const ir::Param& param : def->params) {
        possible = possible && !param.non_tensor;
        if (!param.required && random() % 2 == 0) continue;
        auto& values = arguments.emplace_back(std::string(param.name), std::vector<Value>()).second;
        for (unsigned i = 0; i < (param.is_variadic ? 1 + random() % 3 : 1); ++i) values.emplace_back(drawn(param, random));
      }
      if (possible) attempt(std::string(def->name), arguments, tally);
    }
  }
  RecordProperty("results", static_cast<int>(tally.results));
  RecordProperty("errors", static_cast<int>(tally.errors));
}

// The outputs, or the error.
struct Outcome {
  std::vector<Value> outputs;
  std::optional<Error> error;
};

template <class Run>
Outcome outcome_of(Run&& run) {
  Outcome outcome;
  try {
    outcome.outputs = run();
  } catch (const Error& error) {
    outcome.error = error;
  }
  return outcome;
}

bool close(double want, double got, double largest, DType dtype, double extra) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (want == got) return true;
  // What rounds to the largest number on one side may round to infinity on the other.
  const double top = dtype == DType::f16 ? 65504 : 0x1.fffffep127;
  const auto bounded = [&](double v) { return std::isinf(v) ? std::copysign(top, v) : v; };
  const double a = bounded(want), b = bounded(got);
  return std::fabs(a - b) <=
         extra + (dtype == DType::f16 ? 2e-3 : 1e-5) * std::max(largest, std::fabs(a)) + (dtype == DType::f16 ? 1e-7 : 1e-37);
}

// How far the results move when every number of the arguments moves by a unit in the last place of a float.
double conditioning(const std::string& op, const std::vector<Argument>& arguments, const std::vector<Value>& outputs) {
  std::mt19937 random(5);
  double spread = 0;
  for (int run = 0; run < 4; ++run) {
    auto moved = arguments;
    for (auto& [key, values] : moved) {
      for (Value& value : values) {
        if (!is_floating(value.tensor().dtype())) continue;
        Tensor wide = value.tensor().cast(DType::f64).clone();
        for (double& v : wide.mutable_values<double>()) v *= 1 + (random() % 2 == 0 ? 0x1p-22 : -0x1p-22);
        value = wide.cast(value.tensor().dtype() == DType::f16 ? DType::f16 : DType::f32);
      }
    }
    const Outcome outcome = outcome_of([&] { return run_eagerly(op, moved); });
    for (std::size_t k = 0; k < outcome.outputs.size(); ++k) {
      const Tensor& a = outputs[k].tensor();
      const Tensor& b = outcome.outputs[k].tensor();
      for (std::int64_t i = 0; a.shape() == b.shape() && a.dtype() != DType::string && i < a.size(); ++i) {
        const double step = std::fabs(a.number_at(i) - b.number_at(i));
        if (std::isfinite(step)) spread = std::max(spread, step);
      }
    }
  }
  return 16 * spread;
}

std::string difference(const std::vector<Value>& want, const std::vector<Value>& got, double extra) {
  for (std::size_t k = 0; k < want.size(); ++k) {
    if (!want[k].is_tensor()) continue;
    const Tensor& w = want[k].tensor();
    const Tensor& g = got[k].tensor();
    if (w.dtype() != g.dtype() || w.shape() != g.shape())
      return fmt::format("{} {}, expected {} {}", name(g.dtype()), to_string(g.shape()), name(w.dtype()), to_string(w.shape()));
    if (w.dtype() == DType::string) continue;
    double largest = 0;
    for (std::int64_t i = 0; i < w.size(); ++i) {
      if (std::isfinite(w.number_at(i))) largest = std::max(largest, std::fabs(w.number_at(i)));
    }
    for (std::int64_t i = 0; i < w.size(); ++i) {
      const bool same = is_floating(w.dtype()) ? close(w.number_at(i), g.number_at(i), largest, w.dtype(), extra)
                                               : w.integer_at(i) == g.integer_at(i);
      if (!same) return fmt::format("[{}] is {}, expected {}", i, g.number_at(i), w.number_at(i));
    }
  }
  return {};
}

// A cell of the matrix on the reference and on the CPU device: the same result, or an error from both.
void compare_devices(const std::string& op, const std::vector<Argument>& arguments, Tally& tally) {
  try {
    const Outcome reference = outcome_of([&] { return run_eagerly(op, arguments); });
    const Outcome device = outcome_of([&] { return run_on_device(op, arguments); });
    for (const Outcome* outcome : {&reference, &device}) {
      if (!outcome->error) continue;
      const bool named = outcome->error->where().find(op) != std::string::npos ||
                         outcome->error->kind() == ErrorKind::limit;  // of the memory of all ops
      if (outcome->error->kind() == ErrorKind::internal || outcome->error->message().empty() || !named)
        ADD_FAILURE() << "error: " << outcome->error->what() << "\n" << describe(op, arguments);
    }
    ++(reference.error ? tally.errors : tally.results);
    const auto limited = [](const Outcome& o) { return o.error && o.error->kind() == ErrorKind::limit; };
    if (limited(reference) || limited(device)) return;
    // Eagerly everything is a constant; of an input of a function an op may ask that it were one, or a list.
    const auto says = [&](const char* text) { return device.error->message().find(text) != std::string::npos; };
    if (!reference.error && device.error && (says("constant") || says("a list of extents"))) return;
    if (reference.error.has_value() != device.error.has_value()) {
      ADD_FAILURE() << (reference.error ? "only the reference refuses: " + std::string(reference.error->what())
                                        : "only the device refuses: " + std::string(device.error->what()))
                    << "\n"
                    << describe(op, arguments);
    } else if (!reference.error && ir::find_op(op)->pure) {
      const std::string fault = difference(reference.outputs, device.outputs, 0);
      const bool excused =
          fault.empty() ||
          difference(reference.outputs, device.outputs, conditioning(op, arguments, reference.outputs)).empty();
      if (!excused) ADD_FAILURE() << "devices differ: " << fault << "\n" << describe(op, arguments);
    }
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what() << "\n" << describe(op, arguments);
  }
}

// Every op of the tables, from arguments that fit, one of them made hostile at a time. A new op without a sample fails by name.
TEST(OpMatrix, EveryOpOnBothDevices) {
  const MemoryCap cap;
  const char* wanted = std::getenv("TL_MATRIX_DRAWS");
  const int draws = wanted == nullptr ? 1 : std::atoi(wanted);
  std::mt19937 random(3);
  Tally tally;
  for (const ir::OpDef* def : ir::all_ops()) {
    const std::string op(def->name);
    const auto& apart = program_ops();
    if (std::find(apart.begin(), apart.end(), op) != apart.end()) continue;
    const auto sample = samples().find(op);
    if (sample == samples().end()) {
      ADD_FAILURE() << op << " has no sample in test/op/samples.cpp";
      continue;
    }
    for (int i = 0; i < 2 * draws; ++i) {
      Draw draw(random);
      draw.real = i % 2 == 0 ? DType::f32 : DType::f16;
      draw.most_extent = 4;
      sample->second.draw(draw);
      std::vector<Argument> arguments;
      for (const auto& [name, operands] : draw.arguments) {
        auto& values = arguments.emplace_back(name, std::vector<Value>()).second;
        for (const Operand& operand : operands) values.emplace_back(operand.value);
      }
      compare_devices(op, arguments, tally);
      for (std::size_t k = 0; k < arguments.size(); ++k) {
        for (std::size_t j = 0; j < arguments[k].second.size(); ++j) {
          if (arguments[k].second[j].tensor().size() > 256) continue;
          const std::vector<Tensor> cells = variants(arguments[k].second[j].tensor());
          // The other type of float sees every third cell.
          for (std::size_t n = 0; n < cells.size(); n += i % 2 == 0 ? 1 : 3) {
            auto changed = arguments;
            changed[k].second[j] = cells[n];
            compare_devices(op, changed, tally);
          }
        }
      }
    }
  }
  std::printf("%zu cells gave results, %zu errors\n", tally.results, tally.errors);
  EXPECT_GT(tally.results, 5000U);
  EXPECT_GT(tally.errors, 5000U);
}

}  // namespace
