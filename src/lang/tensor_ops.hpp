#pragma once

#include <optional>

#include "lang/value.hpp"

namespace tl::lang {

// One operand or parameter of an op: a tensor of the script, several (variadic), or a constant.
struct OpInput {
  std::string name;
  std::vector<TensorPtr> tensors;  // empty: `constant`
  tl::Value constant;
};

OpInput in(std::string name, TensorPtr tensor);
OpInput in(std::string name, std::vector<TensorPtr> tensors);
OpInput in(std::string name, const std::vector<std::int64_t>& integers);
OpInput in(std::string name, std::int64_t integer);
OpInput in(std::string name, double number, DType dtype);
OpInput in(std::string name, bool flag);
OpInput in(std::string name, const char* text);
OpInput in(std::string name, const std::string& text);

// How a tensor came to be; kept while gradients are recorded.
struct GradNode {
  std::string op;
  std::vector<OpInput> inputs;
  std::weak_ptr<TensorBox> output;
};

// One computation of a trace.
struct TraceStep {
  std::string op;
  std::vector<OpInput> inputs;
  std::vector<TensorPtr> outputs;
};

// Every computation on tensors goes through here, by MIL op name: sizes checked against the budget, fuel spent, gradients
// recorded.
class TensorOps {
 public:
  explicit TensorOps(std::shared_ptr<Budget> budget) : budget_(std::move(budget)) {}

  TensorPtr box(Tensor tensor) const { return std::make_shared<TensorBox>(std::move(tensor), budget_); }
  std::vector<TensorPtr> run_all(const std::string& op, std::vector<OpInput> inputs);
  TensorPtr run(const std::string& op, std::vector<OpInput> inputs) { return run_all(op, std::move(inputs)).at(0); }
  TensorPtr unary(const std::string& op, const TensorPtr& x) { return run(op, {in("x", x)}); }
  // Brings both to one dtype first.
  TensorPtr binary(const std::string& op, TensorPtr a, TensorPtr b);
  TensorPtr cast(const TensorPtr& x, DType dtype);
  TensorPtr reshape(const TensorPtr& x, const Shape& shape);
  TensorPtr fill(DType dtype, const Shape& shape, double value);
  TensorPtr matmul(TensorPtr a, TensorPtr b);
  TensorPtr einsum(std::string equation, std::vector<TensorPtr> operands);
  static DType common(DType a, DType b);

  Budget& budget() const { return *budget_; }
  // Lets go of the recorded steps, first to last, so that long chains do not recurse.
  void forget();

  std::vector<TraceStep>* trace = nullptr;  // where set: all computations in order, kept alive

  bool recording = false;
  std::vector<std::shared_ptr<GradNode>> tape;  // in the order of computation

 private:
  void record(const std::string& op, std::vector<OpInput> inputs, const TensorPtr& output);
  std::shared_ptr<Budget> budget_;
};

}  // namespace tl::lang
