#include "tensorlogic/tensor.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/f16.hpp"
#include "tensorlogic/error.hpp"

namespace tl {
namespace {

TEST(F16, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 value{static_cast<std::uint16_t>(bits)};
    const float wide = to_float(value);
    if (std::isnan(wide)) continue;
    EXPECT_EQ(to_f16(wide).bits, value.bits) << bits;
  }
}

TEST(F16, RoundsToNearestEven) {
  EXPECT_EQ(to_f16(2049.0F).bits, to_f16(2048.0F).bits);
  EXPECT_EQ(to_f16(2051.0F).bits, to_f16(2052.0F).bits);
  EXPECT_EQ(to_f16(65519.0F).bits, 0x7BFF);
  EXPECT_EQ(to_f16(65520.0F).bits, 0x7C00);
  EXPECT_EQ(to_f16(0x1p-25F).bits, 0);
  EXPECT_EQ(to_f16(0x1.8p-25F).bits, 1);
}

TEST(F16, BulkConversionAgreesWithTheScalarOne) {
  Tensor all(DType::f16, {0x10000});
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) all.mutable_values<f16>()[bits].bits = static_cast<std::uint16_t>(bits);
  const Tensor wide = all.cast(DType::f32);
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float expected = to_float(f16{static_cast<std::uint16_t>(bits)});
    const float actual = wide.values<float>()[bits];
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(actual));
    } else {
      EXPECT_EQ(actual, expected);
    }
  }
}

TEST(Tensor, PackedElementsReadBackWhatWasCast) {
  const Tensor wide = Tensor::of<std::int32_t>({5}, {-8, -1, 0, 3, 7});
  const Tensor packed = wide.cast(DType::i4);
  EXPECT_EQ(packed.bytes(), 3U);
  EXPECT_TRUE(packed.cast(DType::i32).identical(wide));
  const Tensor sixes = Tensor::of<std::int32_t>({4}, {1, 63, 32, 17}).cast(DType::u6);
  EXPECT_EQ(sixes.bytes(), 3U);
  EXPECT_EQ(sixes.integer_at(1), 63);
  EXPECT_EQ(sixes.integer_at(3), 17);
}

TEST(Tensor, CastsSaturateAndTruncate) {
  const Tensor t = Tensor::of<float>({5}, {300.0F, -1.9F, NAN, 1e30F, 2.5F});
  const Tensor bytes = t.cast(DType::u8);
  EXPECT_EQ(bytes.integer_at(0), 255);
  EXPECT_EQ(bytes.integer_at(1), 0);
  EXPECT_EQ(bytes.integer_at(2), 0);
  EXPECT_EQ(t.cast(DType::i32).integer_at(1), -1);
  EXPECT_EQ(t.cast(DType::i32).integer_at(3), INT32_MAX);
}

TEST(Tensor, HugeShapesAreRefusedNotWrapped) {
  EXPECT_THROW(Tensor(DType::f32, {std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(Tensor(DType::f32, {-1}), Error);
}

}  // namespace
}  // namespace tl
