#pragma once

#include <sys/resource.h>

#include <cmath>
#include <limits>

#include "op/op_case.hpp"

// What hostile arguments look like, for tests that try them on every op.
namespace tl::test {

// Address sanitizer needs an address space without bounds: there, extents that allocate gigabytes are left out.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool capped = false;
#else
inline constexpr bool capped = true;
#endif

// Keeps what hostile extents may allocate small, so that the matrix also meets failing allocations.
class MemoryCap {
 public:
  MemoryCap() {
    getrlimit(RLIMIT_AS, &before_);
    if (!capped) return;
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    rlimit limit = before_;
    limit.rlim_cur = std::min(before_.rlim_cur, pages * 4096 + (rlim_t{192} << 20));
    setrlimit(RLIMIT_AS, &limit);
  }
  ~MemoryCap() { setrlimit(RLIMIT_AS, &before_); }
  MemoryCap(const MemoryCap&) = delete;
  MemoryCap& operator=(const MemoryCap&) = delete;

 private:
  rlimit before_{};
};

inline std::string describe(const std::string& op, const std::vector<Argument>& arguments) {
  std::string text = op;
  for (const auto& [key, values] : arguments) {
    for (const Value& value : values) {
      const Tensor& t = value.tensor();
      text += fmt::format("\n  {} {}{}", key, name(t.dtype()), to_string(t.shape()));
      for (std::int64_t i = 0; i < std::min<std::int64_t>(t.size(), 8); ++i) {
        text += " " + (t.dtype() == DType::string ? t.strings()[uz(i)] : fmt::format("{}", t.number_at(i)));
      }
    }
  }
  return text;
}

inline Tensor filled(DType dtype, const Shape& shape, double value) {
  Tensor wide(DType::f64, shape);
  for (double& v : wide.mutable_values<double>()) v = value;
  return wide.cast(dtype);
}

// The same argument under other values, shapes and types.
inline std::vector<Tensor> variants(const Tensor& t) {
  std::vector<Tensor> result;
  if (t.dtype() == DType::string) {
    result.push_back(Tensor::scalar(std::string()));
    result.push_back(Tensor::scalar(std::string("no such mode")));
    result.push_back(Tensor::of_strings({2}, {"a", "b"}));
    result.push_back(Tensor::scalar(1.0F));
    return result;
  }
  const auto rank = static_cast<double>(t.rank());
  const double extent = t.rank() == 0 ? 1 : static_cast<double>(t.dim(0));
  std::vector<double> values = {0, -1, 1, 2, 3, 7, rank, -rank - 1, extent, -extent - 1, -0x1p31, 300};
  if (capped) values.insert(values.end(), {0x1p31, 0x1p31 - 1, 0x1p30, 65536});
  if (is_floating(t.dtype())) values.insert(values.end(), {NAN, INFINITY, -INFINITY, -0.0, 0x1p-24, 0x1p-149, 65504, 0.5});
  for (const double value : values) result.push_back(filled(t.dtype(), t.shape(), value));
  if (t.size() > 1 && t.size() <= 16) {  // one element at a time
    for (std::int64_t i = 0; i < t.size(); ++i) {
      for (const double value : {0.0, -1.0, -5.0, capped ? 0x1p31 - 1 : -0x1p31, 100.0}) {
        Tensor wide = t.cast(DType::f64).clone();
        wide.mutable_values<double>()[uz(i)] = value;
        result.push_back(wide.cast(t.dtype()));
      }
    }
  }
  std::vector<Shape> shapes = {{}, {0}, {1}, {5}, {1, 1}, {0, 3}, {2, 0, 2}, {1, 2, 3, 4, 5, 6}};
  for (std::size_t i = 0; i < t.rank(); ++i) {
    for (const std::int64_t other : {std::int64_t{0}, std::int64_t{1}, t.dim(i) + 1}) {
      shapes.push_back(t.shape());
      shapes.back()[i] = other;
    }
    shapes.push_back(t.shape());
    shapes.back().erase(shapes.back().begin() + iz(i));
  }
  shapes.push_back(t.shape());
  shapes.back().insert(shapes.back().begin(), 1);
  for (const Shape& shape : shapes) result.push_back(filled(t.dtype(), shape, 1));
  for (const DType dtype : {DType::f16, DType::f32, DType::i32, DType::u8, DType::i8, DType::boolean, DType::u4, DType::u1}) {
    if (dtype != t.dtype()) result.push_back(t.cast(dtype));
  }
  return result;
}

}  // namespace tl::test
