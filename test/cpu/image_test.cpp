#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/thread_pool.hpp"
#include "ir/build.hpp"
#include "ir/verify.hpp"
#include "plan/session.hpp"

// First layers over the planes of an image against the reference, which casts, then convolves. Weights are -1, 0 or 1 and
// pixels are eighths apart from what rounding to float16 takes away, so that sums are exact and a rounding left out would show.
namespace {

using namespace tl;
using namespace tl::ir;

struct Image {
  Shape x;
  std::int64_t kernel, stride;
  std::vector<std::int64_t> pad;
  DType given, computed = DType::f16;
};

struct Program {
  std::shared_ptr<Function> function = std::make_shared<Function>();
  std::mt19937 generator{1};

  Var* input(Type type) {
    auto var = std::make_unique<Var>();
    var->name = "x" + std::to_string(function->inputs.size());
    var->type = std::move(type);
    function->inputs.push_back(std::move(var));
    return function->inputs.back().get();
  }
  Op& op(std::string_view type, std::vector<std::pair<std::string, Binding>> inputs) {
    function->body.ops.push_back(make_op(type, std::move(inputs), "v" + std::to_string(function->body.ops.size())));
    return *function->body.ops.back();
  }
  Var* cast(Var* x, DType to) {
    return op("cast", {{"x", x}, {"dtype", text_binding(to == DType::f16 ? "fp16" : "fp32")}}).outputs[0].get();
  }
  Var* conv(Var* x, const Image& image) {
    Tensor weight(DType::f32, {16, 3, image.kernel, image.kernel});
    std::uniform_int_distribution<int> pick(-1, 1);
    for (float& v : weight.mutable_values<float>()) v = static_cast<float>(pick(generator));
    return op("conv", {{"x", x},
                       {"weight", make_constant(weight.cast(image.computed))},
                       {"strides", ints_binding({image.stride, 2})},
                       {"pad_type", text_binding("custom")},
                       {"pad", ints_binding(image.pad)}})
        .outputs[0]
        .get();
  }
  Tensor pixels(const Shape& shape, DType dtype) {
    std::uniform_int_distribution<int> level(8, 15), off(-1, 1);
    Tensor values(DType::f32, shape);
    for (float& v : values.mutable_values<float>())
      v = static_cast<float>(level(generator)) / 8 + static_cast<float>(off(generator)) / 8192;
    return values.cast(dtype);
  }
};

struct Ran {
  std::vector<Value> outputs;
  std::vector<std::string> kernels;
};

Ran run(const Program& program, const std::vector<Value>& inputs, const std::vector<StateCell*>& states,
        const plan::Device* device, int threads) {
  plan::Recorder recorder;
  Ran result;
  result.outputs =
      plan::Session(program.function, device, std::make_shared<ThreadPool>(threads)).run(inputs, states, &recorder);
  for (const auto& step : recorder.executable->steps()) result.kernels.emplace_back(step.kernel);
  return result;
}

// Runs on 1, 2 and 4 threads; gives the last.
Ran expect_same(const Program& program, const Value& x, plan::Precision precision = plan::Precision::own) {
  verify(*program.function);
  const Ran want = run(program, {x}, {}, nullptr, 1);
  Ran got;
  for (const int threads : {1, 2, 4}) {
    got = run(program, {x}, {}, &plan::cpu_device(precision), threads);
    for (std::size_t i = 0; i < want.outputs.size(); ++i)
      EXPECT_TRUE(got.outputs[i].tensor().identical(want.outputs[i].tensor()))
          << "output " << i << ", " << threads << " threads";
  }
  return got;
}

class ImageConv : public testing::TestWithParam<Image> {};

TEST_P(ImageConv, ReadsPlanesAsTheyAreGiven) {
  const Image& image = GetParam();
  Program p;
  Var* x = p.input({image.given, dims_of(image.x)});
  p.function->body.outputs.push_back(p.conv(image.given == image.computed ? x : p.cast(x, image.computed), image));
  const Tensor pixels = p.pixels(image.x, image.given);
  EXPECT_EQ(expect_same(p, pixels).kernels, (std::vector<std::string>{"conv_image", "transpose"}));
  if (image.computed == DType::f32) return;
  // Eighths up to 15 are bf16 as well.
  const std::string narrow = plan::cpu_has_bf16() ? "conv_image_bf16" : "conv_image";
  EXPECT_EQ(expect_same(p, pixels, plan::Precision::bf16).kernels, (std::vector<std::string>{narrow, "transpose"}));
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
  Program p;
  Var* half = p.cast(p.input({DType::f32, dims_of(image.x)}), DType::f16);
  p.function->body.outputs = {p.conv(half, image), half};
  const Ran cast_too = expect_same(p, p.pixels(image.x, DType::f32));
  EXPECT_EQ(cast_too.kernels, (std::vector<std::string>{"elementwise", "conv_image", "transpose"}));

  Program two;
  half = two.cast(two.input({DType::f32, dims_of(image.x)}), DType::f16);
  two.function->body.outputs = {two.conv(half, image), two.conv(half, image)};
  EXPECT_EQ(expect_same(two, two.pixels(image.x, DType::f32)).kernels,
            (std::vector<std::string>{"elementwise", "transpose", "conv_image", "transpose", "conv_image", "transpose"}));
}

// The state is written in place between the cast and the convolution.
TEST(ImageConv, ReadsAStateBeforeItChanges) {
  const Image image{{1, 3, 33, 35}, 3, 2, {1, 1, 1, 1}, DType::f32};
  Program plain;
  plain.function->body.outputs.push_back(
      plain.conv(plain.cast(plain.input({DType::f32, dims_of(image.x)}), DType::f16), image));
  verify(*plain.function);
  Program p;
  Var* x = p.input({DType::f32, dims_of({1, 3, 33, 1})});
  Var* at = p.input({DType::i32, dims_of({4})});
  Var* held = p.input(Type(StateType{std::make_shared<const Type>(DType::f32, dims_of(image.x))}));
  Var* old = p.op("read_state", {{"input", held}}).outputs[0].get();
  Var* half = p.cast(old, DType::f16);
  const auto end = make_constant(Tensor::of<std::int32_t>({4}, {1, 3, 33, 8}));
  Var* put = p.op("slice_update", {{"x", old}, {"update", x}, {"begin", at}, {"end", end}}).outputs[0].get();
  p.op("write_state", {{"input", held}, {"data", put}});
  p.function->body.outputs.push_back(p.conv(half, image));
  verify(*p.function);
  const Tensor before = p.pixels(image.x, DType::f32);
  StateCell cell{before.clone()};
  const std::vector<Value> inputs = {Tensor::zeros(DType::f32, {1, 3, 33, 1}), Tensor::of<std::int32_t>({4}, {0, 0, 0, 7}),
                                     Value()};
  const Ran ran = run(p, inputs, {&cell}, &plan::cpu_device(), 2);
  EXPECT_EQ(std::count(ran.kernels.begin(), ran.kernels.end(), "conv_image"), 1);
  EXPECT_FALSE(cell.value.tensor().identical(before));
  EXPECT_TRUE(ran.outputs[0].tensor().identical(run(plain, {before}, {}, nullptr, 1).outputs[0].tensor()));
}

}  // namespace
