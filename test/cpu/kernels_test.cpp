#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/knobs.hpp"
#include "ir/text.hpp"
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

INSTANTIATE_TEST_SUITE_P(
    Shapes, ConvKernels,
    testing::Values(Conv{{1, 32, 56, 56}, {32, 32, 3, 3}, 1, 1, 1, 1, f16},     // Winograd, blocks
                    Conv{{1, 64, 14, 14}, {48, 64, 3, 3}, 1, 1, 1, 1, f16},     // Winograd, shared
                    Conv{{2, 32, 17, 19}, {32, 32, 3, 3}, 1, 0, 1, 1, f16},     // ragged patches
                    Conv{{1, 64, 14, 14}, {80, 64, 3, 3}, 1, 1, 1, 1, f16},     // segments of 4 and 3
                    Conv{{2, 96, 9, 15}, {64, 96, 3, 3}, 1, 0, 1, 1, f16},      // 7 by 13
                    Conv{{1, 320, 7, 7}, {328, 320, 3, 3}, 1, 1, 1, 1, f16},    // not for panels of 16
                    Conv{{1, 320, 7, 7}, {336, 320, 3, 3}, 1, 1, 1, 1, f16},    // weights on the way
                    Conv{{1, 64, 56, 56}, {64, 64, 3, 3}, 2, 1, 1, 1, f16},     // strided, parts
                    Conv{{2, 128, 27, 13}, {96, 128, 3, 3}, 2, 1, 1, 1, f16},   // strided, 14 by 7
                    Conv{{1, 32, 14, 14}, {32, 32, 3, 3}, 1, 1, 2, 1, f16},     // dilated
                    Conv{{1, 3, 33, 31}, {24, 3, 3, 3}, 2, 1, 1, 1, f16},       // few channels
                    Conv{{1, 3, 34, 65}, {32, 3, 3, 3}, 2, 1, 1, 1, f16},       // an image
                    Conv{{2, 3, 40, 41}, {48, 3, 7, 7}, 2, 3, 1, 1, f32},       //
                    Conv{{1, 900, 7, 7}, {70, 900, 1, 1}, 1, 0, 1, 1, f16},     // depth in passes
                    Conv{{1, 900, 30, 30}, {40, 900, 1, 1}, 1, 0, 1, 1, f32},   // the same, many rows
                    Conv{{1, 40, 60, 60}, {24, 40, 1, 1}, 1, 0, 1, 1, f16},     // narrow panels
                    Conv{{1, 24, 20, 20}, {28, 6, 3, 3}, 1, 1, 1, 4, f16},      // groups
                    Conv{{1, 20, 9, 9}, {8, 20, 1, 1}, 2, 0, 1, 1, f32},        // strided
                    Conv{{1, 320, 28, 27}, {320, 320, 1, 1}, 2, 0, 1, 1, f16},  // the same, Strassen
                    Conv{{1, 192, 28, 28}, {136, 192, 1, 1}, 1, 0, 1, 1, f16},  // Strassen
                    Conv{{2, 192, 15, 14}, {256, 192, 2, 2}, 2, 0, 1, 1, f16},  // patches, the last row in none
                    Conv{{1, 64, 24, 24}, {576, 64, 3, 3}, 3, 0, 1, 1, f16},    // patches of an odd height
                    Conv{{1, 96, 32, 34}, {320, 96, 4, 4}, 4, 0, 1, 1, f16},    // in passes
                    Conv{{1, 672, 1, 1}, {170, 672, 1, 1}, 1, 0, 1, 1, f16},    // one pixel
                    Conv{{1, 37, 1, 1}, {9, 37, 1, 1}, 1, 0, 1, 1, f32},        //
                    Conv{{1, 64, 1, 1}, {48, 16, 1, 1}, 1, 0, 1, 4, f16},       // one pixel, groups
                    Conv{{1, 40, 28, 28}, {40, 1, 3, 3}, 1, 1, 1, 40, f16},     // depthwise
                    Conv{{2, 33, 15, 13}, {33, 1, 5, 5}, 2, 2, 1, 33, f16},     //
                    Conv{{1, 70, 14, 14}, {70, 1, 7, 7}, 1, 3, 1, 70, f32},     //
                    Conv{{1, 16, 14, 14}, {16, 1, 3, 3}, 1, 2, 2, 16, f16}));   // dilated

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
  expect_same("scaled_dot_product_attention",
              {{"query", {q}}, {"key", {k}}, {"value", {v}}, {"attn_mask", {noise(f16, {1, 3, 77, 1}, 4, 1)}}});
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

