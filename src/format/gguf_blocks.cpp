#include "format/gguf_blocks.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "format/gguf_bits.hpp"

namespace tl::format {
namespace {

constexpr std::array types = {
#define TL_GGUF(number, name, elements, bytes, plain, dequantize) GgufType{number, name, elements, bytes, plain, dequantize},
#include "format/gguf_types.inc"
#undef TL_GGUF
};

constexpr std::array<float, 16> iq4_values = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// E2M1 numbers, doubled.
constexpr std::array<float, 16> fp4_values = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Low nibbles hold the first half of a run, high nibbles the second.
int half_nibble(const std::uint8_t* bytes, int index, int half) noexcept {
  return index < half ? bytes[index] & 15 : bytes[index - half] >> 4;
}

// Two-bit field of a run of 256: each 32 bytes hold four layers of 32 values.
int layered_pair(const std::uint8_t* bytes, int index) noexcept {
  return (bytes[index / 128 * 32 + index % 32] >> (2 * (index % 128 / 32))) & 3;
}

struct ScaleMin {
  int scale, min;
};
// Six-bit scales and minima of eight groups in twelve bytes.
ScaleMin scale_min(const std::uint8_t* s, int group) noexcept {
  if (group < 4) return {s[group] & 63, s[group + 4] & 63};
  return {(s[group + 4] & 15) | ((s[group - 4] >> 2) & 48), (s[group + 4] >> 4) | ((s[group] >> 2) & 48)};
}

float exponent_half(std::uint8_t e) noexcept {
  return std::bit_cast<float>(e < 2 ? 0x00200000U << e : static_cast<std::uint32_t>(e - 1) << 23);
}

float unsigned_e4m3_half(std::uint8_t x) noexcept {
  if (x == 0 || x == 0x7F) return 0;
  const int exponent = (x >> 3) & 15;
  const auto mantissa = static_cast<float>(x & 7);
  return 0.5F * (exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1.0F + mantissa / 8.0F, exponent - 7));
}

// Calls value(block, index) for every element and stores the results in order.
template <int Elements, int Bytes, class Value>
void each(const std::uint8_t* in, float* out, std::int64_t blocks, Value value) noexcept {
  for (std::int64_t b = 0; b < blocks; ++b, in += Bytes, out += Elements) {
    for (int i = 0; i < Elements; ++i) out[i] = value(in, i);
  }
}

}  // namespace

const GgufType* gguf_type(std::uint32_t number) noexcept {
  const auto* const row = std::find_if(types.begin(), types.end(), [&](const GgufType& t) { return t.number == number; });
  return row == types.end() ? nullptr : row;
}

const GgufType* gguf_type(std::string_view name) noexcept {
  const auto* const row = std::find_if(types.begin(), types.end(), [&](const GgufType& t) { return t.name == name; });
  return row == types.end() ? nullptr : row;
}

void dequantize_q4_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 18>(in, out, blocks,
               [](const std::uint8_t* b, int i) { return load_half(b) * static_cast<float>(half_nibble(b + 2, i, 16) - 8); });
}

void dequantize_q4_1(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 20>(in, out, blocks, [](const std::uint8_t* b, int i) {
    return load_half(b) * static_cast<float>(half_nibble(b + 4, i, 16)) + load_half(b + 2);
  });
}

void dequantize_q5_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 22>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const int q = half_nibble(b + 6, i, 16) | (bit(load_bits<std::uint32_t>(b + 2), i) << 4);
    return load_half(b) * static_cast<float>(q - 16);
  });
}

void dequantize_q5_1(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 24>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const int q = half_nibble(b + 8, i, 16) | (bit(load_bits<std::uint32_t>(b + 4), i) << 4);
    return load_half(b) * static_cast<float>(q) + load_half(b + 2);
  });
}

void dequantize_q8_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 34>(in, out, blocks, [](const std::uint8_t* b, int i) {
    return static_cast<float>(static_cast<std::int8_t>(b[2 + i])) * load_half(b);
  });
}

