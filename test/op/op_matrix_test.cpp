#include <gtest/gtest.h>
#include <sys/resource.h>

#include <limits>
#include <map>
#include <random>
#include <set>

#include "op/op_case.hpp"

// Every op against nasty arguments: it gives a result or an Error that names the op, and nothing else.
namespace {

using namespace tl;
using namespace tl::test;

// Address sanitizer needs an address space without bounds: there, extents that allocate gigabytes are left out.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool capped = false;
#else
constexpr bool capped = true;
#endif

// Keeps what hostile extents may allocate small, so that the matrix also meets failing allocations.
class MemoryCap {
 public:
  MemoryCap() {
    getrlimit(RLIMIT_AS, &before_);
    if (!capped) return;
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    rlimit limit = before_;
    limit.rlim_cur = std::min(before_.rlim_cur, pages * 4096 + (rlim_t{192} << 20));
    setrlimit(RLIMIT_AS, &limit);
  }
  ~MemoryCap() { setrlimit(RLIMIT_AS, &before_); }
  MemoryCap(const MemoryCap&) = delete;
  MemoryCap& operator=(const MemoryCap&) = delete;

 private:
  rlimit before_{};
};

struct Tally {
  std::size_t results = 0, errors = 0;
};

std::string describe(const std::string& op, const std::vector<Argument>& arguments) {
  std::string text = op;
  for (const auto& [key, values] : arguments) {
    for (const Value& value : values) {
      const Tensor& t = value.tensor();
      text += fmt::format("\n  {} {}{}", key, name(t.dtype()), to_string(t.shape()));
      for (std::int64_t i = 0; i < std::min<std::int64_t>(t.size(), 8); ++i) {
        text += " " + (t.dtype() == DType::string ? t.strings()[uz(i)] : fmt::format("{}", t.number_at(i)));
      }
    }
  }
  return text;
}

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

Tensor filled(DType dtype, const Shape& shape, double value) {
  Tensor wide(DType::f64, shape);
  for (double& v : wide.mutable_values<double>()) v = value;
  return wide.cast(dtype);
}

// The same argument under other values, shapes and types.
std::vector<Tensor> variants(const Tensor& t) {
  std::vector<Tensor> result;
  if (t.dtype() == DType::string) {
    result.push_back(Tensor::scalar(std::string()));
    result.push_back(Tensor::scalar(std::string("no such mode")));
    result.push_back(Tensor::of_strings({2}, {"a", "b"}));
    result.push_back(Tensor::scalar(1.0F));
    return result;
  }
  const auto rank = static_cast<double>(t.rank());
  const double extent = t.rank() == 0 ? 1 : static_cast<double>(t.dim(0));
  std::vector<double> values = {0, -1, 1, 2, 3, 7, rank, -rank - 1, extent, -extent - 1, -0x1p31, 300};
  if (capped) values.insert(values.end(), {0x1p31, 0x1p31 - 1, 0x1p30, 65536});
  if (is_floating(t.dtype())) values.insert(values.end(), {NAN, INFINITY, -INFINITY, -0.0, 0x1p-24, 0x1p-149, 65504, 0.5});
  for (const double value : values) result.push_back(filled(t.dtype(), t.shape(), value));
  if (t.size() > 1 && t.size() <= 16) {  // one element at a time
    for (std::int64_t i = 0; i < t.size(); ++i) {
      for (const double value : {0.0, -1.0, -5.0, capped ? 0x1p31 - 1 : -0x1p31, 100.0}) {
        Tensor wide = t.cast(DType::f64).clone();
        wide.mutable_values<double>()[uz(i)] = value;
        result.push_back(wide.cast(t.dtype()));
      }
    }
  }
  std::vector<Shape> shapes = {{}, {0}, {1}, {5}, {1, 1}, {0, 3}, {2, 0, 2}, {1, 2, 3, 4, 5, 6}};
  for (std::size_t i = 0; i < t.rank(); ++i) {
    for (const std::int64_t other : {std::int64_t{0}, std::int64_t{1}, t.dim(i) + 1}) {
      shapes.push_back(t.shape());
      shapes.back()[i] = other;
    }
    shapes.push_back(t.shape());
    shapes.back().erase(shapes.back().begin() + iz(i));
  }
  shapes.push_back(t.shape());
  shapes.back().insert(shapes.back().begin(), 1);
  for (const Shape& shape : shapes) result.push_back(filled(t.dtype(), shape, 1));
  for (const DType dtype : {DType::f16, DType::f32, DType::i32, DType::u8, DType::i8, DType::boolean, DType::u4, DType::u1}) {
    if (dtype != t.dtype()) result.push_back(t.cast(dtype));
  }
  return result;
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

}  // namespace
