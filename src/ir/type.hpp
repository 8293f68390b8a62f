#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tensorlogic/tensor.hpp"

namespace tl::ir {

using tl::to_string;

// An extent: a number, or a symbol that stands for one. Symbol 0 is anonymous ("?", equal to nothing but itself by identity of
// text).
class Dim {
 public:
  Dim(std::int64_t extent) : value_(extent) {}  // NOLINT(google-explicit-constructor): extents are written as numbers
  static Dim symbol(std::int64_t id) { return Dim(-1 - id); }
  static Dim unknown() { return symbol(0); }

  bool known() const noexcept { return value_ >= 0; }
  std::int64_t extent() const noexcept { return value_; }          // only when known
  std::int64_t symbol_id() const noexcept { return -1 - value_; }  // only when not known
  friend bool operator==(Dim a, Dim b) noexcept { return a.value_ == b.value_; }

 private:
  std::int64_t value_;
};
using Dims = std::vector<Dim>;

class Type;

struct TensorType {
  DType dtype = DType::f32;
  std::optional<Dims> dims = Dims{};  // absent: unknown rank
};
struct ListType {
  std::shared_ptr<const Type> element;
  Dim length = Dim::unknown();
};
struct TupleType {
  std::vector<Type> elements;
};
struct DictType {
  std::shared_ptr<const Type> key;
  std::shared_ptr<const Type> value;
};
struct StateType {
  std::shared_ptr<const Type> wrapped;  // a tensor
};
// `tensor_buffer<...>` of Apple's segmenter dumps: a tensor with a memory layout.
struct BufferType {
  TensorType tensor;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> interleave_factors;
};

// The type of a MIL value. A scalar is a tensor of rank 0.
class Type {
 public:
  Type() : data_(TensorType{}) {}
  Type(TensorType type) : data_(std::move(type)) {}  // NOLINT(google-explicit-constructor)
  Type(ListType type) : data_(std::move(type)) {}    // NOLINT(google-explicit-constructor)
  Type(TupleType type) : data_(std::move(type)) {}   // NOLINT(google-explicit-constructor)
  Type(DictType type) : data_(std::move(type)) {}    // NOLINT(google-explicit-constructor)
  Type(StateType type) : data_(std::move(type)) {}   // NOLINT(google-explicit-constructor)
  Type(BufferType type) : data_(std::move(type)) {}  // NOLINT(google-explicit-constructor)
  Type(DType dtype, Dims dims) : data_(TensorType{dtype, std::move(dims)}) {}

  template <class T>
  const T* as() const noexcept {
    return std::get_if<T>(&data_);
  }
  bool is_tensor() const noexcept { return as<TensorType>() != nullptr; }
  // The tensor type of a tensor or of a state's contents; throws Error{bad_model} otherwise.
  const TensorType& tensor() const;

 private:
  std::variant<TensorType, ListType, TupleType, DictType, StateType, BufferType> data_;
};

bool operator==(const TensorType& a, const TensorType& b);
bool operator==(const Type& a, const Type& b);
inline bool operator!=(const Type& a, const Type& b) { return !(a == b); }

// "tensor<fp16, [1, ?]>", "list<tensor<fp32, [2]>, ?>", "state<tensor<fp16, [4]>>"
std::string to_string(const Type& type);
std::string to_string(const Dims& dims);

Dims dims_of(const Shape& shape);
bool all_known(const Dims& dims) noexcept;
// The extents when all are known.
std::optional<Shape> shape_of(const TensorType& type);
// True when a value of type `actual` may stand where `declared` is asked for: equal dtypes, and extents equal wherever both are
// known.
bool compatible(const Type& declared, const Type& actual);
bool compatible(const TensorType& declared, const Tensor& value) noexcept;  // as its type would be, without making one

}  // namespace tl::ir
