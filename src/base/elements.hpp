#pragma once

#include <type_traits>

#include "base/error.hpp"
#include "base/f16.hpp"
#include "tensorlogic/tensor.hpp"

namespace tl {

// Calls body(T{}) with the storage type of a whole-byte numeric dtype (bool for boolean); throws for strings and sub-byte
// types.
template <class Body>
decltype(auto) visit_dtype(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::f16: return body(f16{});
    case DType::f32: return body(float{});
    case DType::f64: return body(double{});
    case DType::bf16: return body(bf16{});
    case DType::f8e4m3: return body(f8e4m3{});
    case DType::f8e5m2: return body(f8e5m2{});
    case DType::i8: return body(std::int8_t{});
    case DType::i16: return body(std::int16_t{});
    case DType::i32: return body(std::int32_t{});
    case DType::i64: return body(std::int64_t{});
    case DType::u8: return body(std::uint8_t{});
    case DType::u16: return body(std::uint16_t{});
    case DType::u32: return body(std::uint32_t{});
    case DType::u64: return body(std::uint64_t{});
    case DType::boolean: return body(bool{});
    default: fail(ErrorKind::internal, "no storage type for dtype {}", name(dtype));
  }
}

template <class T>
inline constexpr bool is_small_float =
    std::is_same_v<T, f16> || std::is_same_v<T, bf16> || std::is_same_v<T, f8e4m3> || std::is_same_v<T, f8e5m2>;

// An element of a storage type as a number that C++ computes with, and back (floats round once, integers saturate).
template <class T>
auto load_element(T value) noexcept {
  if constexpr (is_small_float<T>) {
    return to_float(value);
  } else {
    return value;
  }
}

template <class To, class From>
To convert_element(From value) noexcept {
  if constexpr (is_small_float<From>) {
    return convert_element<To>(to_float(value));
  } else if constexpr (std::is_same_v<To, f16>) {
    return to_f16(static_cast<double>(value));
  } else if constexpr (std::is_same_v<To, bf16>) {
    return to_bf16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, f8e4m3>) {
    return to_f8e4m3(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, f8e5m2>) {
    return to_f8e5m2(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    constexpr auto low = static_cast<double>(std::numeric_limits<To>::min());
    constexpr auto high = static_cast<double>(std::numeric_limits<To>::max());
    const auto wide = static_cast<double>(value);
    if (!(wide > low)) return wide <= low ? std::numeric_limits<To>::min() : To{0};  // NaN: 0
    return wide >= high ? std::numeric_limits<To>::max() : static_cast<To>(wide);
  } else {
    return static_cast<To>(value);
  }
}

// `count` elements one by one; both types of whole bytes, neither text.
void convert_elements(DType from, const std::byte* in, DType to, std::byte* out, std::size_t count) noexcept;

// Elements of a packed sub-byte tensor, sign-extended for int4.
std::int32_t packed_element(const std::byte* data, DType dtype, std::int64_t index) noexcept;
void set_packed_element(std::byte* data, DType dtype, std::int64_t index, std::int32_t value) noexcept;

}  // namespace tl
