#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "apple/target.hpp"
#include "ir/program.hpp"

namespace tl::apple {

// What rules and estimates need to know of the model around an op.
struct Surroundings {
  const Chip* chip = nullptr;
  System system;
  bool halves = false;      // float32 stands for float16: formats without types of their own (neuralnetwork)
  bool ranged = false;      // an input has a range of extents
  bool enumerated = false;  // an input has several listed shapes
  bool infrequent = false;  // loaded with the hint reshapeFrequency = infrequent
  std::uint64_t weight_bytes = 0;
  std::unordered_set<const ir::Op*> flexible;  // ops with an extent that the model leaves open
};

// One op as rules and estimates see it. Absent or odd arguments read as nothing: models are taken as they are.
class Site {
 public:
  Site(const ir::Op& op, const Surroundings& around) : op_(op), around_(around) {}

  const ir::Op& op() const noexcept { return op_; }
  const Surroundings& around() const noexcept { return around_; }
  int generation() const noexcept { return around_.chip->generation; }
  bool is(std::string_view type) const noexcept { return op_.type == type; }

  // Tensor types of what arrives at run time (constants and compressed weights left out), and of the results.
  std::vector<const ir::TensorType*> runtime_inputs() const;
  std::vector<const ir::TensorType*> outputs() const;
  std::vector<const ir::TensorType*> runtime() const;  // both
  // The argument's type; null when it is absent or no tensor.
  const ir::TensorType* type(std::string_view parameter) const;
  const ir::TensorType* output() const;  // the first
  // With float16 for float32 where `halves`.
  DType dtype(const ir::TensorType& type) const noexcept;

  const ir::Binding* binding(std::string_view parameter) const noexcept;
  bool given(std::string_view parameter) const noexcept { return binding(parameter) != nullptr; }
  bool constant(std::string_view parameter) const;  // absent ones count
  // Elements of a known argument, or of its default; empty when there is none.
  std::vector<std::int64_t> ints(std::string_view parameter) const;
  std::vector<double> numbers(std::string_view parameter) const;
  std::int64_t integer(std::string_view parameter, std::int64_t fallback) const;
  std::string text(std::string_view parameter) const;
  bool flag(std::string_view parameter) const { return integer(parameter, 0) != 0; }

 private:
  Tensor known(std::string_view parameter) const;
  const ir::Op& op_;
  const Surroundings& around_;
};

// The value at run time: neither a literal nor the result of ops that run when the model is loaded.
bool at_run_time(const ir::Binding& binding);
bool runs_at_load(const ir::Op& op);  // const, constexpr_*

// Extents with 1 for unknown ones, as the segmenter counts them; their product.
std::int64_t extent(ir::Dim dim) noexcept;
double elements(const ir::TensorType& type) noexcept;
std::int64_t rank(const ir::TensorType& type) noexcept;  // -1: unknown

}  // namespace tl::apple
