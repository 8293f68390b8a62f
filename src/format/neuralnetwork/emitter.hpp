#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/checked.hpp"
#include "ir/op_def.hpp"

namespace tl::format::nn {

// A value of the program that is being written: a variable or a literal.
using Blob = ir::Binding;

// An argument of an op. Numbers become scalars (integers: int32), lists int32 vectors; an absent Blob leaves it out.
struct Arg {
  template <class T>
  Arg(std::string_view parameter, const T& value) : name(parameter) {
    if constexpr (std::is_same_v<T, Blob>) {
      bindings.push_back(value);
    } else if constexpr (std::is_same_v<T, std::optional<Blob>>) {
      if (value) bindings.push_back(*value);
    } else if constexpr (std::is_same_v<T, std::vector<Blob>>) {
      bindings = value;
    } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, float>) {
      bindings.emplace_back(ir::make_constant(Tensor::scalar(value)));
    } else if constexpr (std::is_integral_v<T>) {
      bindings.emplace_back(ir::make_constant(Tensor::scalar(checked_cast<std::int32_t>(value, "an argument"))));
    } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
      bindings.push_back(int_list(value));
    } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
      bindings.push_back(flag_list(value));
    } else {
      bindings.emplace_back(ir::make_constant(std::string(value)));
    }
  }
  static Blob int_list(const std::vector<std::int64_t>& values);
  static Blob flag_list(const std::vector<bool>& values);

  std::string_view name;
  std::vector<Blob> bindings;
};
using Args = std::vector<Arg>;

const ir::TensorType& tensor_type(const Blob& blob);
// Extents; throws Error{unsupported} when the rank depends on data.
ir::Dims dims_of(const Blob& blob);
std::int64_t rank_of(const Blob& blob);
// A value known while translating; undefined otherwise.
Tensor known(const Blob& blob);

// Appends ops to a block and infers their types as it goes. Small results of literals are computed at once, so that shapes
// which a file spells as data are known.
class Emitter {
 public:
  explicit Emitter(ir::Block& block) : block_(&block) {}

  Blob op(std::string_view type, const Args& args);
  std::vector<Blob> ops(std::string_view type, const Args& args, std::vector<std::unique_ptr<ir::Block>> blocks = {});
  // An op whose output types are stated, not inferred, with attributes beside its name.
  std::vector<Blob> declared(std::string_view type, const Args& args, ir::Attributes attributes, std::vector<ir::Type> types);
  // An op that has no definition.
  std::vector<Blob> undefined(std::string_view type, const Args& args, std::vector<ir::Type> types);
  // A named constant, which lists as a stored tensor.
  Blob weight(const Tensor& value, const std::string& name);
  // An op that keeps a weight compressed, under the weight's name.
  Blob compressed(std::string_view type, const Args& args, const std::string& name);
  static Blob literal(Tensor value) { return ir::make_constant(std::move(value)); }
  static Blob literal(float value) { return literal(Tensor::scalar(value)); }

  // Names what is emitted from here on.
  void prefix(std::string text) { prefix_ = std::move(text); }
  const std::string& prefix() const noexcept { return prefix_; }
  std::string unique(const std::string& wanted);
  // Gives a variable its final name when that is free.
  void rename(const Blob& blob, const std::string& name);

  // Takes back the ops of the block after the first `count`.
  std::size_t count() const noexcept { return block_->ops.size(); }
  void take_back(std::size_t count);

  // Emits into `block` until the returned value dies.
  class Scope {
   public:
    Scope(Emitter& emitter, ir::Block& block) : emitter_(emitter), outer_(std::exchange(emitter.block_, &block)) {}
    ~Scope() { emitter_.block_ = outer_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Emitter& emitter_;
    ir::Block* outer_;
  };

  Blob to_int(const Blob& x) { return cast(x, DType::i32); }
  Blob to_float(const Blob& x) { return cast(x, DType::f32); }
  Blob to_bool(const Blob& x);  // not zero
  Blob cast(const Blob& x, DType dtype);
  Blob scalar(const Blob& x);  // one element as rank 0
  // The extents as int32.
  Blob shape(const Blob& x);
  Blob shape_slice(const Blob& x, std::int64_t begin, std::int64_t end);
  Blob concat(const std::vector<Blob>& values, std::int64_t axis) { return op("concat", {{"values", values}, {"axis", axis}}); }
  Blob reshape(const Blob& x, const std::vector<std::int64_t>& shape) { return op("reshape", {{"x", x}, {"shape", shape}}); }
  Blob reshape(const Blob& x, const Blob& shape) { return op("reshape", {{"x", x}, {"shape", shape}}); }
  Blob transpose(const Blob& x, const std::vector<std::int64_t>& perm);
  Blob expand(const Blob& x, const std::vector<std::int64_t>& axes) { return op("expand_dims", {{"x", x}, {"axes", axes}}); }
  Blob squeeze(const Blob& x, const std::vector<std::int64_t>& axes) { return op("squeeze", {{"x", x}, {"axes", axes}}); }
  Blob binary(std::string_view type, const Blob& x, const Blob& y) { return op(type, {{"x", x}, {"y", y}}); }

  // x with its axes but the last `inner` as one, and what was computed from that under x's leading axes again. What was
  // spread is remembered, so that a chain of layers stays at the lower rank.
  Blob gathered(const Blob& x, std::int64_t inner);
  Blob spread(const Blob& y, const Blob& like, std::int64_t inner);
  // f(x) for an f that keeps shapes, at the rank that x was spread from.
  template <class F>
  Blob mapped(const Blob& x, F&& f) {
    const Spread* origin = origin_of(x);
    if (origin == nullptr) return f(x);
    return respread(f(origin->low), x, *origin);
  }
  // The same for values of one shape.
  template <class F>
  Blob mapped(const Blob& x, const Blob& y, F&& f) {
    const Spread* a = origin_of(x);
    const Spread* b = origin_of(y);
    if (a == nullptr || b == nullptr || a->inner != b->inner || dims_of(x) != dims_of(y)) return f(x, y);
    return respread(f(a->low, b->low), x, *a);
  }

 private:
  struct Spread {
    Blob low;   // the value before its leading axes were spread
    Blob like;  // what has the leading axes
    std::int64_t inner = 0;
  };
  const Spread* origin_of(const Blob& x) const;
  Blob respread(const Blob& low, const Blob& like, const Spread& origin);
  std::unique_ptr<ir::Op> make(std::string_view type, const Args& args);
  ir::Var* add_output(ir::Op& op, ir::Type type, const std::string& name);

  ir::Block* block_;
  std::string prefix_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int> counters_;
  std::unordered_map<const ir::Var*, Spread> spreads_;
};

}  // namespace tl::format::nn
