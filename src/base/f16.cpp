#include "base/f16.hpp"

#include <cmath>
#include <limits>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace tl {
namespace {

// Decodes a small binary float with `exponent` and `mantissa` bits and IEEE subnormals; special values are the caller's.
float decode(std::uint32_t bits, int exponent_bits, int mantissa_bits) noexcept {
  const std::uint32_t sign = bits >> (exponent_bits + mantissa_bits);
  const std::uint32_t exponent = (bits >> mantissa_bits) & ((1U << exponent_bits) - 1);
  const std::uint32_t mantissa = bits & ((1U << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits)
                                        : std::ldexp(static_cast<float>(mantissa | (1U << mantissa_bits)),
                                                     static_cast<int>(exponent) - bias - mantissa_bits);
  return sign != 0 ? -magnitude : magnitude;
}

// Rounds |value| to a small float and returns exponent and mantissa joined, saturated at `limit` + 1 for overflow.
std::uint32_t encode(double magnitude, int exponent_bits, int mantissa_bits, std::uint32_t limit) noexcept {
  if (magnitude == 0) return 0;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  exponent -= 1;
  const int lowest = 1 - bias;
  const int scale_exponent = (exponent < lowest ? lowest : exponent) - mantissa_bits;
  const double scaled = std::nearbyint(std::ldexp(magnitude, -scale_exponent));
  const auto units = static_cast<std::uint64_t>(scaled);
  const int field = exponent < lowest ? 0 : exponent + bias - 1;
  const std::uint64_t joined = (static_cast<std::uint64_t>(field < 0 ? 0 : field) << mantissa_bits) + units;
  return joined > limit ? limit + 1 : static_cast<std::uint32_t>(joined);
}

}  // namespace

float to_float(f16 value) noexcept {
  const std::uint32_t bits = value.bits;
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1F;
  const std::uint32_t mantissa = bits & 0x3FF;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
  return sign != 0 ? -magnitude : magnitude;
}

float to_float(f8e4m3 value) noexcept {
  if ((value.bits & 0x7FU) == 0x7FU) return std::numeric_limits<float>::quiet_NaN();
  return decode(value.bits, 4, 3);
}

float to_float(f8e5m2 value) noexcept {
  if ((value.bits & 0x7CU) == 0x7CU) {
    if ((value.bits & 3U) != 0) return std::numeric_limits<float>::quiet_NaN();
    return (value.bits & 0x80U) != 0 ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
  }
  return decode(value.bits, 5, 2);
}

f16 to_f16(double value) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto sign = static_cast<std::uint32_t>(bits >> 48) & 0x8000U;
  const auto exponent = static_cast<int>(bits >> 52 & 0x7FF) - 1023;
  std::uint64_t mantissa = bits & 0xF'FFFF'FFFF'FFFFU;
  const auto signed_bits = [sign](std::uint64_t magnitude) { return f16{static_cast<std::uint16_t>(sign | magnitude)}; };
  if (exponent > 15) return signed_bits(exponent == 1024 && mantissa != 0 ? 0x7E00 : 0x7C00);
  if (exponent < -25) return signed_bits(0);
  unsigned shift = 42;
  std::uint64_t result = static_cast<std::uint64_t>(exponent + 15) << 10;
  if (exponent < -14) {  // subnormal: the leading one is a bit like the others
    mantissa |= std::uint64_t{1} << 52;
    shift += static_cast<unsigned>(-14 - exponent);
    result = 0;
  }
  result += mantissa >> shift;
  const std::uint64_t rest = mantissa & ((std::uint64_t{1} << shift) - 1);
  const std::uint64_t half = std::uint64_t{1} << (shift - 1);
  return signed_bits(result + (rest > half || (rest == half && (result & 1) != 0) ? 1 : 0));
}

f16 to_f16(float value) noexcept { return to_f16(static_cast<double>(value)); }

bf16 to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}

f8e4m3 to_f8e4m3(float value) noexcept {
  const std::uint32_t sign = std::signbit(value) ? 0x80U : 0;
  if (std::isnan(value) || std::isinf(value)) return {static_cast<std::uint8_t>(sign | 0x7FU)};
  return {static_cast<std::uint8_t>(sign | encode(std::fabs(static_cast<double>(value)), 4, 3, 0x7E))};
}

f8e5m2 to_f8e5m2(float value) noexcept {
  const std::uint32_t sign = std::signbit(value) ? 0x80U : 0;
  if (std::isnan(value)) return {static_cast<std::uint8_t>(sign | 0x7EU)};
  if (std::isinf(value)) return {static_cast<std::uint8_t>(sign | 0x7CU)};
  return {static_cast<std::uint8_t>(sign | encode(std::fabs(static_cast<double>(value)), 5, 2, 0x7B))};
}

namespace {

// Whole vectors of them; how many were converted.
#if defined(__x86_64__)
__attribute__((target("avx2,f16c"))) std::size_t widen(const f16* in, float* out, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
  }
  return i;
}

__attribute__((target("avx2,f16c"))) std::size_t narrow(const float* in, f16* out, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
  }
  return i;
}

bool has_vectors() noexcept {
  static const bool value = [] {  // clang-16's __builtin_cpu_supports doesn't know f16c
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0 && __builtin_cpu_supports("avx2") != 0;
  }();
  return value;
}
#elif defined(__aarch64__)
std::size_t widen(const f16* in, float* out, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(in + i)))));
  }
  return i;
}

std::size_t narrow(const float* in, f16* out, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    vst1_u16(reinterpret_cast<std::uint16_t*>(out + i), vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(in + i))));
  }
  return i;
}

constexpr bool has_vectors() noexcept { return true; }
#else
std::size_t widen(const f16*, float*, std::size_t) noexcept { return 0; }
std::size_t narrow(const float*, f16*, std::size_t) noexcept { return 0; }
constexpr bool has_vectors() noexcept { return false; }
#endif

}  // namespace

void f16_to_f32(const f16* in, float* out, std::size_t count) noexcept {
  std::size_t i = has_vectors() ? widen(in, out, count) : 0;
  for (; i < count; ++i) out[i] = to_float(in[i]);
}

void f32_to_f16(const float* in, f16* out, std::size_t count) noexcept {
  std::size_t i = has_vectors() ? narrow(in, out, count) : 0;
  for (; i < count; ++i) out[i] = to_f16(in[i]);
}

}  // namespace tl
