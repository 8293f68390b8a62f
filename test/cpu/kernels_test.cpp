#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "op/device_run.hpp"

// Kernels on shapes that take each of their ways, against the reference in float32 on the same fp16 values.
namespace {

using namespace tl;
using namespace tl::test;

Tensor noise(DType dtype, const Shape& shape, unsigned seed, float scale) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Tensor values(DType::f32, shape);
  for (float& v : values.mutable_values<float>()) v = normal(generator);
  return values.cast(dtype);
}

std::vector<Argument> widened(const std::vector<Argument>& arguments) {
  std::vector<Argument> wide;
  for (const auto& [name, values] : arguments) {
    const Tensor& tensor = values[0].tensor();
    wide.emplace_back(name, std::vector<Value>{tensor.dtype() == DType::f16 ? tensor.cast(DType::f32) : tensor});
  }
  return wide;
}

// The largest difference in units of what one rounding of the result to fp16 may cost; sums may cost a little more.
void expect_same(const std::string& op, const std::vector<Argument>& arguments) {
  const Tensor want = run_eagerly(op, widened(arguments)).front().tensor();
  const Tensor got = run_on_device(op, arguments).front().tensor();
  ASSERT_EQ(got.shape(), want.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::fabs(want.number_at(i)));
  const double sum_error = 3e-5 * largest;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double expected = want.number_at(i);
    const double half_unit = got.dtype() == DType::f16 ? std::ldexp(std::fabs(expected), -11) + std::ldexp(1.0, -25) : 0;
    ASSERT_NEAR(got.number_at(i), expected, half_unit + sum_error) << op << " element " << i;
  }
}

struct Conv {
  Shape x, weight;
  std::int32_t stride, pad, dilation, groups;
  DType dtype;
};

Tensor pair(std::int32_t v) { return Tensor::of<std::int32_t>({2}, {v, v}); }

class ConvKernels : public testing::TestWithParam<Conv> {};

TEST_P(ConvKernels, AgreeWithTheReference) {
  const Conv& c = GetParam();
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.weight[1] * c.weight[2] * c.weight[3]));
  expect_same("conv", {{"x", {noise(c.dtype, c.x, 1, 1)}},
                       {"weight", {noise(c.dtype, c.weight, 2, scale)}},
                       {"bias", {noise(c.dtype, {c.weight[0]}, 3, 1)}},
                       {"strides", {pair(c.stride)}},
                       {"dilations", {pair(c.dilation)}},
                       {"groups", {Tensor::scalar(c.groups)}},
                       {"pad_type", {Tensor::scalar(std::string("custom"))}},
                       {"pad", {Tensor::of<std::int32_t>({4}, {c.pad, c.pad, c.pad, c.pad})}}});
}

constexpr DType f16 = DType::f16;
constexpr DType f32 = DType::f32;

INSTANTIATE_TEST_SUITE_P(Shapes, ConvKernels,
                         testing::Values(Conv{{1, 32, 56, 56}, {32, 32, 3, 3}, 1, 1, 1, 1, f16},    // Winograd, blocks
                                         Conv{{1, 64, 14, 14}, {48, 64, 3, 3}, 1, 1, 1, 1, f16},    // Winograd, shared
                                         Conv{{2, 32, 17, 19}, {32, 32, 3, 3}, 1, 0, 1, 1, f16},    // ragged patches
                                         Conv{{1, 64, 14, 14}, {80, 64, 3, 3}, 1, 1, 1, 1, f16},    // segments of 4 and 3
                                         Conv{{2, 96, 9, 15}, {64, 96, 3, 3}, 1, 0, 1, 1, f16},     // 7 by 13
                                         Conv{{1, 320, 7, 7}, {328, 320, 3, 3}, 1, 1, 1, 1, f16},   // not for panels of 16
                                         Conv{{1, 320, 7, 7}, {336, 320, 3, 3}, 1, 1, 1, 1, f16},   // weights on the way
                                         Conv{{1, 64, 56, 56}, {64, 64, 3, 3}, 2, 1, 1, 1, f16},    // strided, parts
                                         Conv{{2, 128, 27, 13}, {96, 128, 3, 3}, 2, 1, 1, 1, f16},  // strided, 14 by 7
                                         Conv{{1, 32, 14, 14}, {32, 32, 3, 3}, 1, 1, 2, 1, f16},    // dilated
                                         Conv{{1, 3, 33, 31}, {24, 3, 3, 3}, 2, 1, 1, 1, f16},      // few channels
                                         Conv{{1, 3, 34, 65}, {32, 3, 3, 3}, 2, 1, 1, 1, f16},      // an image
                                         Conv{{2, 3, 40, 41}, {48, 3, 7, 7}, 2, 3, 1, 1, f32},      //
                                         Conv{{1, 900, 7, 7}, {70, 900, 1, 1}, 1, 0, 1, 1, f16},    // depth in passes
                                         Conv{{1, 900, 30, 30}, {40, 900, 1, 1}, 1, 0, 1, 1, f32},  // the same, many rows
                                         Conv{{1, 40, 60, 60}, {24, 40, 1, 1}, 1, 0, 1, 1, f16},    // narrow panels
                                         Conv{{1, 24, 20, 20}, {28, 6, 3, 3}, 1, 1, 1, 4, f16},     // groups
                                         Conv{{1, 20, 9, 9}, {8, 20, 1, 1}, 2, 0, 1, 1, f32},       // strided
                                         Conv{{1, 40, 28, 28}, {40, 1, 3, 3}, 1, 1, 1, 40, f16},    // depthwise
                                         Conv{{2, 33, 15, 13}, {33, 1, 5, 5}, 2, 2, 1, 33, f16},    //
                                         Conv{{1, 70, 14, 14}, {70, 1, 7, 7}, 1, 3, 1, 70, f32},    //
                                         Conv{{1, 16, 14, 14}, {16, 1, 3, 3}, 1, 2, 2, 16, f16}));  // dilated

