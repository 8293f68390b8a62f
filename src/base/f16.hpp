#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "tensorlogic/dtype.hpp"

namespace tl {

// Scalar conversions, round to nearest even, NaN stays NaN. Portable; bulk conversions below use the CPU's instructions.
float to_float(f16 value) noexcept;
float to_float(f8e4m3 value) noexcept;
float to_float(f8e5m2 value) noexcept;
inline float to_float(bf16 value) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16); }
f16 to_f16(float value) noexcept;
f16 to_f16(double value) noexcept;  // rounded once
bf16 to_bf16(float value) noexcept;
f8e4m3 to_f8e4m3(float value) noexcept;  // out of range: NaN (the type has no infinity)
f8e5m2 to_f8e5m2(float value) noexcept;

// Bulk conversions; the ranges may not overlap.
void f16_to_f32(const f16* in, float* out, std::size_t count) noexcept;
void f32_to_f16(const float* in, f16* out, std::size_t count) noexcept;

}  // namespace tl
