#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/checked.hpp"
#include "base/elements.hpp"
#include "base/error.hpp"
#include "ir/program.hpp"

namespace tl::ir {

class Infer;
class Eval;

// Sets of dtypes that parameters accept.
using DTypeSet = std::uint32_t;
namespace dt {
constexpr DTypeSet of(DType t) { return DTypeSet{1} << static_cast<unsigned>(t); }
constexpr DTypeSet f16 = of(DType::f16), f32 = of(DType::f32), i32 = of(DType::i32), boolean = of(DType::boolean),
                   string = of(DType::string);
constexpr DTypeSet floats = f16 | f32 | of(DType::f64) | of(DType::bf16);
constexpr DTypeSet small_ints = of(DType::i8) | of(DType::u8) | of(DType::i16) | of(DType::u16);
constexpr DTypeSet ints = small_ints | i32 | of(DType::u32) | of(DType::i64) | of(DType::u64);
constexpr DTypeSet sub_byte = of(DType::i4) | of(DType::u4) | of(DType::u1) | of(DType::u2) | of(DType::u3) | of(DType::u6);
constexpr DTypeSet numeric = floats | ints;
constexpr DTypeSet fp8 = of(DType::f8e4m3) | of(DType::f8e5m2);
constexpr DTypeSet any = numeric | boolean | string | sub_byte | fp8;
}  // namespace dt

// One parameter of an op. Build with `OpDef::in`; the setters chain.
struct Param {
  std::string_view name;
  DTypeSet dtypes = dt::any;  // for tensors; lists, states and dictionaries are `non_tensor`
  bool required = true;
  bool is_variadic = false;
  bool must_be_constant = false;
  bool non_tensor = false;
  Tensor fallback;  // the default; undefined: none (an optional parameter may be absent)

  Param& optional() {
    required = false;
    return *this;
  }
  Param& variadic() {
    is_variadic = true;
    return *this;
  }
  Param& constant() {
    must_be_constant = true;
    return *this;
  }
  Param& any_kind() {
    non_tensor = true;
    return *this;
  }
  Param& def(double v) { return def(Tensor::scalar(static_cast<float>(v))); }
  Param& def(int v) { return def(Tensor::scalar(static_cast<std::int32_t>(v))); }
  Param& def(bool v) { return def(Tensor::scalar(v)); }
  Param& def(const char* v) { return def(Tensor::scalar(std::string(v))); }
  Param& def(Tensor v) {
    required = false;
    fallback = std::move(v);
    return *this;
  }
};

using InferFn = void (*)(Infer&);
using EvalFn = void (*)(Eval&);

// What an op is: parameters, type rule, reference. `src/op/<family>.cpp` fills one per op, `src/op/ops.inc` lists them.
struct OpDef {
  std::string_view name;
  std::vector<Param> params;
  InferFn infer = nullptr;  // checks arguments and pushes the output types; throws Error{bad_model}
  EvalFn eval = nullptr;    // the reference: plain loops, double or float accumulation, one rounding at the output
  bool pure = true;         // false: random, state and control-flow ops, never folded or merged
  bool view =
      false;  // output 0 is the bytes of the first parameter under another shape (reshape, squeeze, identity of tensors)
  bool elementwise = false;  // output i depends on element i of the broadcast inputs only
  // Runs only as folded constant (`constexpr_*`): evaluated once at load unless a kernel reads the packed form.
  bool constexpr_op = false;
  bool unknown_arguments = false;  // accepts parameters that are not declared (custom and classify-like ops)

  Param& in(std::string_view param, DTypeSet dtypes) {
    params.push_back(Param{});
    params.back().name = param;
    params.back().dtypes = dtypes;
    return params.back();
  }
  const Param* param(std::string_view param_name) const noexcept;
};

// Registry, expanded from src/op/ops.inc. Null when there is no op of that name.
const OpDef* find_op(std::string_view name) noexcept;
std::span<const OpDef* const> all_ops() noexcept;  // sorted by name

// Defines an op: TL_OP(relu) { op.in("x", dt::floats); op.infer = ...; op.eval = ...; }
#define TL_OP(id) void define_##id([[maybe_unused]] ::tl::ir::OpDef& op)

// The view of one op that `infer` and `eval` share: arguments by name, with defaults applied. Missing required ones, wrong
// dtypes, non-constant `constant()` parameters and unknown names are refused before either is called.
class OpView {
 public:
  explicit OpView(const Op& op) : op_(op) {}
  virtual ~OpView() = default;

  const Op& op() const noexcept { return op_; }
  const OpDef& def() const noexcept { return *op_.def; }
  bool has(std::string_view param) const;           // bound, or with a default
  std::size_t count(std::string_view param) const;  // bindings of a variadic parameter
  virtual Type type(std::string_view param, std::size_t i = 0) const;

  // The value when it is known: during `infer` a constant or default, during `eval` always. Undefined Tensor otherwise.
  virtual Tensor known(std::string_view param, std::size_t i = 0) const = 0;
  // Scalars and lists of known parameters (a default counts). `ints` of a scalar is a list of one.
  // They throw Error{bad_model} when the parameter is not known; `maybe_ints` returns nothing.
  std::int64_t integer(std::string_view param) const;
  double number(std::string_view param) const;
  bool boolean(std::string_view param) const;
  std::string text(std::string_view param) const;
  std::vector<std::int64_t> ints(std::string_view param) const;
  std::optional<std::vector<std::int64_t>> maybe_ints(std::string_view param) const;

