#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tensorlogic/tensor.hpp"

namespace tl {

class Value;
struct List {
  std::vector<Value> items;
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;  // in insertion order
};

// What an op, a model input or a model output can hold: a tensor (a scalar or string is a tensor of rank 0),
// a list or tuple, or a dictionary. Copies share their contents.
class Value {
 public:
  Value() = default;
  Value(Tensor tensor) : data_(std::move(tensor)) {}  // NOLINT(google-explicit-constructor)
  Value(List list);                                   // NOLINT(google-explicit-constructor)
  Value(Dict dict);                                   // NOLINT(google-explicit-constructor)

  bool empty() const noexcept { return std::holds_alternative<std::monostate>(data_); }
  bool is_tensor() const noexcept { return std::holds_alternative<Tensor>(data_); }
  bool is_list() const noexcept { return std::holds_alternative<std::shared_ptr<const List>>(data_); }
  bool is_dict() const noexcept { return std::holds_alternative<std::shared_ptr<const Dict>>(data_); }

  // Throw Error{invalid_argument} when the value is of another kind.
  const Tensor& tensor() const;
  const List& list() const;
  const Dict& dict() const;

 private:
  std::variant<std::monostate, Tensor, std::shared_ptr<const List>, std::shared_ptr<const Dict>> data_;
};

}  // namespace tl
