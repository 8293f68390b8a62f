#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/checked.hpp"
#include "format/array_files.hpp"

namespace tl::format {
namespace {

using Json = nlohmann::ordered_json;

constexpr int max_depth = 32;

// The shape that nested lists have, by their first elements.
Shape shape_of(const Json& json) {
  Shape shape;
  for (const Json* at = &json; at->is_array(); at = &at->front()) {
    shape.push_back(iz(at->size()));
    if (at->empty()) break;
  }
  return shape;
}

void flatten(const Json& json, const Shape& shape, std::size_t axis, std::vector<const Json*>& leaves) {
  if (axis == shape.size()) {
    if (json.is_structured()) fail(ErrorKind::bad_file, "json: a list or object where a number stands elsewhere");
    leaves.push_back(&json);
    return;
  }
  if (!json.is_array() || iz(json.size()) != shape[axis]) {
    fail(ErrorKind::bad_file, "json: the lists of axis {} differ in length", axis);
  }
  for (const Json& item : json) flatten(item, shape, axis + 1, leaves);
}

template <class T>
Tensor tensor_of(const Shape& shape, const std::vector<const Json*>& leaves) {
  Tensor result(dtype_of<T>::value, shape);
  auto out = result.mutable_values<T>();
  for (std::size_t i = 0; i < leaves.size(); ++i) out[i] = leaves[i]->get<T>();
  return result;
}

Value value_of(const Json& json) {
  if (json.is_object()) {
    Dict dict;
    for (const auto& [key, item] : json.items()) dict.items.emplace_back(Tensor::scalar(key), value_of(item));
    return dict;
  }
  const Shape shape = shape_of(json);
  std::vector<const Json*> leaves;
  flatten(json, shape, 0, leaves);
  const auto all = [&](auto test) {
    return std::all_of(leaves.begin(), leaves.end(), [&](const Json* leaf) { return test(*leaf); });
  };
  if (leaves.empty()) return Tensor(DType::f64, shape);
  if (all([](const Json& j) { return j.is_boolean(); })) return tensor_of<bool>(shape, leaves);
  if (all([](const Json& j) {
        return j.is_number_integer() && (!j.is_number_unsigned() || j.get<std::uint64_t>() <= INT64_MAX);
      })) {
    return tensor_of<std::int64_t>(shape, leaves);
  }
  if (all([](const Json& j) { return j.is_number(); })) return tensor_of<double>(shape, leaves);
  if (all([](const Json& j) { return j.is_string(); })) {
    std::vector<std::string> values;
    for (const Json* leaf : leaves) values.push_back(leaf->get<std::string>());
    return Tensor::of_strings(shape, std::move(values));
  }
  fail(ErrorKind::bad_file, "json: numbers, booleans or strings are read, not a mixture or null");
}

Json leaf_of(const Tensor& tensor, std::int64_t index) {
  if (tensor.dtype() == DType::string) return tensor.strings()[uz(index)];
  if (tensor.dtype() == DType::boolean) return tensor.integer_at(index) != 0;
  if (tensor.dtype() == DType::u64) return tensor.values<std::uint64_t>()[uz(index)];
  if (is_integer(tensor.dtype())) return tensor.integer_at(index);
  if (tensor.dtype() == DType::f64) return tensor.number_at(index);
  // The double next to the shortest text of the float: 0.1, not 0.10000000149.
  const auto narrow = static_cast<float>(tensor.number_at(index));
  return std::isfinite(narrow) ? std::stod(fmt::format("{}", narrow)) : static_cast<double>(narrow);
}

Json json_of(const Tensor& tensor, std::size_t axis, std::int64_t& at) {
  if (axis == tensor.rank()) return leaf_of(tensor, at++);
  Json list = Json::array();
  for (std::int64_t i = 0; i < tensor.dim(axis); ++i) list.push_back(json_of(tensor, axis + 1, at));
  return list;
}

Json json_of(const Value& value) {
  if (value.empty()) return nullptr;
  if (value.is_list()) {
    Json list = Json::array();
    for (const Value& item : value.list().items) list.push_back(json_of(item));
    return list;
  }
  if (value.is_dict()) {
    Json object = Json::object();
    for (const auto& [key, item] : value.dict().items) {
      const Tensor& text = key.tensor();
      object[text.dtype() == DType::string ? text.strings().at(0) : std::to_string(text.integer_at(0))] = json_of(item);
    }
    return object;
  }
  std::int64_t at = 0;
  return json_of(value.tensor(), 0, at);
}

}  // namespace

Value decode_json(std::string_view text) {
  const auto bounded = [](int depth, Json::parse_event_t event, Json&) {
    const bool opens = event == Json::parse_event_t::array_start || event == Json::parse_event_t::object_start;
    if (opens && depth >= max_depth) fail(ErrorKind::limit, "json: nested over {} deep", max_depth);
    return true;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), bounded);
  } catch (const nlohmann::json::parse_error& error) {
    fail(ErrorKind::bad_file, "json: not valid at byte {}", error.byte);
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::bad_file, "json: a number is out of range");
  }
  return value_of(json);
}

std::string encode_json(const Value& value) { return json_of(value).dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace tl::format