  // An axis brought into [0, rank); rejects what lies outside. The second form reads the parameter itself.
  std::int64_t axis(std::string_view param, std::int64_t value, std::int64_t rank) const;
  std::int64_t axis(std::string_view param, std::int64_t rank) const { return axis(param, integer(param), rank); }

  // Throws Error{bad_model} that names the parameter.
  template <class... Args>
  [[noreturn]] void reject(std::string_view param, fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::bad_model, fmt::format(format, std::forward<Args>(args)...), std::string(param));
  }

 protected:
  const Binding* binding(std::string_view param, std::size_t i) const;
  const Op& op_;
};

// Type inference. Extents may be unknown; values are known for constants only (all of them when called right before a run).
class Infer : public OpView {
 public:
  using OpView::OpView;
  // With all inputs at hand (parallel to op.inputs): every tensor is known and has concrete extents.
  Infer(const Op& op, const std::vector<std::vector<Value>>& values) : OpView(op), values_(&values) {}
  Type type(std::string_view param, std::size_t i = 0) const override;
  Tensor known(std::string_view param, std::size_t i = 0) const override;

  DType dtype(std::string_view param, std::size_t i = 0) const;
  // Extents; throws when the rank is unknown. `rank` likewise.
  Dims dims(std::string_view param, std::size_t i = 0) const;
  std::int64_t rank(std::string_view param) const { return iz(dims(param).size()); }

  // Pushes an output type; throws Error{limit} when its known extents alone make more than 2^34 elements.
  void out(Type type);
  void out(DType dtype, Dims dims) { out(Type(dtype, std::move(dims))); }

  std::vector<Type> outputs;

 private:
  const Value* given(std::string_view param, std::size_t i) const;
  const std::vector<std::vector<Value>>* values_ = nullptr;
};

// Runs a nested block (cond, while_loop, map-like ops) during evaluation.
using BlockRunner = std::function<std::vector<Value>(const Block& block, std::span<const Value> args)>;
// The storage of a state variable.
struct StateCell {
  Value value;
};

// One evaluation with all inputs at hand.
class Eval : public OpView {
 public:
  Eval(const Op& op, std::vector<std::vector<Value>> inputs, std::vector<Type> output_types)
      : OpView(op), inputs_(std::move(inputs)), output_types_(std::move(output_types)), outputs_(output_types_.size()) {}

  Type type(std::string_view param, std::size_t i = 0) const override;
  Tensor known(std::string_view param, std::size_t i = 0) const override;
  // The value of a bound or defaulted parameter; `value` for lists and the like. Throws when absent (ask `has` first).
  Tensor in(std::string_view param, std::size_t i = 0) const;
  const Value& value(std::string_view param, std::size_t i = 0) const;
  const Shape& shape(std::string_view param, std::size_t i = 0) const;
  // Elements of a numeric tensor widened: floats for references of float ops, int64 for index arithmetic.
  std::vector<float> floats(std::string_view param, std::size_t i = 0) const;
  std::vector<double> doubles(std::string_view param, std::size_t i = 0) const;
  std::vector<std::int64_t> integers(std::string_view param, std::size_t i = 0) const;

  // The inferred type of an output; its shape when all extents are known (throws Error{internal} otherwise).
  const Type& out_type(std::size_t i = 0) const { return output_types_[i]; }
  DType out_dtype(std::size_t i = 0) const { return output_types_[i].tensor().dtype; }
  Shape out_shape(std::size_t i = 0) const;
  // Sets an output; `store` rounds once to the inferred dtype (saturating for integers).
  void set(std::size_t i, Value value) { outputs_[i] = std::move(value); }
  void store(std::size_t i, std::span<const double> values) { store(i, out_shape(i), values); }
  void store(std::size_t i, std::span<const float> values) { store(i, out_shape(i), values); }
  void store(std::size_t i, std::span<const std::int64_t> values) { store(i, out_shape(i), values); }
  void store(std::size_t i, const Shape& shape, std::span<const double> values);
  void store(std::size_t i, const Shape& shape, std::span<const float> values);
  void store(std::size_t i, const Shape& shape, std::span<const std::int64_t> values);

  std::vector<Value>& outputs() noexcept { return outputs_; }

  // Set by the executor.
  BlockRunner run_block;
  std::function<StateCell&(std::string_view param)> state;

 private:
  std::vector<std::vector<Value>> inputs_;  // parallel to op.inputs
  std::vector<Type> output_types_;
  std::vector<Value> outputs_;
};

// Runs an op's reference on given inputs (parallel to op.inputs, op.def set). `run_block` and `state` may be empty for ops
// without them.
std::vector<Value> evaluate(const Op& op, std::vector<std::vector<Value>> inputs, BlockRunner run_block = {},
                            std::function<StateCell&(std::string_view)> state = {});

// Checks and runs one op by name, without a program: eager("add", {{"x", a}, {"y", b}}). A List binds a variadic parameter.
std::vector<Value> eager(std::string_view op, std::vector<std::pair<std::string, Value>> inputs);

// Checks the arguments of an op against its definition and infers its output types. Errors name the op and the parameter.
std::vector<Type> infer_types(const Op& op);

}  // namespace tl::ir
