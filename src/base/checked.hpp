#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "base/error.hpp"

namespace tl {

// Integer arithmetic and narrowing that throw Error{limit} instead of wrapping. `what` names the quantity in the message.
template <class T>
T checked_add(T a, T b, const char* what) {
  T result{};
  if (__builtin_add_overflow(a, b, &result)) fail(ErrorKind::limit, "{} overflows", what);
  return result;
}

template <class T>
T checked_mul(T a, T b, const char* what) {
  T result{};
  if (__builtin_mul_overflow(a, b, &result)) fail(ErrorKind::limit, "{} overflows", what);
  return result;
}

template <class To, class From>
To checked_cast(From value, const char* what) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  To result{};
  if (__builtin_add_overflow(value, From{0}, &result)) fail(ErrorKind::limit, "{} is out of range", what);
  return result;
}

// Throws Error{bad_file} unless [offset, offset + length) lies inside `size` bytes; never wraps.
inline void check_range(std::uint64_t offset, std::uint64_t length, std::uint64_t size, const char* what) {
  if (offset > size || length > size - offset) {
    fail(ErrorKind::bad_file, "{}: bytes {} to {}+{} lie outside the {} bytes of the file", what, offset, offset, length, size);
  }
}

// Signed index arithmetic on containers without conversion noise.
inline std::size_t uz(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }
inline std::int64_t iz(std::size_t value) noexcept { return static_cast<std::int64_t>(value); }

}  // namespace tl
