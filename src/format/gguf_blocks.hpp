#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "tensorlogic/dtype.hpp"

namespace tl::format {

// Turns `blocks` blocks into floats, in the arithmetic of the `gguf` package (float32, products and sums rounded one by one).
using Dequantize = void (*)(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;

struct GgufType {
  std::uint32_t number;
  std::string_view name;
  std::int64_t block_elements;
  std::int64_t block_bytes;
  std::optional<DType> plain;
  Dequantize dequantize;
};
// Null for numbers that name no type.
const GgufType* gguf_type(std::uint32_t number) noexcept;
const GgufType* gguf_type(std::string_view name) noexcept;

void dequantize_q4_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q4_1(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q5_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q5_1(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q8_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q2_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q3_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q4_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q5_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_q6_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_tq1_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_tq2_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_mxfp4(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_nvfp4(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq4_nl(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq4_xs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq2_xxs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq2_xs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq2_s(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq3_xxs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq3_s(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq1_s(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;
void dequantize_iq1_m(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept;

}  // namespace tl::format
