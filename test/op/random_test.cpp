#include <gtest/gtest.h>

#include <cmath>

#include "ir/op_def.hpp"

namespace {

using namespace tl;
using Arguments = std::vector<std::pair<std::string, Value>>;

constexpr std::int64_t draws = 100'000;

std::vector<double> draw(const char* op, Arguments arguments, DType dtype = DType::f32) {
  arguments.emplace_back("shape", Tensor::of<std::int32_t>({1}, {static_cast<std::int32_t>(draws)}));
  const Tensor result = ir::eager(op, arguments)[0].tensor();
  EXPECT_EQ(result.dtype(), dtype);
  const Tensor wide = result.cast(DType::f64);
  return {wide.values<double>().begin(), wide.values<double>().end()};
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

double moment(const std::vector<double>& values, int power) {
  const double centre = mean(values);
  double sum = 0;
  for (const double v : values) sum += std::pow(v - centre, power);
  return sum / static_cast<double>(values.size());
}

Value seed(std::int32_t value) { return Tensor::scalar(value); }

// Bounds: five standard errors.
TEST(Random, UniformMoments) {
  const auto values =
      draw("random_uniform", {{"low", Tensor::scalar(-2.0F)}, {"high", Tensor::scalar(4.0F)}, {"seed", seed(7)}});
  EXPECT_NEAR(mean(values), 1, 5 * std::sqrt(3.0 / draws));
  EXPECT_NEAR(moment(values, 2), 3, 0.05);
  for (const double v : values) ASSERT_TRUE(v >= -2 && v < 4);
}

TEST(Random, HalfPrecisionUniformStaysBelowHigh) {
  const auto values =
      draw("random_uniform", {{"low", Tensor::scalar(to_f16(0.0F))}, {"high", Tensor::scalar(to_f16(1.0F))}}, DType::f16);
  for (const double v : values) ASSERT_TRUE(v >= 0 && v < 1);
  EXPECT_NEAR(mean(values), 0.5, 5 * std::sqrt(1.0 / 12 / draws));
}

TEST(Random, NormalMoments) {
  const auto values =
      draw("random_normal", {{"mean", Tensor::scalar(10.0F)}, {"stddev", Tensor::scalar(2.0F)}, {"seed", seed(3)}});
  EXPECT_NEAR(mean(values), 10, 5 * 2 / std::sqrt(draws));
  EXPECT_NEAR(moment(values, 2), 4, 5 * 4 * std::sqrt(2.0 / draws));
  EXPECT_NEAR(moment(values, 3) / 8, 0, 5 * std::sqrt(6.0 / draws));
  EXPECT_NEAR(moment(values, 4) / 16, 3, 5 * std::sqrt(24.0 / draws));
}

TEST(Random, BernoulliShare) {
  const auto values = draw("random_bernoulli", {{"prob", Tensor::scalar(0.3F)}, {"seed", seed(1)}});
  EXPECT_NEAR(mean(values), 0.3, 5 * std::sqrt(0.21 / draws));
}

TEST(Random, CategoricalShares) {
  const Tensor logits = Tensor::of<float>({1, 3}, {std::log(0.2F), std::log(0.5F), std::log(0.3F)});
  const auto values = ir::eager("random_categorical", {{"x", logits}, {"size", seed(draws)}, {"seed", seed(9)}})[0].tensor();
  double share[3] = {};
  for (const float v : values.values<float>()) share[static_cast<int>(v)] += 1.0 / draws;
  EXPECT_NEAR(share[0], 0.2, 0.007);
  EXPECT_NEAR(share[1], 0.5, 0.008);
  EXPECT_NEAR(share[2], 0.3, 0.008);
}

TEST(Random, SeedRepeatsAndOtherSeedsDiffer) {
  EXPECT_EQ(draw("random_normal", {{"seed", seed(42)}}), draw("random_normal", {{"seed", seed(42)}}));
  EXPECT_NE(draw("random_normal", {{"seed", seed(42)}}), draw("random_normal", {{"seed", seed(43)}}));
  EXPECT_NE(draw("random_normal", {}), draw("random_normal", {}));
}

}  // namespace
