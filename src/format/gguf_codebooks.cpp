#include <array>

#include "format/gguf_bits.hpp"
#include "format/gguf_blocks.hpp"

// The IQ types: runs of eight or four values are rows of a code book, with scales and signs beside them.
namespace tl::format {
namespace {

#include "format/gguf_grids.inc"

constexpr std::array<float, 4> iq2_values = {8, 25, 43, 0};
constexpr std::array<float, 8> iq3_xxs_values = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<float, 8> iq3_s_values = {1, 3, 5, 7, 9, 11, 13, 15};

float pair_value(unsigned row, int index) noexcept { return iq2_values[(row >> (2 * index)) & 3U]; }
float triple_value(const std::array<float, 8>& values, unsigned row, int index) noexcept {
  return values[(row >> (3 * index)) & 7U];
}

// Seven sign bits; the eighth makes their number even.
unsigned even_signs(unsigned seven) noexcept {
  const auto ones = static_cast<unsigned>(__builtin_popcount(seven));
  return seven | ((ones & 1U) << 7);
}
float with_sign(float value, unsigned signs, int index) noexcept { return bit(signs, index) == 1 ? -value : value; }

// Calls run(block, r, out) for each run of eight values.
template <int Bytes, class Run>
void each_run(const std::uint8_t* in, float* out, std::int64_t blocks, Run run) noexcept {
  for (std::int64_t b = 0; b < blocks; ++b, in += Bytes) {
    for (int r = 0; r < 32; ++r, out += 8) run(in, r, out);
  }
}

void put_pairs(float scale, unsigned row, unsigned signs, float* out) noexcept {
  for (int i = 0; i < 8; ++i) out[i] = with_sign(scale * pair_value(row, i), signs, i);
}
void put_triples(float scale, const std::array<float, 8>& values, unsigned first, unsigned second, unsigned signs,
                 float* out) noexcept {
  for (int i = 0; i < 4; ++i) out[i] = with_sign(scale * triple_value(values, first, i), signs, i);
  for (int i = 0; i < 4; ++i) out[4 + i] = with_sign(scale * triple_value(values, second, i), signs, 4 + i);
}
void put_ternary(float scale, unsigned row, bool negative_delta, float* out) noexcept {
  const float delta = negative_delta ? -0.125F : 0.125F;
  for (int i = 0; i < 8; ++i) out[i] = scale * (static_cast<float>((row >> (2 * i)) & 3U) - 1.0F + delta);
}

}  // namespace

void dequantize_iq2_xxs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<66>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const std::uint8_t* group = b + 2 + r / 4 * 8;
    const auto word = load_bits<std::uint32_t>(group + 4);
    const float scale = load_half(b) * (0.5F + static_cast<float>(word >> 28)) * 0.25F;
    put_pairs(scale, iq2_xxs_grid[group[r % 4]], even_signs((word >> (7 * (r % 4))) & 127U), to);
  });
}

void dequantize_iq2_xs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<74>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const auto code = load_bits<std::uint16_t>(b + 2 + 2 * r);
    const float scale = load_half(b) * (0.5F + static_cast<float>(nibble(b + 66, r / 2))) * 0.25F;
    put_pairs(scale, iq2_xs_grid[code & 511U], even_signs(code >> 9), to);
  });
}

void dequantize_iq2_s(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<82>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const unsigned code = b[2 + r] | (((static_cast<unsigned>(b[66 + r / 4]) >> (2 * (r % 4))) & 3U) << 8);
    const float scale = load_half(b) * (0.5F + static_cast<float>(nibble(b + 74, r / 2))) * 0.25F;
    put_pairs(scale, iq2_s_grid[code], b[34 + r], to);
  });
}

void dequantize_iq3_xxs(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<98>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const auto word = load_bits<std::uint32_t>(b + 66 + r / 4 * 4);
    const float scale = load_half(b) * (0.5F + static_cast<float>(word >> 28)) * 0.5F;
    put_triples(scale, iq3_xxs_values, iq3_xxs_grid[b[2 + 2 * r]], iq3_xxs_grid[b[3 + 2 * r]],
                even_signs((word >> (7 * (r % 4))) & 127U), to);
  });
}

void dequantize_iq3_s(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<110>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const auto code = [&](int i) { return b[2 + i] | (static_cast<unsigned>(bit(b[66 + i / 8], i % 8)) << 8); };
    const float scale = load_half(b) * static_cast<float>(1 + 2 * nibble(b + 106, r / 4));
    put_triples(scale, iq3_s_values, iq3_s_grid[code(2 * r)], iq3_s_grid[code(2 * r + 1)], b[74 + r], to);
  });
}

void dequantize_iq1_s(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<50>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const unsigned high = load_bits<std::uint16_t>(b + 34 + r / 4 * 2);
    const unsigned code = b[2 + r] | (((high >> (3 * (r % 4))) & 7U) << 8);
    const float scale = load_half(b) * static_cast<float>(2 * ((high >> 12) & 7U) + 1);
    put_ternary(scale, iq1_grid[code], (high & 0x8000U) != 0, to);
  });
}

void dequantize_iq1_m(const std::uint8_t* in, float* out, std::int64_t blocks) noexcept {
  each_run<56>(in, out, blocks, [](const std::uint8_t* b, int r, float* to) {
    const auto word = [&](int i) { return static_cast<unsigned>(load_bits<std::uint16_t>(b + 48 + 2 * i)); };
    const unsigned half = (word(0) >> 12) | ((word(1) >> 12) << 4) | ((word(2) >> 12) << 8) | ((word(3) >> 12) << 12);
    const unsigned small = (word(r / 8) >> (3 * (r / 2 % 4))) & 7U;
    const float scale = to_float(f16{static_cast<std::uint16_t>(half)}) * static_cast<float>(2 * small + 1);
    const auto high = static_cast<unsigned>(nibble(b + 32, r));
    put_ternary(scale, iq1_grid[b[r] | ((high & 7U) << 8)], (high & 8U) != 0, to);
  });
}

}  // namespace tl::format