void expect_same_rows(const Tensor& x) {
  const std::int64_t length = x.shape().back();
  expect_same("softmax", {{"x", {x}}, {"axis", {Tensor::scalar(std::int32_t{-1})}}});
  expect_same("layer_norm", {{"x", {x}},
                             {"axes", {Tensor::of<std::int32_t>({1}, {-1})}},
                             {"gamma", {noise(f16, {length}, 2, 1).cast(x.dtype())}},
                             {"beta", {noise(f16, {length}, 3, 1).cast(x.dtype())}},
                             {"epsilon", {Tensor::scalar(1e-3F)}}});
}

TEST(Kernels, RowsOfManyLengths) {
  for (const std::int64_t length : {1, 7, 16, 100, 1000}) {
    const Tensor x = noise(f16, {3, 5, length}, 1, 2);
    expect_same_rows(x);
    for (const std::int32_t axis : {0, 1, 2})
      expect_same("reduce_mean", {{"x", {x}}, {"axes", {Tensor::of<std::int32_t>({1}, {axis})}}});
  }
  expect_same_rows(noise(f32, {21, 45}, 1, 2));
  expect_same_rows(noise(f16, {400, 96}, 1, 2));
  expect_same_rows(noise(f16, {9, 2100}, 1, 2));
}

// Whatever rows it is computed beside, a row has the same bits.
TEST(Kernels, RowsStandAlone) {
  const Tensor x = noise(f16, {11, 37}, 1, 2);
  for (const char* op : {"softmax", "layer_norm"}) {
    const auto run = [&](const Tensor& rows) {
      std::vector<Argument> arguments{{"x", {rows}}};
      if (std::string_view(op) == "layer_norm") arguments.push_back({"axes", {Tensor::of<std::int32_t>({1}, {-1})}});
      return run_on_device(op, arguments).front().tensor();
    };
    const Tensor all = run(x);
    for (std::int64_t r = 0; r < 11; ++r) {
      Tensor row(f16, {1, 37});
      std::copy_n(x.values<tl::f16>().begin() + r * 37, 37, row.mutable_values<tl::f16>().begin());
      const Tensor alone = run(row);
      for (std::int64_t i = 0; i < 37; ++i) EXPECT_EQ(alone.number_at(i), all.number_at(r * 37 + i)) << op << ' ' << r;
    }
  }
}

