#include <gtest/gtest.h>

#include <algorithm>

#include "cpu/function_builder.hpp"

// A depthwise convolution and the pointwise one that reads it, as one kernel, against the reference. Values and weights are
// small whole numbers, so that all sums are exact, in float16 and bf16 too.
namespace {

using namespace tl;
using namespace tl::ir;
using namespace tl::test;

struct Separable {
  std::int64_t batch, height, width, channels, out;
  std::int64_t kernel, stride, pad, dilation = 1;
  DType dtype = DType::f16;
  const char* activation = "relu6";  // after the depthwise one
  bool residual = false;
};

struct SeparableProgram : FunctionBuilder {
  Var* depthwise(Var* x, const Separable& c) {
    return add("conv", {{"x", x},
                        {"weight", make_constant(integers(c.dtype, {c.channels, 1, c.kernel, c.kernel}, -1, 1))},
                        {"bias", make_constant(integers(c.dtype, {c.channels}, -2, 2))},
                        {"strides", ints_binding({c.stride, c.stride})},
                        {"pad_type", text_binding("custom")},
                        {"pad", ints_binding({c.pad, c.pad, c.pad, c.pad})},
                        {"dilations", ints_binding({c.dilation, c.dilation})},
                        {"groups", make_constant(Tensor::scalar(static_cast<std::int32_t>(c.channels)))}});
  }
  // `taps` weights a row, so that sums stay small enough to be exact in float16.
  Var* pointwise(Var* x, std::int64_t in, std::int64_t out, int taps, DType dtype) {
    Tensor weight(DType::f32, {out, in, 1, 1});
    std::uniform_int_distribution<int> place(0, static_cast<int>(in) - 1), sign(0, 1);
    auto values = weight.mutable_values<float>();
    std::fill(values.begin(), values.end(), 0.0F);
    for (std::int64_t n = 0; n < out; ++n) {
      for (int k = 0; k < taps; ++k)
        values[static_cast<std::size_t>(n * in + place(generator))] = sign(generator) == 0 ? -1.0F : 1.0F;
    }
    return add(
        "conv",
        {{"x", x}, {"weight", make_constant(weight.cast(dtype))}, {"bias", make_constant(integers(dtype, {out}, -4, 4))}});
  }
  // What the depthwise convolution reads: a result on channels-last images.
  Var* start(const Shape& shape, DType dtype) { return pointwise(input(dtype, shape), shape[1], shape[1], 1, dtype); }
};

// In both precisions; true when one kernel did both convolutions each time.
bool expect_same(const FunctionBuilder& built, const std::vector<Value>& inputs) {
  bool joined = true;
  for (const auto precision : {plan::Precision::own, plan::Precision::bf16}) {
    for (const Ran& ran : expect_identical(built, inputs, precision))
      joined = joined && std::any_of(ran.kernels.begin(), ran.kernels.end(),
                                     [](const std::string& name) { return name.rfind("depthwise_", 0) == 0; });
  }
  return joined;
}

class SeparableConv : public testing::TestWithParam<Separable> {};

TEST_P(SeparableConv, IsOneKernel) {
  const Separable& c = GetParam();
  SeparableProgram p;
  const Shape shape = {c.batch, c.channels, c.height, c.width};
  Var* middle = p.depthwise(p.start(shape, c.dtype), c);
  if (c.activation[0] != '\0') middle = p.add(c.activation, {{"x", middle}});
  Var* result = p.pointwise(middle, c.channels, c.out, 12, c.dtype);
  std::vector<Value> inputs = {p.integers(c.dtype, shape, -3, 3)};
  if (c.residual) {
    const Shape out = *shape_of(result->type.tensor());
    result = p.add("add", {{"x", result}, {"y", p.input(c.dtype, out)}});
    inputs.push_back(p.integers(c.dtype, out, -9, 9));
  }
  p.function->body.outputs.push_back(result);
  EXPECT_TRUE(expect_same(p, inputs));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SeparableConv,
    testing::Values(Separable{1, 14, 14, 96, 24, 3, 1, 1}, Separable{2, 15, 13, 40, 16, 3, 1, 1},
                    Separable{1, 17, 19, 33, 47, 3, 2, 1}, Separable{1, 7, 7, 976, 80, 3, 1, 1},
                    Separable{3, 7, 7, 64, 320, 5, 1, 2}, Separable{1, 29, 31, 24, 8, 5, 2, 2, 1, DType::f16, "relu", true},
                    Separable{1, 12, 20, 72, 40, 3, 1, 2, 2, DType::f16, "relu"}, Separable{2, 9, 40, 56, 24, 7, 1, 3},
                    Separable{1, 23, 16, 48, 32, 3, 1, 0, 1, DType::f32, "", true},
                    Separable{1, 56, 56, 32, 16, 3, 1, 1, 1, DType::f16, "relu6", true}, Separable{1, 1, 2, 64, 32, 3, 1, 1},
                    Separable{1, 2, 5, 20, 12, 4, 3, 2, 1, DType::f32}));

// What else reads the result in the middle finds it.
TEST(SeparableConv, StaysTwoKernelsWhereOthersReadTheMiddle) {
  const Separable c{1, 14, 14, 32, 24, 3, 1, 1};
  const Shape shape = {c.batch, c.channels, c.height, c.width};
  SeparableProgram p;
  Var* middle = p.depthwise(p.start(shape, c.dtype), c);
  p.function->body.outputs = {p.pointwise(middle, c.channels, c.out, 12, c.dtype), middle};
  EXPECT_FALSE(expect_same(p, {p.integers(c.dtype, shape, -3, 3)}));
}

}  // namespace
