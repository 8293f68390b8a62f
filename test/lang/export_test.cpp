#include <gtest/gtest.h>

#include <filesystem>

#include "lang/interpreter.hpp"
#include "scratch.hpp"
#include "tensorlogic/model.hpp"

namespace tl::lang {
namespace {

using test::error_of;

void run(const std::string& source) {
  Options options;
  Interpreter(options).run_source(source, "export.tl");
}

std::vector<float> floats(const tl::Value& value) {
  const Tensor wide = value.tensor().cast(DType::f32);
  return {wide.values<float>().begin(), wide.values<float>().end()};
}

TEST(Export, FunctionsStructsAndSeveralResults) {
  const test::Scratch scratch;
  run(R"(
    shift = f32::from_array([10.0, 20.0])
    struct Inner { w: float32[2, 2] }
    struct Both { double: Tensor, product: Tensor }
    struct Net { inner: Inner }
    impl Net {
      fn forward(self, x: float32[1, 2], n: int32[1]) -> Both {
        let h = x @ self.inner.w + shift
        return Both { double: h + h, product: h * n }
      }
    }
    fn half(x: float16[3]) -> Tensor { return x / 2 }
    fn list_of(x: float32[2]) { return [x + 1, x] }
    let m = Net { inner: Inner { w: f32::from_array([[1.0, 2.0], [3.0, 4.0]]) } }
    save_model(m, ")" +
      scratch / "net.mlpackage" + R"(")
    save_model(half, ")" +
      scratch / "half.mlmodelc" + R"(")
    save_model(load_model(")" +
      scratch / "half.mlmodelc" + R"("), ")" + scratch / "copy.mlpackage" + R"("))");
  const Model net = Model::load(scratch / "net.mlpackage");
  ASSERT_EQ(net.interface().inputs.size(), 2U);
  EXPECT_EQ(describe(net.interface().inputs[0]), "fp32 [1, 2]");
  EXPECT_EQ(describe(net.interface().inputs[1]), "int32 [1]");
  const NamedValues outputs =
      net.predict({{"x", Tensor::of<float>({1, 2}, {1, 1})}, {"n", Tensor::of<std::int32_t>({1}, {3})}});
  EXPECT_EQ(floats(outputs.at("double")), (std::vector<float>{28, 52}));
  EXPECT_EQ(floats(outputs.at("product")), (std::vector<float>{42, 78}));
  for (const char* file : {"half.mlmodelc", "copy.mlpackage"}) {
    const Model half = Model::load(scratch / file);
    EXPECT_EQ(describe(half.interface().inputs[0]), "fp16 [3]");
    EXPECT_EQ(floats(half.predict({{"x", Tensor::of<float>({3}, {1, 2, 5})}}).at("output")), (std::vector<float>{0.5, 1, 2.5}));
  }
}

TEST(Export, WhatIsNoProgramIsRefused) {
  const test::Scratch scratch;
  const auto refusal = [&](const std::string& code, const std::string& what) {
    return error_of([&] { run(code + "\nsave_model(" + what + ", \"" + scratch / "m.mlpackage" + "\")"); });
  };
  const auto expect = [&](const std::string& code, const std::string& what, const std::string& text) {
    const std::string error = refusal(code, what);
    EXPECT_NE(error.find(text), std::string::npos) << error;
    EXPECT_FALSE(std::filesystem::exists(scratch / "m.mlpackage"));
  };
  expect("fn f(x) { return x }", "f", "parameter 'x' of f has no shape");
  expect("fn f(x: float16[N]) { return x }", "f", "has an open extent");
  expect("fn f(x: int64[2]) { return x }", "f", "of a type that Core ML does not take");
  expect("fn f() { return 1 }", "f", "no parameter");
  expect("fn f(x: float16[2]) { return 1 }", "f", "f gives int, a model gives tensors");
  expect("fn f(x: float16[2]) { return zeros([2]) }", "f", "does not depend on the inputs");
  expect("fn f(x: float16[2]) { if sum(x) > 0 { return x + 1 } else { return x - 1 } }", "f",
         "does not compute the same for all inputs");
  expect("fn f(x: float16[2]) { return x + rand([2]) }", "f", "does not compute the same for all inputs");
  expect("struct S { w: float16[2] }\ns = S { w: [1.0, 2.0] }", "s", "S has no method forward(self, ...)");
  expect("x = 3", "x", "a struct with a method forward, or a function, becomes a model");
  EXPECT_NE(error_of([&] { run("fn f(x: float16[2]) { return x }\nsave_model(f, \"m.gguf\")"); }).find("does not write .gguf"),
            std::string::npos);
  EXPECT_NE(error_of([&] { run("fn f(x: float16[2]) { return x }\nsave_model(f, \"m.onnx\")"); }).find("this is 'm.onnx'"),
            std::string::npos);
}

}  // namespace
}  // namespace tl::lang
