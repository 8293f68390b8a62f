#pragma once

#include <cstring>

#include "base/f16.hpp"

namespace tl::format {

template <class T>
T load_bits(const std::uint8_t* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}
inline float load_half(const std::uint8_t* at) noexcept { return to_float(f16{load_bits<std::uint16_t>(at)}); }

inline int nibble(const std::uint8_t* bytes, int index) noexcept { return (bytes[index / 2] >> (4 * (index % 2))) & 15; }
inline int bit(unsigned value, int index) noexcept { return static_cast<int>((value >> index) & 1U); }

}  // namespace tl::format
