#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/knobs.hpp"
#include "cpu/function_builder.hpp"

// Quantized and compressed programs on the device against the reference, which runs them op by op. Scales are powers of two and
// levels small, so that dequantized values, products and sums are exact in both: results must be the same bits.
namespace {

using namespace tl;
using namespace tl::ir;
using namespace tl::test;

struct Builder : FunctionBuilder {
  // Levels times 1/8: exact in float16.
  Tensor reals(const Shape& shape, int most) {
    Tensor values = integers(DType::f32, shape, -most, most);
    for (float& v : values.mutable_values<float>()) v /= 8;
    return values.cast(DType::f16);
  }
  Var* quantized(Var* x, DType dtype, double scale, int zero) {
    const auto bound = make_constant(Tensor::scalar(static_cast<float>(scale)).cast(DType::f16));
    const auto point = make_constant(Tensor::scalar(std::int32_t{zero}).cast(dtype));
    Var* levels = add("quantize", {{"input", x},
                                   {"scale", bound},
                                   {"zero_point", point},
                                   {"output_dtype", text_binding(dtype == DType::i8 ? "int8" : "uint8")}});
    return add("dequantize", {{"input", levels}, {"scale", bound}, {"zero_point", point}});
  }
  // Weights of one scale per row.
  Var* weight(const Shape& shape) {
    Shape grid(shape.size(), 1);
    grid[0] = shape[0];
    Tensor scale(DType::f32, grid);
    auto values = scale.mutable_values<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 0.125F : 0.25F;
    return add("constexpr_blockwise_shift_scale",
               {{"data", make_constant(integers(DType::i8, shape, -7, 7))}, {"scale", make_constant(scale.cast(DType::f16))}});
  }
};

// Every kernel named in `wanted` ran (a name that starts so), and no constexpr op or float twin beside it.
void expect_same(Builder& b, Var* result, const std::vector<Value>& inputs, const std::vector<std::string>& wanted) {
  b.function->body.outputs.push_back(result);
  verify(*b.function);
  const Tensor want = run(b, inputs, nullptr, 2).outputs[0].tensor();
  const Ran ran = run(b, inputs, &plan::cpu_device(), 2);
  for (const std::string& name : wanted) {
    EXPECT_TRUE(std::any_of(ran.kernels.begin(), ran.kernels.end(), [&](const std::string& k) {
      return k.rfind(name, 0) == 0;
    })) << name;
  }
  EXPECT_EQ(std::count(ran.kernels.begin(), ran.kernels.end(), "reference"), 0);
  const Tensor got = ran.outputs[0].tensor();
  ASSERT_EQ(got.shape(), want.shape());
  for (std::int64_t i = 0; i < want.size(); ++i) ASSERT_EQ(got.number_at(i), want.number_at(i)) << i;
}

struct Conv {
  Shape x, weight;
  std::int64_t stride, pad, groups;
  DType levels;
  int zero;
  bool clipped = false;
};

class Int8Conv : public testing::TestWithParam<Conv> {};

TEST_P(Int8Conv, SameBitsAsTheReference) {
  const Conv& c = GetParam();
  Builder b;
  Var* x = b.input(DType::f16, c.x);
  Var* weight = b.weight(c.weight);
  Var* y = b.add("conv", {{"x", b.quantized(x, c.levels, 0.125, c.zero)},
                          {"weight", weight},
                          {"bias", make_constant(b.reals({c.weight[0]}, 40))},
                          {"strides", ints_binding({c.stride, c.stride})},
                          {"groups", make_constant(Tensor::scalar(static_cast<std::int32_t>(c.groups)))},
                          {"pad_type", text_binding("custom")},
                          {"pad", ints_binding({c.pad, c.pad, c.pad, c.pad})}});
  if (c.clipped) {  // as coremltools writes it for what it does not take for an activation
    y = b.quantized(y, c.levels, 0.5, c.zero);
    y = b.add("clip", {{"x", y}, {"alpha", float_binding(0)}, {"beta", float_binding(6)}});
  } else {
    y = b.add("relu", {{"x", y}});
  }
  const bool depthwise = c.groups == c.x[1];
  expect_same(b, b.quantized(y, c.levels, 0.5, c.zero), {b.reals(c.x, 6)}, {depthwise ? "depthwise_int8" : "gemm_int8"});
}

INSTANTIATE_TEST_SUITE_P(Shapes, Int8Conv,
                         testing::Values(Conv{{1, 64, 9, 9}, {40, 64, 3, 3}, 1, 1, 1, DType::i8, 0},  // straight into blocks
                                         Conv{{1, 3, 17, 15}, {8, 3, 3, 3}, 2, 1, 1, DType::i8, 3, true},  // through a row
                                         Conv{{2, 20, 12, 12}, {70, 20, 1, 1}, 1, 0, 1, DType::u8, 100, true},
                                         Conv{{1, 130, 3, 3}, {33, 130, 1, 1}, 2, 0, 1, DType::u8, 0},
                                         Conv{{1, 24, 8, 8}, {16, 12, 3, 3}, 1, 2, 2, DType::i8, -5},  // groups
                                         Conv{{1, 70, 9, 11}, {70, 1, 3, 3}, 1, 1, 70, DType::i8, 0, true},
                                         Conv{{2, 96, 10, 9}, {96, 1, 5, 5}, 2, 2, 96, DType::u8, 100},
                                         Conv{{1, 24, 12, 12}, {24, 1, 3, 3}, 2, 0, 24, DType::i8, 3, true},
                                         Conv{{1, 33, 7, 7}, {33, 1, 4, 4}, 1, 1, 33, DType::i8, 0}));

// A sum of two branches, each through levels or as it is, that is read as values and as levels.
struct Sum {
  std::int64_t channels, groups;
  bool own_levels, other_levels, both;
};

class Int8Sum : public testing::TestWithParam<Sum> {};

TEST_P(Int8Sum, SameBitsAsTheReference) {
  const Sum& c = GetParam();
  Builder b;
  const Shape shape = {1, c.channels, 6, 5};
  Var* x = b.input(DType::f16, shape);
  Var* other = b.input(DType::f16, shape);
  Var* y = b.add("conv", {{"x", b.quantized(x, DType::i8, 0.125, 0)},
                          {"weight", b.weight({c.channels, c.channels / c.groups, 3, 3})},
                          {"bias", make_constant(b.reals({c.channels}, 40))},
                          {"groups", make_constant(Tensor::scalar(static_cast<std::int32_t>(c.groups)))},
                          {"pad_type", text_binding("same")}});
  if (c.own_levels) y = b.quantized(y, DType::i8, 0.5, 0);
  y = b.add("relu",
            {{"x", b.add("add", {{"x", c.other_levels ? b.quantized(other, DType::u8, 0.25, 100) : other}, {"y", y}})}});
  Var* levels = b.quantized(y, DType::u8, 0.5, 0);
  Var* result = c.both ? b.add("sub", {{"x", b.add("mul", {{"x", y}, {"y", y}})}, {"y", levels}}) : levels;
  expect_same(b, result, {b.reals(shape, 6), b.reals(shape, 60)}, {c.groups > 1 ? "depthwise_int8" : "gemm_int8"});
}

INSTANTIATE_TEST_SUITE_P(Shapes, Int8Sum,
                         testing::Values(Sum{40, 1, true, true, false}, Sum{40, 1, true, false, true},
                                         Sum{16, 1, false, true, true}, Sum{7, 1, false, false, false},
                                         Sum{64, 1, true, true, true}, Sum{48, 48, true, true, true},
                                         Sum{5, 5, false, false, true}));

TEST(Int8, LinearWithAndWithoutLevelsBehind) {
  for (const std::int64_t rows : {1, 5, 64}) {
    Builder b;
    Var* x = b.input(DType::f16, {rows, 70});
    Var* y = b.add("linear", {{"x", b.quantized(x, DType::i8, 0.125, 2)},
                              {"weight", b.weight({33, 70})},
                              {"bias", make_constant(b.reals({33}, 40))}});
    expect_same(b, y, {b.reals({rows, 70}, 6)}, {"gemm_int8"});
  }
}

TEST(Compressed, LinearOfOneRowReadsBytes) {
  for (const std::int64_t depth : {64, 70, 5}) {
    Builder b;
    Var* x = b.input(DType::f16, {1, depth});
    Var* y = b.add("linear", {{"x", x}, {"weight", b.weight({37, depth})}});
    expect_same(b, y, {b.reals({1, depth}, 6)}, {"gemv_int8"});
  }
}

// Levels of 4 bits with factors: `tables` rows of `blocks` factors each.
Var* nibble_levels(Builder& b, DType dtype, DType type, const Shape& shape, std::int64_t tables, std::int64_t blocks,
                   std::optional<int> offset) {
  Tensor scale(DType::f32, {tables, blocks});
  auto values = scale.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 1 ? 0.25F : 0.125F;
  const int low = dtype == DType::i4 ? -8 : 0;
  std::vector<std::pair<std::string, Binding>> inputs = {{"data", make_constant(b.integers(dtype, shape, low, low + 15))},
                                                         {"scale", make_constant(scale.cast(type))}};
  if (offset) {
    Tensor offsets(DType::i32, {tables, blocks});
    for (auto& v : offsets.mutable_values<std::int32_t>()) v = *offset;
    inputs.emplace_back("offset", make_constant(offsets.cast(dtype)));
  }
  return b.add("constexpr_blockwise_shift_scale", std::move(inputs));
}

struct Nibbles {
  std::int64_t rows, depth, block;
};

class NibbleRows : public testing::TestWithParam<Nibbles> {};

TEST_P(NibbleRows, LevelsInBlocks) {
  const auto [rows, depth, block] = GetParam();
  for (const DType dtype : {DType::i4, DType::u4}) {
    for (const DType type : {DType::f16, DType::f32}) {
      for (const std::int64_t tables : {std::int64_t{1}, rows}) {
        for (const auto offset : {std::optional<int>(), std::optional<int>(5)}) {
          Builder b;
          Var* x = b.input(type, {1, depth});
          Var* weight = nibble_levels(b, dtype, type, {rows, depth}, tables, depth / block, offset);
          expect_same(b, b.add("linear", {{"x", x}, {"weight", weight}}), {b.reals({1, depth}, 6).cast(type)}, {"gemv_4bit"});
        }
      }
    }
  }
}

// The entries are words; with `fine` one of them has too many bits for that.
TEST_P(NibbleRows, Palettes) {
  const auto [rows, depth, block] = GetParam();
  for (const DType type : {DType::f16, DType::f32}) {
    for (const std::int64_t tables : {std::int64_t{1}, rows % 4 == 0 ? rows / 4 : rows}) {
      for (const bool fine : {false, true}) {
        Builder b;
        Var* x = b.input(type, {1, depth});
        Tensor table = b.reals({tables, 1, 16, 1}, 20).cast(DType::f32);
        if (fine) table.mutable_values<float>()[uz(table.size()) - 1] = 0x1p-11F + 31;
        Var* weight = b.add("constexpr_lut_to_dense", {{"indices", make_constant(b.integers(DType::u4, {rows, depth}, 0, 15))},
                                                       {"lut", make_constant(table.cast(type))}});
        expect_same(b, b.add("linear", {{"x", x}, {"weight", weight}}), {b.reals({1, depth}, 6).cast(type)}, {"gemv_4bit"});
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, NibbleRows,
                         testing::Values(Nibbles{21, 96, 32}, Nibbles{20, 48, 16}, Nibbles{6, 528, 16}, Nibbles{1, 16, 16},
                                         Nibbles{5, 128, 128}, Nibbles{9, 144, 48}, Nibbles{300, 256, 64}, Nibbles{8, 528, 528},
                                         Nibbles{12, 560, 80}, Nibbles{7, 1040, 208}, Nibbles{3, 2176, 32}));

// Values of many magnitudes, against sums in double: as close as a running sum of floats is.
TEST(Compressed, NibblesTimesValuesOfManyMagnitudes) {
  constexpr std::int64_t rows = 9, depth = 1056;
  for (const DType type : {DType::f16, DType::f32}) {
    for (const bool palette : {false, true}) {
      Builder b;
      Var* x = b.input(type, {1, depth});
      const Tensor levels = b.integers(palette ? DType::u4 : DType::i4, {rows, depth}, palette ? 0 : -8, palette ? 15 : 7);
      Tensor factors(DType::f32, palette ? Shape{1, 1, 16, 1} : Shape{rows, depth / 32});
      Tensor values(DType::f32, {1, depth});
      std::normal_distribution<float> normal;
      for (float& v : factors.mutable_values<float>()) v = std::round(normal(b.generator) * 256) / 4096;
      for (float& v : values.mutable_values<float>()) v = normal(b.generator) * std::exp2(4 * normal(b.generator));
      factors = factors.cast(type);
      values = values.cast(type);
      Var* weight =
          b.add(palette ? "constexpr_lut_to_dense" : "constexpr_blockwise_shift_scale",
                {{palette ? "indices" : "data", make_constant(levels)}, {palette ? "lut" : "scale", make_constant(factors)}});
      b.function->body.outputs.push_back(b.add("linear", {{"x", x}, {"weight", weight}}));
      verify(*b.function);
      const Tensor got = run(b, {values}, &plan::cpu_device(), 2).outputs[0].tensor();
      for (std::int64_t n = 0; n < rows; ++n) {
        double sum = 0, size = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          const std::int64_t level = levels.integer_at(n * depth + k);
          const double w =
              palette ? factors.number_at(level) : factors.number_at(n * (depth / 32) + k / 32) * static_cast<double>(level);
          sum += w * values.number_at(k);
          size += std::abs(w * values.number_at(k));
        }
        EXPECT_NEAR(got.number_at(n), sum, size * 0x1p-20 + (type == DType::f16 ? std::abs(sum) * 0x1p-11 : 0)) << n;
      }
    }
  }
}

// What is out of the range of whole numbers is multiplied as floats.
TEST(Compressed, NibblesTimesValuesThatAreNotFinite) {
  for (const float special : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Builder b;
    Var* x = b.input(DType::f16, {1, 64});
    Tensor levels(DType::i32, {2, 64});
    for (auto& v : levels.mutable_values<std::int32_t>()) v = 3;
    Tensor scale(DType::f32, {2, 2});
    for (float& v : scale.mutable_values<float>()) v = 0.5F;
    Var* weight = b.add("constexpr_blockwise_shift_scale",
                        {{"data", make_constant(levels.cast(DType::i4))}, {"scale", make_constant(scale.cast(DType::f16))}});
    Tensor values(DType::f32, {1, 64});
    for (float& v : values.mutable_values<float>()) v = 0;
    values.mutable_values<float>()[40] = special;
    b.function->body.outputs.push_back(b.add("linear", {{"x", x}, {"weight", weight}}));
    verify(*b.function);
    const Tensor got = run(b, {values.cast(DType::f16)}, &plan::cpu_device(), 2).outputs[0].tensor();
    for (std::int64_t n = 0; n < 2; ++n) {
      if (std::isnan(special)) {
        EXPECT_TRUE(std::isnan(got.number_at(n)));
      } else {
        EXPECT_EQ(got.number_at(n), 1.5 * static_cast<double>(special));
      }
    }
  }
}

// The same bits whatever rows are summed together.
TEST(Compressed, NibbleRowsDoNotDependOnThreads) {
  for (const bool palette : {false, true}) {
    Builder b;
    Var* x = b.input(DType::f16, {1, 800});
    Var* weight = palette
                      ? b.add("constexpr_lut_to_dense", {{"indices", make_constant(b.integers(DType::u4, {1501, 800}, 0, 15))},
                                                         {"lut", make_constant(b.reals({1, 1, 16, 1}, 20))}})
                      : nibble_levels(b, DType::i4, DType::f16, {1501, 800}, 1501, 25, std::nullopt);
    Tensor values(DType::f32, {1, 800});
    std::normal_distribution<float> normal;
    for (float& v : values.mutable_values<float>()) v = normal(b.generator);
    b.function->body.outputs.push_back(b.add("linear", {{"x", x}, {"weight", weight}}));
    verify(*b.function);
    const std::vector<Value> inputs = {values.cast(DType::f16)};
    std::vector<Tensor> results;
    for (const int threads : {1, 2, 3}) results.push_back(run(b, inputs, &plan::cpu_device(), threads).outputs[0].tensor());
    for (std::int64_t i = 0; i < 1501; ++i) {
      ASSERT_EQ(results[1].number_at(i), results[0].number_at(i)) << i;
      ASSERT_EQ(results[2].number_at(i), results[0].number_at(i)) << i;
    }
  }
}

// Weights that are coded, unpacked panel by panel: [N, ...] of each kind that packages hold.
enum class Kind { bytes, palette4, palette6, palette8, grouped, sparse, blocks, few_zeros };

Var* coded(Builder& b, Kind kind, const Shape& shape) {
  const auto palette = [&](DType indices, std::int64_t size, std::int64_t groups) {
    Shape table(shape.size() + 2, 1);
    table[0] = groups;
    table[shape.size()] = size;
    return b.add("constexpr_lut_to_dense",
                 {{"indices", make_constant(b.integers(indices, shape, 0, static_cast<int>(size) - 1))},
                  {"lut", make_constant(b.reals(table, 120))}});
  };
  switch (kind) {
    case Kind::bytes: return b.weight(shape);
    case Kind::palette4: return palette(DType::u4, 16, 1);
    case Kind::palette6: return palette(DType::u6, 64, 1);
    case Kind::palette8: return palette(DType::u8, 256, 1);
    case Kind::grouped: return palette(DType::u6, 64, shape[0] / 2);
    case Kind::blocks: {
      Tensor scale(DType::f32, {shape[0], 2});
      auto values = scale.mutable_values<float>();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 1 ? 0.25F : 0.125F;
      return b.add("constexpr_blockwise_shift_scale", {{"data", make_constant(b.integers(DType::i4, shape, -8, 7))},
                                                       {"scale", make_constant(scale.cast(DType::f16))}});
    }
    default: break;
  }
  Tensor mask = b.integers(DType::i32, shape, 0, 9);
  std::int64_t filled = 0;
  for (auto& v : mask.mutable_values<std::int32_t>()) filled += v = v < (kind == Kind::sparse ? 3 : 9) ? 1 : 0;
  return b.add("constexpr_sparse_to_dense",
               {{"nonzero_data", make_constant(b.reals({filled}, 400))}, {"mask", make_constant(mask.cast(DType::u1))}});
}

class CodedWeights : public testing::TestWithParam<Kind> {};

TEST_P(CodedWeights, ProductsOfRows) {
  for (const std::int64_t rows : {1, 3, 9, 90}) {
    for (const std::int64_t depth : {48, 800}) {
      Builder b;
      Var* x = b.input(DType::f16, {rows, depth});
      const Tensor bias = b.reals({70}, 40);
      expect_same(b, b.add("linear", {{"x", x}, {"weight", coded(b, GetParam(), {70, depth})}, {"bias", make_constant(bias)}}),
                  {b.reals({rows, depth}, 2)}, {rows == 1 ? "ge" : "gemm"});
    }
  }
}

TEST_P(CodedWeights, LargeProducts) {
  const Shape weight = {460, 800};
  Builder b;
  Var* x = b.input(DType::f16, {52, 800});
  expect_same(
      b, b.add("linear", {{"x", x}, {"weight", coded(b, GetParam(), weight)}, {"bias", make_constant(b.reals({460}, 40))}}),
      {b.reals({52, 800}, 2)}, {knob_value(Knob::strassen) == 0 ? "gemm" : "strassen"});
}

TEST_P(CodedWeights, Convolutions) {
  if (GetParam() == Kind::blocks) return;
  for (const std::int64_t groups : {1, 2}) {
    Builder b;
    Var* x = b.input(DType::f16, {1, 12, 11, 9});
    Var* y = b.add("conv", {{"x", x},
                            {"weight", coded(b, GetParam(), {40, 12 / groups, 3, 3})},
                            {"strides", ints_binding({2, 1})},
                            {"groups", make_constant(Tensor::scalar(static_cast<std::int32_t>(groups)))}});
    expect_same(b, b.add("relu", {{"x", y}}), {b.reals({1, 12, 11, 9}, 2)}, {"gemm"});
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, CodedWeights,
                         testing::Values(Kind::bytes, Kind::palette4, Kind::palette6, Kind::palette8, Kind::grouped,
                                         Kind::sparse, Kind::blocks, Kind::few_zeros));

TEST(Compressed, DepthwiseConvolutionsExpandTheirWeights) {
  Builder c;
  Var* image = c.input(DType::f16, {1, 8, 6, 6});
  Var* weight = c.weight({8, 1, 3, 3});
  expect_same(c, c.add("conv", {{"x", image}, {"weight", weight}, {"groups", make_constant(Tensor::scalar(std::int32_t{8}))}}),
              {c.reals({1, 8, 6, 6}, 6)}, {"conv_depthwise"});
}

TEST(Compressed, GatherDecodesTheRowsItPicks) {
  Builder b;
  Var* indices = b.input(DType::i32, {4});
  Var* rows = b.add("gather", {{"x", b.weight({12, 30})}, {"indices", indices}});
  expect_same(b, rows, {Tensor::of<std::int32_t>({4}, {3, 11, 0, -1})}, {"gather_compressed"});
}

TEST(Compressed, GatherDecodesPalettes) {
  const std::vector<std::pair<DType, std::int64_t>> types = {
      {DType::u1, 2}, {DType::u2, 4}, {DType::u4, 16}, {DType::u6, 64}, {DType::u8, 256}};
  for (const auto& [type, size] : types) {
    for (const bool flat : {false, true}) {
      for (const std::int64_t picks : {std::int64_t{4}, std::int64_t{900}}) {
        Builder b;
        const Shape shape = {12, 31};
        const Tensor codes = b.integers(type, shape, 0, static_cast<int>(size) - 1);
        Var* table = nullptr;
        if (flat) {
          const auto count = static_cast<std::int64_t>(codes.bytes());
          table = b.add(
              "constexpr_lut_to_dense",
              {{"indices", make_constant(Tensor::view(DType::u8, {count}, codes.data(), std::make_shared<Tensor>(codes)))},
               {"lut", make_constant(b.reals({size}, 100))},
               {"shape", make_constant(Tensor::of<std::uint32_t>({2}, {12, 31}))}});
        } else {
          table = b.add("constexpr_lut_to_dense",
                        {{"indices", make_constant(codes)}, {"lut", make_constant(b.reals({3, 1, size, 1}, 100))}});
        }
        Var* indices = b.input(DType::i32, {picks});
        expect_same(b, b.add("gather", {{"x", table}, {"indices", indices}}), {b.integers(DType::i32, {picks}, -12, 11)},
                    {"gather_compressed"});
      }
    }
  }
}

}  // namespace
