#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "op/device_run.hpp"

// Products in bf16 against the reference in float32 on operands rounded to bf16: those products are exact in float. A machine
// without them computes as without the switch.
namespace {

using namespace tl;
using namespace tl::test;

Tensor noise(const Shape& shape, unsigned seed, float scale) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Tensor values(DType::f32, shape);
  for (float& v : values.mutable_values<float>()) v = normal(generator);
  return values;
}

// To nearest even, eight bits of mantissa.
Tensor rounded(const Tensor& values) {
  Tensor result = values.cast(DType::f32).clone();
  if (!plan::cpu_has_bf16()) return result;
  for (float& v : result.mutable_values<float>()) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    v = std::bit_cast<float>((bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U);
  }
  return result;
}

void expect_bf16(const std::string& op, const std::vector<Argument>& arguments, std::initializer_list<const char*> operands) {
  std::vector<Argument> wide;
  for (const auto& [name, values] : arguments) {
    const Tensor& tensor = values[0].tensor();
    const bool operand = std::find(operands.begin(), operands.end(), name) != operands.end();
    const bool floats = tensor.dtype() == DType::f16 || tensor.dtype() == DType::f32;
    wide.emplace_back(name, std::vector<Value>{operand ? rounded(tensor) : floats ? tensor.cast(DType::f32) : tensor});
  }
  const Tensor want = run_eagerly(op, wide).front().tensor();
  const Tensor got = run_on_device(op, arguments, plan::cpu_device(plan::Precision::bf16)).front().tensor();
  ASSERT_EQ(got.shape(), want.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::fabs(want.number_at(i)));
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double expected = want.number_at(i);
    const double half_unit = got.dtype() == DType::f16 ? std::ldexp(std::fabs(expected), -11) + std::ldexp(1.0, -25) : 0;
    ASSERT_NEAR(got.number_at(i), expected, half_unit + 3e-5 * largest) << op << " element " << i;
  }
}

struct Conv {
  Shape x, weight;
  std::int32_t stride, pad, dilation, groups;
  DType dtype;
};

Tensor pair(std::int32_t v) { return Tensor::of<std::int32_t>({2}, {v, v}); }

class Bf16Conv : public testing::TestWithParam<Conv> {};

TEST_P(Bf16Conv, AgreesWithTheReference) {
  const Conv& c = GetParam();
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.weight[1] * c.weight[2] * c.weight[3]));
  expect_bf16("conv",
              {{"x", {noise(c.x, 1, 1).cast(c.dtype)}},
               {"weight", {noise(c.weight, 2, scale).cast(c.dtype)}},
               {"bias", {noise({c.weight[0]}, 3, 1).cast(c.dtype)}},
               {"strides", {pair(c.stride)}},
               {"dilations", {pair(c.dilation)}},
               {"groups", {Tensor::scalar(c.groups)}},
               {"pad_type", {Tensor::scalar(std::string("custom"))}},
               {"pad", {Tensor::of<std::int32_t>({4}, {c.pad, c.pad, c.pad, c.pad})}}},
              {"x", "weight"});
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Bf16Conv,
    testing::Values(Conv{{1, 32, 28, 28}, {32, 32, 3, 3}, 2, 1, 1, 1, DType::f16},  // windows straight into blocks
                    Conv{{1, 3, 34, 65}, {32, 3, 3, 3}, 2, 1, 1, 1, DType::f16},    // planes of an image
                    Conv{{2, 3, 39, 41}, {80, 3, 5, 5}, 2, 2, 1, 1, DType::f32},    // one half panel
                    Conv{{1, 3, 67, 70}, {48, 3, 7, 7}, 2, 3, 1, 1, DType::f16},
                    Conv{{1, 64, 7, 7}, {200, 64, 3, 3}, 1, 1, 1, 1, DType::f32},   // few rows: panels are shared out
                    Conv{{1, 3, 33, 31}, {24, 3, 5, 5}, 2, 1, 1, 1, DType::f16},    // windows through a row, odd depth
                    Conv{{2, 20, 17, 19}, {30, 20, 3, 3}, 1, 0, 2, 1, DType::f16},  // dilated
                    Conv{{1, 40, 60, 60}, {24, 40, 1, 1}, 1, 0, 1, 1, DType::f16},  // pointwise, a partial block
                    Conv{{1, 901, 7, 7}, {70, 901, 1, 1}, 1, 0, 1, 1, DType::f32},  // pointwise, odd depth
                    Conv{{1, 24, 20, 20}, {28, 6, 3, 3}, 1, 1, 1, 4, DType::f16},   // groups
                    Conv{{1, 20, 9, 9}, {8, 20, 1, 1}, 2, 0, 1, 1, DType::f32}));   // strided

