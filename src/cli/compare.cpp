#include "cli/compare.hpp"

#include <fmt/format.h>

#include <cmath>

#include "base/checked.hpp"
#include "format/array_files.hpp"

namespace tl::cli {
namespace {

Tensor numbers_of(const Value& value) {
  if (!value.is_dict()) return value.tensor();
  const auto& items = value.dict().items;
  Tensor result(DType::f64, {iz(items.size())});
  for (std::size_t i = 0; i < items.size(); ++i) result.mutable_values<double>()[i] = items[i].second.tensor().number_at(0);
  return result;
}

bool same_shape(const Shape& a, const Shape& b) {
  // A scalar may stand for one element, and a dictionary has no shape of its own.
  return a == b || (element_count(a) == 1 && element_count(b) == 1);
}

bool close(double value, double expected, double atol, double rtol) {
  if (std::isnan(value) || std::isnan(expected)) return std::isnan(value) && std::isnan(expected);
  if (std::isinf(value) || std::isinf(expected)) return value == expected;
  return std::fabs(value - expected) <= atol + rtol * std::fabs(expected);
}

void compare_strings(Comparison& result, const Tensor& value, const Tensor& expected) {
  result.passed = value.dtype() == expected.dtype() && value.strings() == expected.strings();
  if (!result.passed) result.problem = "the texts differ";
}

}  // namespace

Comparison compare(const std::string& name, const Value& value, const Tensor& expected, double atol, double rtol) {
  Comparison result;
  result.name = name;
  const Tensor numbers = numbers_of(value);
  if (!same_shape(numbers.shape(), expected.shape()) && !(value.is_dict() && numbers.size() == expected.size())) {
    result.problem = fmt::format("shape {}, expected {}", to_string(numbers.shape()), to_string(expected.shape()));
    return result;
  }
  if (numbers.dtype() == DType::string || expected.dtype() == DType::string) {
    compare_strings(result, numbers, expected);
    return result;
  }
  result.count = numbers.size();
  for (std::int64_t i = 0; i < result.count; ++i) {
    const double a = numbers.number_at(i), b = expected.number_at(i);
    const bool inside = close(a, b, atol, rtol);
    const double distance = a == b || (std::isnan(a) && std::isnan(b)) ? 0 : std::fabs(a - b);
    const bool further = std::isnan(distance) ? !std::isnan(result.max_absolute) : distance > result.max_absolute;
    if (further) {
      result.max_absolute = distance;
      result.worst = i;
      result.value = a;
      result.expected = b;
    }
    result.outside += inside ? 0 : 1;
  }
  result.passed = result.outside == 0;
  return result;
}

std::vector<Comparison> compare_with_file(const NamedValues& outputs, const std::string& path, double atol, double rtol) {
  const format::NamedTensors expected = format::read_arrays(path);
  std::vector<Comparison> results;
  for (const auto& [name, tensor] : expected) {
    const auto output = outputs.find(name);
    if (output != outputs.end()) results.push_back(compare(name, output->second, tensor, atol, rtol));
  }
  if (results.empty() && expected.size() == 1) {
    const Tensor& tensor = expected.front().second;
    const std::pair<const std::string, Value>* only = nullptr;
    int fitting = 0;
    for (const auto& output : outputs) {
      const bool fits = outputs.size() == 1 || (!output.second.is_list() && numbers_of(output.second).size() == tensor.size() &&
                                                (output.second.is_dict() || output.second.tensor().dtype() != DType::string));
      if (!fits) continue;
      only = &output;
      ++fitting;
    }
    if (fitting == 1) results.push_back(compare(only->first, only->second, tensor, atol, rtol));
  }
  if (results.empty()) {
    std::string names;
    for (const auto& [name, value] : outputs) names += (names.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::invalid_argument, fmt::format("nothing in it is named as an output ({})", names), path);
  }
  return results;
}

}  // namespace tl::cli
