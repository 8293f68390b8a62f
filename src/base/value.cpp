#include "tensorlogic/value.hpp"

#include "base/error.hpp"

namespace tl {

Value::Value(List list) : data_(std::make_shared<const List>(std::move(list))) {}
Value::Value(Dict dict) : data_(std::make_shared<const Dict>(std::move(dict))) {}

const Tensor& Value::tensor() const {
  if (const auto* tensor = std::get_if<Tensor>(&data_)) return *tensor;
  fail(ErrorKind::invalid_argument, "expected a tensor, got {}", is_list() ? "a list" : is_dict() ? "a dictionary" : "nothing");
}

const List& Value::list() const {
  if (const auto* list = std::get_if<std::shared_ptr<const List>>(&data_)) return **list;
  fail(ErrorKind::invalid_argument, "expected a list, got {}",
       is_tensor() ? "a tensor"
       : is_dict() ? "a dictionary"
                   : "nothing");
}

const Dict& Value::dict() const {
  if (const auto* dict = std::get_if<std::shared_ptr<const Dict>>(&data_)) return **dict;
  fail(ErrorKind::invalid_argument, "expected a dictionary, got {}",
       is_tensor() ? "a tensor"
       : is_list() ? "a list"
                   : "nothing");
}

}  // namespace tl
