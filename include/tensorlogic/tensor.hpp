#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensorlogic/dtype.hpp"

namespace tl {

using Shape = std::vector<std::int64_t>;

// Number of elements; throws Error{limit} when it or the byte count leaves 63 bits, Error{invalid_argument} on a negative
// extent.
std::int64_t element_count(const Shape& shape);
// Bytes of `count` packed elements (sub-byte types: rounded up to whole bytes).
std::size_t packed_bytes(DType dtype, std::int64_t count);
std::string to_string(const Shape& shape);  // "[1, 3, 224, 224]"

// A dense row-major array with shared storage. Copies share the bytes; `clone` does not.
// Sub-byte elements are packed from the low bits of each byte, without padding between rows.
class Tensor {
 public:
  Tensor() = default;
  // Owned, 64-byte aligned, uninitialised (strings: empty).
  Tensor(DType dtype, Shape shape);
  // Borrowed bytes, kept alive by `owner` (may be null for static data); at least packed_bytes() long.
  static Tensor view(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner);
  static Tensor zeros(DType dtype, Shape shape);
  static Tensor of_strings(Shape shape, std::vector<std::string> values);
  // Owned copy of values of a storage type (`Tensor::of<float>({2}, {1, 2})`).
  template <class T>
  static Tensor of(Shape shape, std::span<const T> values) {
    return copied(dtype_of<T>::value, std::move(shape), values.data(), values.size());
  }
  template <class T>
  static Tensor of(Shape shape, std::initializer_list<T> values) {
    return copied(dtype_of<T>::value, std::move(shape), values.begin(), values.size());
  }
  template <class T>
  static Tensor scalar(T value) {
    return copied(dtype_of<T>::value, {}, &value, 1);
  }
  static Tensor scalar(std::string value) { return of_strings({}, {std::move(value)}); }

  bool defined() const noexcept { return storage_ != nullptr; }
  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  std::int64_t dim(std::size_t axis) const noexcept { return shape_[axis]; }
  std::size_t rank() const noexcept { return shape_.size(); }
  std::int64_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return bytes_; }

  const std::byte* data() const noexcept { return data_; }
  // The caller must be the only one that reads or writes these bytes; throws on borrowed bytes.
  std::byte* mutable_data();

  // Elements as their storage type; throws Error{internal} when T is not the dtype.
  template <class T>
  std::span<const T> values() const {
    require(dtype_of<T>::value);
    return {reinterpret_cast<const T*>(data_), static_cast<std::size_t>(size_)};
  }
  template <class T>
  std::span<T> mutable_values() {
    require(dtype_of<T>::value);
    return {reinterpret_cast<T*>(mutable_data()), static_cast<std::size_t>(size_)};
  }
  const std::vector<std::string>& strings() const;
  std::vector<std::string>& mutable_strings();

  // The same elements under another shape of the same size.
  Tensor reshaped(Shape shape) const;
  Tensor clone() const;
  // Every element converted: floats round to nearest even; float to integer truncates and saturates; bool is 0 or 1.
  Tensor cast(DType dtype) const;
  // True when dtype, shape and all bytes agree.
  bool identical(const Tensor& other) const;

  // One element as a double or integer (any numeric dtype, sub-byte included).
  double number_at(std::int64_t index) const;
  std::int64_t integer_at(std::int64_t index) const;

 private:
  struct Storage;
  static Tensor copied(DType dtype, Shape shape, const void* data, std::size_t count);
  void require(DType dtype) const;

  DType dtype_ = DType::f32;
  Shape shape_;
  std::int64_t size_ = 0;
  std::size_t bytes_ = 0;
  std::byte* data_ = nullptr;
  std::shared_ptr<Storage> storage_;
};

}  // namespace tl