TEST(Kernels, MatmulOfManyShapes) {
  for (const auto& [m, k, n] : {std::array<std::int64_t, 3>{1, 64, 100}, {197, 64, 197}, {33, 300, 15}, {5, 17, 64}}) {
    for (const bool tx : {false, true}) {
      for (const bool ty : {false, true}) {
        expect_same("matmul", {{"x", {noise(f16, tx ? Shape{3, k, m} : Shape{3, m, k}, 1, 0.3F)}},
                               {"y", {noise(f16, ty ? Shape{n, k} : Shape{k, n}, 2, 0.3F)}},
                               {"transpose_x", {Tensor::scalar(tx)}},
                               {"transpose_y", {Tensor::scalar(ty)}}});
      }
    }
  }
}

TEST(Kernels, AttentionWithAndWithoutMask) {
  const Tensor q = noise(f16, {1, 3, 77, 40}, 1, 1);
  const Tensor k = noise(f16, {1, 3, 50, 40}, 2, 1);
  const Tensor v = noise(f16, {1, 3, 50, 24}, 3, 1);
  expect_same("scaled_dot_product_attention", {{"query", {q}}, {"key", {k}}, {"value", {v}}});
  expect_same("scaled_dot_product_attention",
              {{"query", {q}}, {"key", {k}}, {"value", {v}}, {"attn_mask", {noise(f16, {1, 1, 77, 50}, 4, 1)}}});
}

TEST(Kernels, LinearOfOneRow) {
  for (const DType dtype : {f16, f32}) {
    for (const auto& [k, n] : {std::array<std::int64_t, 2>{64, 100}, {768, 3}, {33, 1000}, {1, 5}, {2051, 70}}) {
      expect_same("linear", {{"x", {noise(dtype, {1, k}, 1, 1)}},
                             {"weight", {noise(dtype, {n, k}, 2, 0.1F)}},
                             {"bias", {noise(dtype, {n}, 3, 1)}}});
    }
  }
}

TEST(Kernels, AttentionOfOneQuery) {
  for (const auto& [embedding, width] : {std::array<std::int64_t, 2>{64, 64}, {40, 24}, {80, 100}}) {
    const Tensor q = noise(f16, {2, 3, 1, embedding}, 1, 1);
    const Tensor k = noise(f16, {2, 3, 50, embedding}, 2, 1);
    const Tensor v = noise(f16, {2, 3, 50, width}, 3, 1);
    Tensor mask(DType::f32, {1, 1, 1, 50});
    auto values = mask.mutable_values<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = i < 20 ? 0.5F : -1e4F;
    expect_same("scaled_dot_product_attention", {{"query", {q}}, {"key", {k}}, {"value", {v}}});
    expect_same("scaled_dot_product_attention",
                {{"query", {q}}, {"key", {k}}, {"value", {v}}, {"attn_mask", {mask.cast(f16)}}});
  }
}

TEST(Kernels, RowsOfManyLengths) {
  for (const std::int64_t length : {1, 7, 16, 100, 1000}) {
    const Tensor x = noise(f16, {3, 5, length}, 1, 2);
    expect_same("softmax", {{"x", {x}}, {"axis", {Tensor::scalar(std::int32_t{-1})}}});
    expect_same("layer_norm", {{"x", {x}},
                               {"axes", {Tensor::of<std::int32_t>({1}, {-1})}},
                               {"gamma", {noise(f16, {length}, 2, 1)}},
                               {"beta", {noise(f16, {length}, 3, 1)}},
                               {"epsilon", {Tensor::scalar(1e-3F)}}});
    for (const std::int32_t axis : {0, 1, 2})
      expect_same("reduce_mean", {{"x", {x}}, {"axes", {Tensor::of<std::int32_t>({1}, {axis})}}});
  }
}

TEST(Kernels, SumsOfManyRows) {
  for (const DType dtype : {f16, f32}) {
    const Tensor x = noise(dtype, {1, 37, 20, 72}, 1, 2);
    for (const char* op : {"reduce_mean", "reduce_sum", "reduce_max"})
      expect_same(op, {{"x", {x}}, {"axes", {Tensor::of<std::int32_t>({2}, {1, 2})}}});
  }
}

TEST(Kernels, TransposeOfManyOrders) {
  const Tensor x = noise(f16, {3, 5, 40, 70}, 1, 1);
  std::vector<std::int32_t> order = {0, 1, 2, 3};
  do {
    Tensor perm(DType::i32, {4});
    std::copy(order.begin(), order.end(), perm.mutable_values<std::int32_t>().begin());
    const std::vector<Argument> arguments = {{"x", {x}}, {"perm", {perm}}};
    const Tensor want = run_eagerly("transpose", arguments).front().tensor();
    EXPECT_TRUE(run_on_device("transpose", arguments).front().tensor().identical(want));
  } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace
