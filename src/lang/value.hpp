#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lang/ast.hpp"
#include "tensorlogic/image.hpp"
#include "tensorlogic/model.hpp"
#include "tensorlogic/tensor.hpp"

namespace tl::lang {

// The steps and bytes that a run may use; shared by all values of an interpreter.
struct Budget {
  std::uint64_t fuel = 0;  // steps left
  std::uint64_t bytes = 0, max_bytes = 0;
  void spend(std::uint64_t steps);         // throws Error{limit}
  void reserve(std::uint64_t more) const;  // throws Error{limit} when `more` bytes do not fit
};

struct GradNode;

// A tensor of the language: its elements, how it was computed (while gradients are recorded), the pixels it came from.
struct TensorBox {
  TensorBox(Tensor tensor, std::shared_ptr<Budget> budget);
  ~TensorBox();
  TensorBox(const TensorBox&) = delete;
  TensorBox& operator=(const TensorBox&) = delete;

  Tensor data;
  std::shared_ptr<GradNode> node;
  std::shared_ptr<const Image> pixels;
  bool learnable = false;

 private:
  std::shared_ptr<Budget> budget_;
  std::uint64_t bytes_;
};
using TensorPtr = std::shared_ptr<TensorBox>;

using tl::to_string;

class Datum;
struct Array;
struct Object;
struct Cache;
using ArrayPtr = std::shared_ptr<Array>;
using ObjectPtr = std::shared_ptr<Object>;

struct ImageBox {
  Image image;
};
// A loaded model, or with a prefix the names below it (`m.blk[0]`).
struct ModelBox {
  Model model;
  std::string prefix;
};
struct Function {
  std::string name;
};
struct EntityType {
  std::string name;
};

class Datum {
 public:
  using Data = std::variant<std::monostate, bool, std::int64_t, double, std::string, TensorPtr, ArrayPtr, ObjectPtr,
                            std::shared_ptr<ImageBox>, std::shared_ptr<ModelBox>, Function, EntityType>;
  Datum() = default;
  template <class T>
    requires(std::is_constructible_v<Data, T>)
  Datum(T value) : data(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  template <class T>
  const T* as() const noexcept {
    return std::get_if<T>(&data);
  }
  bool is_void() const noexcept { return data.index() == 0; }
  bool is_number() const noexcept { return as<std::int64_t>() != nullptr || as<double>() != nullptr; }

  Data data;
};

struct Array {
  std::string kind = "array";  // array, list, IntVec, FloatVec, StringVec, BoolVec
  std::vector<Datum> items;

  Array() = default;
  Array(const Array& other) : kind(other.kind), items(other.items) {}
  Array& operator=(const Array&) = delete;
  ~Array();
  // Counts the room of the elements against a budget until the array goes; throws Error{limit}.
  void charge(const std::shared_ptr<Budget>& budget);
  bool all_integers() const noexcept;

 private:
  std::shared_ptr<Budget> budget_;
  std::uint64_t bytes_ = 0;
};

// A struct value, in the order of its declaration; also a model's outputs and its metadata.
struct Object {
  std::string type;
  std::vector<std::pair<std::string, Datum>> fields;
  Object() = default;
  Object(const Object&) = default;
  Object& operator=(const Object&) = delete;
  ~Object();
  Datum* field(std::string_view name) noexcept;
};

std::string type_name(const Datum& value);
// As `print` shows it; `quoted` for strings inside arrays. `decimals` below 0: the default.
std::string to_text(const Datum& value, bool quoted = false, int decimals = -1);

}  // namespace tl::lang
