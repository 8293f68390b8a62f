#pragma once

#include <cstdint>

#include "tensorlogic/dtype.hpp"

namespace tl::op {

// Arithmetic of 64-bit two's complement: it wraps, where C++ would leave signed overflow undefined.
inline std::int64_t wrapping_add(std::int64_t x, std::int64_t y) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(y));
}
inline std::int64_t wrapping_sub(std::int64_t x, std::int64_t y) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(x) - static_cast<std::uint64_t>(y));
}
inline std::int64_t wrapping_mul(std::int64_t x, std::int64_t y) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(y));
}
inline std::int64_t wrapping_abs(std::int64_t x) { return x < 0 ? wrapping_sub(0, x) : x; }

// A 64-bit result brought into the range of its type the way two's complement does.
inline std::int64_t wrapped(std::int64_t value, DType dtype) {
  switch (dtype) {
    case DType::i8: return static_cast<std::int8_t>(value);
    case DType::u8: return static_cast<std::uint8_t>(value);
    case DType::i16: return static_cast<std::int16_t>(value);
    case DType::u16: return static_cast<std::uint16_t>(value);
    case DType::i32: return static_cast<std::int32_t>(value);
    case DType::u32: return static_cast<std::uint32_t>(value);
    default: return value;
  }
}

}  // namespace tl::op