TEST(Bf16, LinearOfManyShapes) {
  for (const auto& [m, k, n] : {std::array<std::int64_t, 3>{128, 96, 70}, {5, 33, 16}, {200, 1024, 31}, {2, 1, 1}}) {
    expect_bf16("linear",
                {{"x", {noise({m, k}, 1, 1).cast(DType::f16)}},
                 {"weight", {noise({n, k}, 2, 0.1F).cast(DType::f16)}},
                 {"bias", {noise({n}, 3, 1).cast(DType::f16)}}},
                {"x", "weight"});
  }
}

// By powers of two, which the rounding of weights to bf16 does not see.
TEST(Bf16, LinearOfScaledSums) {
  Tensor scale(DType::f32, {70});
  auto factors = scale.mutable_values<float>();
  for (std::size_t i = 0; i < factors.size(); ++i)
    factors[i] = std::ldexp(i % 2 == 0 ? 1.0F : -1.0F, static_cast<int>(i % 5) - 3);
  expect_bf16("tl.linear",
              {{"x", {noise({128, 96}, 1, 1).cast(DType::f16)}},
               {"weight", {noise({70, 96}, 2, 0.1F).cast(DType::f16)}},
               {"bias", {noise({70}, 3, 1).cast(DType::f16)}},
               {"scale", {scale}},
               {"residual", {noise({128, 70}, 4, 1).cast(DType::f16)}}},
              {"x", "weight"});
}

// Probabilities are rounded to bf16 as well: half a unit of eight bits each, so that results move by 2^-9 of the largest value.
TEST(Bf16, Attention) {
  for (const auto& [queries, keys, embedding, width] :
       {std::array<std::int64_t, 4>{77, 50, 40, 24}, {20, 33, 17, 33}, {197, 197, 64, 64}}) {
    const Tensor q = noise({1, 3, queries, embedding}, 1, 1).cast(DType::f16);
    const Tensor k = noise({1, 3, keys, embedding}, 2, 1).cast(DType::f16);
    const Tensor v = noise({1, 3, keys, width}, 3, 1).cast(DType::f16);
    const Tensor mask = noise({1, 1, queries, keys}, 4, 1).cast(DType::f16);
    const Tensor want =
        run_eagerly(
            "scaled_dot_product_attention",
            {{"query", {rounded(q)}}, {"key", {rounded(k)}}, {"value", {rounded(v)}}, {"attn_mask", {mask.cast(DType::f32)}}})
            .front()
            .tensor();
    const Tensor got =
        run_on_device("scaled_dot_product_attention", {{"query", {q}}, {"key", {k}}, {"value", {v}}, {"attn_mask", {mask}}},
                      plan::cpu_device(plan::Precision::bf16))
            .front()
            .tensor();
    double largest = 0;
    for (std::int64_t i = 0; i < v.size(); ++i) largest = std::max(largest, std::fabs(v.number_at(i)));
    for (std::int64_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got.number_at(i), want.number_at(i), std::ldexp(largest, -9) + std::ldexp(std::fabs(want.number_at(i)), -11))
          << i;
  }
}

}  // namespace
