#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ir/op_def.hpp"

namespace tl::test {

// One value that an op reads. `var`: where a graph has it already; else `value` is new, and `constant` when it is a weight.
struct Operand {
  DType dtype = DType::f32;
  Shape shape;
  Tensor value;
  ir::Var* var = nullptr;
  bool constant = false;
};

// Draws the arguments of an op: what a sample binds is collected in `arguments`.
class Draw {
 public:
  explicit Draw(std::mt19937& random) : random(random) {}
  virtual ~Draw() = default;

  std::mt19937& random;
  DType real = DType::f32;           // of floating-point operands
  std::int64_t most_extent = 5;      // of the axes that a sample draws
  std::int64_t most_elements = 600;  // of a new operand
  int zero_extents = 0;              // one of so many extents is 0, so that ops may refuse what is drawn; 0: none
  std::vector<std::pair<std::string, std::vector<Operand>>> arguments;

  std::int64_t number(std::int64_t low, std::int64_t high);  // both included
  double real_number(double low, double high);
  bool coin(int sides = 2) { return number(1, sides) == 1; }
  template <class T>
  T one_of(std::vector<T> choices) {
    return choices[static_cast<std::size_t>(number(0, static_cast<std::int64_t>(choices.size()) - 1))];
  }
  Shape shape(std::int64_t low_rank, std::int64_t high_rank);

  // A floating-point operand of these ranks, of this shape; `exact`: no rounding stands before it, so that ops which jump may
  // read it.
  Operand any(std::int64_t low_rank, std::int64_t high_rank, bool exact = false);
  Operand of(const Shape& shape, bool exact = false);
  Operand fresh(DType dtype, const Shape& shape, double low, double high);
  Operand weight(const Shape& shape, double low = -1, double high = 1);
  Operand indices(const Shape& shape, std::int64_t low, std::int64_t high) {
    return fresh(DType::i32, shape, static_cast<double>(low), static_cast<double>(high));
  }
  Operand boolean(const Shape& shape);

  void bind(const std::string& name, Operand operand) { arguments.push_back({name, {std::move(operand)}}); }
  void bind(const std::string& name, std::vector<Operand> operands) { arguments.push_back({name, std::move(operands)}); }
  void set(const std::string& name, Tensor value);
  void set(const std::string& name, const std::vector<std::int64_t>& values);
  void set(const std::string& name, std::initializer_list<std::int64_t> values) {
    set(name, std::vector<std::int64_t>(values));
  }
  void set(const std::string& name, std::int64_t value) { set(name, Tensor::scalar(static_cast<std::int32_t>(value))); }
  void set(const std::string& name, int value) { set(name, static_cast<std::int64_t>(value)); }
  void set(const std::string& name, bool value) { set(name, Tensor::scalar(value)); }
  void set(const std::string& name, double value) { set(name, Tensor::scalar(static_cast<float>(value)).cast(real)); }
  void set(const std::string& name, const char* value) { set(name, Tensor::scalar(std::string(value))); }
  void set(const std::string& name, const std::string& value) { set(name, Tensor::scalar(value)); }

 protected:
  // A value that is there already; null: make a new one.
  virtual ir::Var* reuse(const std::function<bool(DType, const Shape&)>& /*fits*/, bool /*exact*/) { return nullptr; }
};

struct Sample {
  void (*draw)(Draw& d);
  bool jumps = false;  // small changes of its inputs may change its result by much
  bool exact = false;  // it moves or selects values: no rounding
};

// By op name; every op of ops.inc and dialect.inc, but for those that need a program around them.
const std::map<std::string, Sample>& samples();
// Ops that only a program can call: blocks, lists, states, dictionaries, constants.
const std::vector<std::string>& program_ops();

}  // namespace tl::test