TEST(Kernels, SoftmaxOfRowsThatAreNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  Tensor x(f32, {9, 20});
  auto values = x.mutable_values<float>();
  std::fill(values.begin(), values.end(), 0.0F);
  values[3 * 20 + 7] = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(values.begin() + 5 * 20, 20, -inf);
  std::fill_n(values.begin() + 6 * 20, 10, -inf);
  values[8 * 20 + 19] = inf;
  const Tensor y = run_on_device("softmax", {{"x", {x}}, {"axis", {Tensor::scalar(std::int32_t{-1})}}}).front().tensor();
  for (std::int64_t r = 0; r < 9; ++r) {
    for (std::int64_t i = 0; i < 20; ++i) {
      const double got = y.number_at(r * 20 + i);
      if (r == 3 || r == 5 || r == 8) {
        EXPECT_TRUE(std::isnan(got)) << r << ' ' << i;
      } else {
        EXPECT_NEAR(got, r == 6 ? (i < 10 ? 0.0 : 0.1) : 0.05, 1e-7) << r << ' ' << i;
      }
    }
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

void expect_identical(const std::string& op, const std::vector<Argument>& arguments) {
  const Tensor want = run_eagerly(op, arguments).front().tensor();
  EXPECT_TRUE(run_on_device(op, arguments).front().tensor().identical(want)) << op << " of " << to_string(want.shape());
}

// Tiles of eight, the last ones over those before; three planes side by side.
TEST(Kernels, TransposeOfAnySides) {
  const Tensor perm = Tensor::of<std::int32_t>({3}, {0, 2, 1});
  for (const std::int64_t rows : {1, 2, 3, 7, 8, 9, 15, 43, 130}) {
    for (const std::int64_t columns : {1, 3, 5, 8, 11, 16, 23, 1001})
      expect_identical("transpose", {{"x", {noise(f16, {2, rows, columns}, 1, 1)}}, {"perm", {perm}}});
  }
}

// Rows of the last axis go by phases of the stride; windows reach over both edges.
TEST(Kernels, PoolsOverPlanes) {
  const auto list = [](std::vector<std::int32_t> v) {
    return Tensor::of<std::int32_t>({static_cast<std::int64_t>(v.size())}, std::span<const std::int32_t>(v));
  };
  for (const DType dtype : {f16, f32}) {
    for (const std::int32_t stride : {1, 2, 3, 4, 5, 200}) {
      for (const std::int32_t kernel : {1, 2, 3, 7}) {
        for (const bool inside : {false, true}) {
          const Tensor x = noise(dtype, {2, 3, 133}, 1, 1);
          const std::int32_t pad = kernel / 2;
          std::vector<Argument> arguments = {{"x", {x}},
                                             {"kernel_sizes", {list({kernel})}},
                                             {"strides", {list({stride})}},
                                             {"pad_type", {Tensor::scalar(std::string("custom"))}},
                                             {"pad", {list({pad, pad})}}};
          expect_identical("max_pool", arguments);
          expect_same("l2_pool", arguments);
          arguments.emplace_back("exclude_padding_from_average", std::vector<Value>{Tensor::scalar(inside)});
          expect_same("avg_pool", arguments);
        }
      }
    }
    const std::vector<Argument> volume = {{"x", {noise(dtype, {1, 2, 7, 9, 70}, 1, 1)}},
                                          {"kernel_sizes", {list({2, 3, 4})}},
                                          {"strides", {list({2, 1, 3})}},
                                          {"pad_type", {Tensor::scalar(std::string("same"))}}};
    for (const char* op : {"max_pool", "avg_pool", "l2_pool"}) expect_same(op, volume);
  }
}

TEST(Kernels, NearestPixels) {
  const auto number = [](std::int32_t v) { return Tensor::scalar(v); };
  for (const DType dtype : {f16, f32}) {
    for (const auto& [height, width] : {std::array<std::int32_t, 2>{5, 7}, {10, 21}, {3, 2}, {1, 1}, {13, 7}, {5, 90}}) {
      const Tensor x = noise(dtype, {2, 3, 5, 7}, 1, 1);
      expect_identical("resize_nearest_neighbor",
                       {{"x", {x}}, {"target_size_height", {number(height)}}, {"target_size_width", {number(width)}}});
      for (const char* mode : {"STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"}) {
        for (const Tensor& image : {x, x.cast(DType::i32)}) {
          expect_identical("resize", {{"x", {image}},
                                      {"shape", {Tensor::of<std::int32_t>({2}, {height, width})}},
                                      {"resized_dims", {number(2)}},
                                      {"interpolation_mode", {Tensor::scalar(std::string("NEAREST_NEIGHBOR"))}},
                                      {"sampling_mode", {Tensor::scalar(std::string(mode))}}});
        }
      }
    }
    expect_identical("upsample_nearest_neighbor", {{"x", {noise(dtype, {1, 40, 33, 31}, 1, 1)}},
                                                   {"scale_factor_height", {Tensor::scalar(2.0F)}},
                                                   {"scale_factor_width", {Tensor::scalar(1.5F)}}});
  }
}

// Sums in one float after the other would be off by 1e-5 here.
TEST(Kernels, LongSumsOfFloats) {
  for (const Shape& shape : {Shape{52428, 20}, {1, 1048575}, {262144, 3}}) {
    Tensor x(f32, shape);
    std::mt19937 generator(3);
    std::uniform_real_distribution<float> uniform(0, 2);
    for (float& v : x.mutable_values<float>()) v = uniform(generator);
    const Tensor axes = Tensor::of<std::int32_t>({1}, {shape[0] == 1 ? 1 : 0});
    for (const char* op : {"reduce_sum", "reduce_mean", "reduce_l1_norm", "reduce_l2_norm", "reduce_sum_square"}) {
      const std::vector<Argument> arguments = {{"x", {x}}, {"axes", {axes}}};
      const Tensor want = run_eagerly(op, arguments).front().tensor(), got = run_on_device(op, arguments).front().tensor();
      for (std::int64_t i = 0; i < want.size(); ++i)
        EXPECT_NEAR(got.number_at(i) / want.number_at(i), 1, 1e-6) << op << " " << i;
    }
  }
}

// Modulo 2^32, with the numbers that have no opposite.
TEST(Kernels, IntegerReductions) {
  for (const Shape& shape : {Shape{3, 5, 7}, {2, 70, 33}, {64, 3, 300}, {1, 40000, 1}}) {
    Tensor x(DType::i32, shape);
    std::mt19937 generator(3);
    for (std::int32_t& v : x.mutable_values<std::int32_t>())
      v = generator() % 8 == 0 ? std::numeric_limits<std::int32_t>::min() : static_cast<std::int32_t>(generator());
    for (const char* op : {"reduce_l1_norm", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum", "reduce_sum_square"}) {
      for (const std::vector<std::int32_t>& axes :
           {std::vector<std::int32_t>{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}}) {
        const Tensor list =
            Tensor::of<std::int32_t>({static_cast<std::int64_t>(axes.size())}, std::span<const std::int32_t>(axes));
        expect_identical(op, {{"x", {x}}, {"axes", {list}}});
      }
    }
  }
}

TEST(Kernels, FillsOfManySizes) {
  for (const std::int64_t count : {1, 1024, 1025, 5000, 70001}) {
    for (const Tensor& value :
         {Tensor::scalar(1.5F), Tensor::scalar(1.5F).cast(f16), Tensor::scalar(std::int32_t{-7}), Tensor::scalar(true)})
      expect_identical("fill_like", {{"ref_tensor", {Tensor::zeros(DType::i32, {count})}}, {"value", {value}}});
  }
}

TEST(Kernels, ComparisonsAndChoices) {
  for (const std::int64_t size : {1, 5, 300, 70001}) {
    for (const DType dtype : {f16, f32, DType::i32, DType::u8, DType::boolean}) {
      const bool logical = dtype == DType::boolean;
      Tensor x = noise(f32, {size, 1}, 1, 2).cast(DType::i32).cast(dtype);
      const Tensor y = noise(f32, {size, 1}, 2, 2).cast(DType::i32).cast(dtype);
      if (dtype == f32) x.mutable_values<float>()[0] = std::numeric_limits<float>::quiet_NaN();
      const Tensor one = noise(f32, {1}, 3, 2).cast(DType::i32).cast(dtype);
      const Tensor cond = noise(f32, {size, 1}, 4, 1).cast(DType::i32).cast(DType::boolean);
      for (const auto& [left, right] : {std::pair{x, y}, std::pair{x, one}, std::pair{one, y}}) {
        for (const char* op : {"equal", "greater", "greater_equal", "less", "less_equal", "not_equal", "logical_and",
                               "logical_or", "logical_xor"}) {
          if (!logical && std::string_view(op).starts_with("logical")) continue;
          const std::vector<Argument> arguments = {{"x", {left}}, {"y", {right}}};
          EXPECT_TRUE(run_on_device(op, arguments).front().tensor().identical(run_eagerly(op, arguments).front().tensor()))
              << op << ' ' << size << ' ' << name(dtype);
        }
        const std::vector<Argument> arguments = {{"cond", {cond}}, {"a", {left}}, {"b", {right}}};
        EXPECT_TRUE(
            run_on_device("select", arguments).front().tensor().identical(run_eagerly("select", arguments).front().tensor()))
            << size << ' ' << name(dtype);
      }
    }
  }
}

TEST(Kernels, ConcatOfRowsAndPieces) {
  for (const std::int32_t axis : {0, 1, 2, -1}) {
    for (const std::int64_t rows : {1, 3, 120}) {
      for (const bool interleave : {false, true}) {
        std::vector<Value> values;
        for (unsigned i = 0; i < 3; ++i) {
          Shape shape = {rows, 17, 30};
          if (!interleave) shape[uz(axis < 0 ? axis + 3 : axis)] = i;
          values.emplace_back(noise(f16, shape, i, 1));
        }
        const std::vector<Argument> arguments = {
            {"values", values}, {"axis", {Tensor::scalar(axis)}}, {"interleave", {Tensor::scalar(interleave)}}};
        const Tensor want = run_eagerly("concat", arguments).front().tensor();
        EXPECT_TRUE(run_on_device("concat", arguments).front().tensor().identical(want)) << axis << ' ' << rows;
      }
    }
  }
  const std::vector<Argument> long_pieces = {{"values", {noise(f32, {50001}, 1, 1), noise(f32, {7}, 2, 1)}},
                                             {"axis", {Tensor::scalar(0)}}};
  EXPECT_TRUE(
      run_on_device("concat", long_pieces).front().tensor().identical(run_eagerly("concat", long_pieces).front().tensor()));
}

TEST(Kernels, ReversedAxes) {
  for (const DType dtype : {DType::boolean, DType::i8, f16, f32, DType::i32}) {
    const Tensor x = noise(f32, {5, 3, 67, 19}, 1, 3).cast(dtype);
    for (const std::vector<std::int32_t>& axes : {std::vector<std::int32_t>{3}, {-2}, {0, 3}, {1, 2}, {0, 1, 2, 3}}) {
      const Tensor list =
          Tensor::of<std::int32_t>({static_cast<std::int64_t>(axes.size())}, std::span<const std::int32_t>(axes));
      expect_identical("reverse", {{"x", {x}}, {"axes", {list}}});
    }
    expect_identical("reverse", {{"x", {x}}});
  }
}

// Sums that half precision does not hold meet their factors in the product, where rows are many; op by op they overflow.
TEST(Kernels, FactorsOfChannelsJoinProducts) {
  const bool joins = knob_value(Knob::memory) == 0 && knob_value(Knob::wide_weights) > 0;
  for (const auto& [rows, want] : {std::pair<std::int64_t, std::string>{64, joins ? "76 -71" : "inf -inf"}, {63, "inf -inf"}}) {
    const auto parsed = ir::parse_mil(fmt::format(R"(program(1.3)
{{
  func main<ios18>(tensor<fp16, [{0}, 2]> x, tensor<fp16, [{0}, 2]> r) {{
    tensor<fp16, [{0}, 2]> t = linear(x = x, weight = tensor<fp16, [2, 2]>([30000, 20000, -30000, -30000]), bias = tensor<fp16, [2]>([10000, 0]))[name = string("t")];
    tensor<fp16, [{0}, 2]> m = mul(x = t, y = tensor<fp16, [2]>([0.0009765625, 0.0009765625]))[name = string("m")];
    tensor<fp16, [{0}, 2]> y = add(x = r, y = m)[name = string("y")];
  }} -> (y);
}}
)",
                                                  rows));
    const std::shared_ptr<ir::Function> function = std::move(parsed->functions.front());
    ir::verify(*function);
    plan::Session session(function, &plan::cpu_device(), std::make_shared<ThreadPool>(1));
    Tensor x(f32, {rows, 2}), r(f32, {rows, 2});
    for (float& v : x.mutable_values<float>()) v = 1.28F;
    for (float& v : r.mutable_values<float>()) v = 3.75F;
    const std::vector<Value> given{x.cast(f16), r.cast(f16)};
    const Tensor got = session.run(given, {}).front().tensor();
    EXPECT_EQ(fmt::format("{:.0f} {:.0f}", got.number_at(0), got.number_at(2 * rows - 1)), want);
  }
}

// Constant operands on either side; what was an einsum leaves no op to the reference.
TEST(Kernels, EinsumOfWeights) {
  const std::string weights = "tensor<fp32, [2, 1, 2]>([1, 2, 3, 4])";
  for (const auto& [values, equation, want] : {std::array<std::string, 3>{"x, " + weights, "sd,dhk->shk", "7 10 15 22 23 34"},
                                               {weights + ", x", "khd,sd->skh", "5 11 11 25 17 39"}}) {
    const auto parsed =
        ir::parse_mil("program(1.3)\n{\n  func main<ios18>(tensor<fp32, [3, 2]> x) {\n    tensor<fp32, " +
                      std::string(equation == "sd,dhk->shk" ? "[3, 1, 2]" : "[3, 2, 1]") + "> y = einsum(values = (" + values +
                      "), equation = string(\"" + equation + "\"))[name = string(\"y\")];\n  } -> (y);\n}\n");
    const std::shared_ptr<ir::Function> function = std::move(parsed->functions.front());
    ir::verify(*function);
    plan::Session session(function, &plan::cpu_device(), std::make_shared<ThreadPool>(1));
    const std::vector<Value> given{Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6})};
    const Tensor got = session.run(given, {}).front().tensor();
    std::string text;
    for (std::int64_t i = 0; i < got.size(); ++i) text += (i == 0 ? "" : " ") + fmt::format("{:g}", got.number_at(i));
    EXPECT_EQ(text, want);
    EXPECT_EQ(session.executable({function->inputs[0]->type})->statistics().reference_steps, 0U);
  }
}

}  // namespace
