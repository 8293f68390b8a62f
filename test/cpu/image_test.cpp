#include <gtest/gtest.h>

#include <algorithm>

#include "cpu/function_builder.hpp"

// First layers over the planes of an image against the reference, which casts, then convolves. Weights are -1, 0 or 1 and
// pixels are eighths apart from what rounding to float16 takes away, so that sums are exact and a rounding left out would show.
namespace {

using namespace tl;
using namespace tl::ir;
using namespace tl::test;

struct Image {
  Shape x;
  std::int64_t kernel, stride;
  std::vector<std::int64_t> pad;
  DType given, computed = DType::f16;
};

struct ImageProgram : FunctionBuilder {
  Var* cast(Var* x, DType to) { return add("cast", {{"x", x}, {"dtype", text_binding(to == DType::f16 ? "fp16" : "fp32")}}); }
  Var* conv(Var* x, const Image& image) {
    return add("conv", {{"x", x},
                        {"weight", make_constant(integers(image.computed, {16, 3, image.kernel, image.kernel}, -1, 1))},
                        {"strides", ints_binding({image.stride, 2})},
                        {"pad_type", text_binding("custom")},
                        {"pad", ints_binding(image.pad)}});
  }
  Tensor pixels(const Shape& shape, DType dtype) {
    std::uniform_int_distribution<int> level(8, 15), off(-1, 1);
    Tensor values(DType::f32, shape);
    for (float& v : values.mutable_values<float>())
      v = static_cast<float>(level(generator)) / 8 + static_cast<float>(off(generator)) / 8192;
    return values.cast(dtype);
  }
};

std::vector<std::string> kernels_of(const FunctionBuilder& built, const Value& x,
                                    plan::Precision precision = plan::Precision::own) {
  return expect_identical(built, {x}, precision).back().kernels;
}

class ImageConv : public testing::TestWithParam<Image> {};

TEST_P(ImageConv, ReadsPlanesAsTheyAreGiven) {
  const Image& image = GetParam();
  ImageProgram p;
  Var* x = p.input(image.given, image.x);
  p.function->body.outputs.push_back(p.conv(image.given == image.computed ? x : p.cast(x, image.computed), image));
  const Tensor pixels = p.pixels(image.x, image.given);
  EXPECT_EQ(kernels_of(p, pixels), (std::vector<std::string>{"conv_image", "transpose"}));
  if (image.computed == DType::f32) return;
  // Eighths up to 15 are bf16 as well.
  const std::string narrow = plan::cpu_has_bf16() ? "conv_image_bf16" : "conv_image";
  EXPECT_EQ(kernels_of(p, pixels, plan::Precision::bf16), (std::vector<std::string>{narrow, "transpose"}));
}

INSTANTIATE_TEST_SUITE_P(Shapes, ImageConv,
                         testing::Values(Image{{1, 3, 32, 64}, 3, 2, {1, 1, 1, 1}, DType::f32},
                                         Image{{2, 3, 39, 41}, 3, 2, {0, 1, 0, 1}, DType::f32},
                                         Image{{2, 3, 33, 47}, 5, 1, {2, 2, 2, 2}, DType::f32},
                                         Image{{1, 3, 20, 35}, 3, 3, {0, 0, 3, 0}, DType::f32},
                                         Image{{1, 3, 35, 67}, 7, 2, {3, 3, 3, 3}, DType::f16},
                                         Image{{1, 3, 31, 39}, 3, 2, {1, 1, 1, 1}, DType::f32, DType::f32}));

TEST(ImageConv, LeavesWhatOthersReadToOneCast) {
  const Image image{{1, 3, 33, 35}, 3, 2, {1, 1, 1, 1}, DType::f32};
  ImageProgram p;
  Var* half = p.cast(p.input(DType::f32, image.x), DType::f16);
  p.function->body.outputs = {p.conv(half, image), half};
  EXPECT_EQ(kernels_of(p, p.pixels(image.x, DType::f32)), (std::vector<std::string>{"elementwise", "conv_image", "transpose"}));

  ImageProgram two;
  half = two.cast(two.input(DType::f32, image.x), DType::f16);
  two.function->body.outputs = {two.conv(half, image), two.conv(half, image)};
  EXPECT_EQ(kernels_of(two, two.pixels(image.x, DType::f32)),
            (std::vector<std::string>{"elementwise", "transpose", "conv_image", "transpose", "conv_image", "transpose"}));
}

// The state is written in place between the cast and the convolution.
TEST(ImageConv, ReadsAStateBeforeItChanges) {
  const Image image{{1, 3, 33, 35}, 3, 2, {1, 1, 1, 1}, DType::f32};
  ImageProgram plain;
  plain.function->body.outputs.push_back(plain.conv(plain.cast(plain.input(DType::f32, image.x), DType::f16), image));
  verify(*plain.function);
  ImageProgram p;
  Var* x = p.input(DType::f32, {1, 3, 33, 1});
  Var* at = p.input(DType::i32, {4});
  Var* held = p.input(Type(StateType{std::make_shared<const Type>(DType::f32, dims_of(image.x))}));
  Var* old = p.add("read_state", {{"input", held}});
  Var* half = p.cast(old, DType::f16);
  const auto end = make_constant(Tensor::of<std::int32_t>({4}, {1, 3, 33, 8}));
  Var* put = p.add("slice_update", {{"x", old}, {"update", x}, {"begin", at}, {"end", end}});
  p.add("write_state", {{"input", held}, {"data", put}});
  p.function->body.outputs.push_back(p.conv(half, image));
  verify(*p.function);
  const Tensor before = p.pixels(image.x, DType::f32);
  StateCell cell{before.clone()};
  const std::vector<Value> inputs = {Tensor::zeros(DType::f32, {1, 3, 33, 1}), Tensor::of<std::int32_t>({4}, {0, 0, 0, 7}),
                                     Value()};
  const Ran ran = run(p, inputs, &plan::cpu_device(), 2, {&cell});
  EXPECT_EQ(std::count(ran.kernels.begin(), ran.kernels.end(), "conv_image"), 1);
  EXPECT_FALSE(cell.value.tensor().identical(before));
  EXPECT_TRUE(ran.outputs[0].tensor().identical(run(plain, {before}, nullptr, 1).outputs[0].tensor()));
}

}  // namespace