void dequantize_q2_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 84>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const int scales = b[i / 16];
    const float scale = load_half(b + 80) * static_cast<float>(scales & 15);
    const float min = load_half(b + 82) * static_cast<float>(scales >> 4);
    return scale * static_cast<float>(layered_pair(b + 16, i)) - min;
  });
}

void dequantize_q3_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 110>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const std::uint8_t* s = b + 96;
    const int group = i / 16;
    const int low = group < 8 ? s[group] & 15 : s[group - 8] >> 4;
    const int high = (s[8 + group % 4] >> (2 * (group / 4))) & 3;
    const float scale = load_half(b + 108) * static_cast<float>((low | (high << 4)) - 32);
    const int q = layered_pair(b + 32, i) - (bit(b[i % 32], i / 32) == 1 ? 0 : 4);
    return scale * static_cast<float>(q);
  });
}

void dequantize_q4_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 144>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const ScaleMin s = scale_min(b + 4, i / 32);
    const int q = half_nibble(b + 16 + i / 64 * 32, i % 64, 32);
    return load_half(b) * static_cast<float>(s.scale) * static_cast<float>(q) - load_half(b + 2) * static_cast<float>(s.min);
  });
}

void dequantize_q5_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 176>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const ScaleMin s = scale_min(b + 4, i / 32);
    const int q = half_nibble(b + 48 + i / 64 * 32, i % 64, 32) | (bit(b[16 + i % 32], i / 32) << 4);
    return load_half(b) * static_cast<float>(s.scale) * static_cast<float>(q) - load_half(b + 2) * static_cast<float>(s.min);
  });
}

void dequantize_q6_k(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 210>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const int q = half_nibble(b + i / 128 * 64, i % 128, 64) | (layered_pair(b + 128, i) << 4);
    const float scale = load_half(b + 208) * static_cast<float>(static_cast<std::int8_t>(b[192 + i / 16]));
    return scale * static_cast<float>(q - 32);
  });
}

void dequantize_tq1_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 54>(in, out, blocks, [](const std::uint8_t* b, int i) {
    constexpr std::array<int, 5> power = {1, 3, 9, 27, 81};
    const int at = i < 160 ? i % 32 : i < 240 ? 32 + (i - 160) % 16 : 48 + (i - 240) % 4;
    const int digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
    const int shifted = (b[at] * power[static_cast<std::size_t>(digit)]) & 255;
    return load_half(b + 52) * static_cast<float>(((shifted * 3) >> 8) - 1);
  });
}

void dequantize_tq2_0(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 66>(in, out, blocks,
                [](const std::uint8_t* b, int i) { return load_half(b + 64) * static_cast<float>(layered_pair(b, i) - 1); });
}

void dequantize_mxfp4(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 17>(in, out, blocks, [](const std::uint8_t* b, int i) {
    return exponent_half(b[0]) * fp4_values[static_cast<std::size_t>(half_nibble(b + 1, i, 16))];
  });
}

void dequantize_nvfp4(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<64, 36>(in, out, blocks, [](const std::uint8_t* b, int i) {
    return unsigned_e4m3_half(b[i / 16]) * fp4_values[static_cast<std::size_t>(half_nibble(b + 4 + i / 16 * 8, i % 16, 8))];
  });
}

void dequantize_iq4_nl(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<32, 18>(in, out, blocks, [](const std::uint8_t* b, int i) {
    return load_half(b) * iq4_values[static_cast<std::size_t>(half_nibble(b + 2, i, 16))];
  });
}

void dequantize_iq4_xs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each<256, 136>(in, out, blocks, [](const std::uint8_t* b, int i) {
    const int group = i / 32;
    const int scale = (nibble(b + 4, group) | (((load_bits<std::uint16_t>(b + 2) >> (2 * group)) & 3) << 4)) - 32;
    return load_half(b) * static_cast<float>(scale) *
           iq4_values[static_cast<std::size_t>(half_nibble(b + 8 + group * 16, i % 32, 16))];
  });
}

}  // namespace tl::format
