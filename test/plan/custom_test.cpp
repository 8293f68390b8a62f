#include "tensorlogic/custom.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "scratch.hpp"

namespace tl {
namespace {

using test::error_of;

std::string model_file(const std::string& name) { return test::data_file("custom/" + name); }

std::vector<float> floats(const Value& value) {
  const Tensor wide = value.tensor().cast(DType::f32);
  return {wide.values<float>().begin(), wide.values<float>().end()};
}

// scale * x + bias + the sum of the first weight.
Tensor affine(const Tensor& x, const CustomInfo& info) {
  const auto number = [&](const char* name, double fallback) {
    const auto found = info.parameters.find(name);
    return found == info.parameters.end() ? fallback : found->second.tensor().number_at(0);
  };
  double shift = number("bias", 0);
  for (std::int64_t i = 0; i < info.weights.at(0).size(); ++i) shift += info.weights[0].number_at(i);
  Tensor y = x.cast(DType::f32).clone();
  for (float& v : y.mutable_values<float>()) v = static_cast<float>(number("scale", 1) * static_cast<double>(v) + shift);
  return y;
}

class Custom : public testing::Test {
 protected:
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }
  static void clear() {
    unregister_custom_layer("Affine");
    unregister_custom_model("Shout");
  }
};

TEST_F(Custom, LayersOfNetworksAndPrograms) {
  std::vector<CustomInfo> seen;
  std::vector<Shape> shapes;
  register_custom_layer("Affine", [&](const std::vector<Tensor>& inputs, const CustomInfo& info) {
    seen.push_back(info);
    shapes.push_back(inputs.at(0).shape());
    return std::vector<Tensor>{affine(inputs[0], info)};
  });
  // The networks give -(2 (x / 2) + 1 + 0.75), the program -(2 (x / 2) + 0.75).
  const Tensor x = Tensor::of<float>({3}, {1, 2, -4});
  EXPECT_EQ(floats(Model::load(model_file("network.mlmodel")).predict({{"x", x}}).at("y")),
            (std::vector<float>{-2.75, -3.75, 2.25}));
  EXPECT_EQ(floats(Model::load(model_file("network_rank5.mlmodel")).predict({{"x", x}}).at("y")),
            (std::vector<float>{-2.75, -3.75, 2.25}));
  EXPECT_EQ(floats(Model::load(model_file("program.mlpackage"))
                       .predict({{"x", Tensor::of<float>({2, 3}, {1, 2, -4, 0, 0, 8})}})
                       .at("y")),
            (std::vector<float>{-1.75, -2.75, 3.25, -0.75, -0.75, -8.75}));
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(shapes, (std::vector<Shape>{{3}, {1, 1, 3, 1, 1}, {2, 3}}));
  EXPECT_EQ(seen[0].class_name, "Affine");
  EXPECT_EQ(seen[0].op, "affine");
  EXPECT_EQ(seen[0].parameters.at("big").tensor().integer_at(0), std::int64_t{1} << 40);
  EXPECT_EQ(seen[0].parameters.at("mode").tensor().strings()[0], "plain");
  EXPECT_EQ(seen[0].parameters.at("on").tensor().dtype(), DType::boolean);
  ASSERT_EQ(seen[0].weights.size(), 3U);
  EXPECT_EQ(seen[0].weights[1].dtype(), DType::f16);
  EXPECT_EQ(seen[0].weights[1].number_at(0), 4);
  EXPECT_EQ(seen[0].weights[2].integer_at(1), 2);
  EXPECT_EQ(seen[2].parameters.at("mode").tensor().strings()[0], "plain");
}

TEST_F(Custom, AModelLoadsWithoutItsClassAndSaysWhatIsMissing) {
  for (const char* name : {"network.mlmodel", "network_rank5.mlmodel", "program.mlpackage"}) {
    const Model model = Model::load(model_file(name));
    const Shape shape = name == std::string("program.mlpackage") ? Shape{2, 3} : Shape{3};
    const std::string error = error_of([&] { model.predict({{"x", Tensor::zeros(DType::f32, shape)}}); });
    EXPECT_NE(error.find("op 'affine' (custom_layer): no implementation of the custom layer class 'Affine' is registered"),
              std::string::npos)
        << error;
    EXPECT_NE(error.find("register_custom_layer(\"Affine\", ...)"), std::string::npos) << error;
    register_custom_layer("Affine", [&](const std::vector<Tensor>& inputs, const CustomInfo& info) {
      return std::vector<Tensor>{affine(inputs[0], info)};
    });
    EXPECT_EQ(error_of([&] { model.predict({{"x", Tensor::zeros(DType::f32, shape)}}); }), "");
    EXPECT_TRUE(unregister_custom_layer("Affine"));
    EXPECT_FALSE(unregister_custom_layer("Affine"));
  }
  const std::string error = error_of([] {
    Model::load(model_file("model.mlmodel"))
        .predict({{"text", Tensor::scalar(std::string("a"))}, {"shares", Dict{}}, {"size", Tensor::scalar(1.0)}});
  });
  EXPECT_NE(error.find("no implementation of the custom model class 'Shout' is registered"), std::string::npos) << error;
}

class Counted : public CustomLayer {
 public:
  explicit Counted(int& made) { ++made; }
  std::vector<Shape> output_shapes(const std::vector<Shape>& inputs) const override { return inputs; }
  std::vector<Tensor> evaluate(const std::vector<Tensor>& inputs) const override { return {inputs[0].clone()}; }
};

TEST_F(Custom, AnObjectIsMadeOncePerLayerAndRegistration) {
  int made = 0;
  const auto factory = [&](const CustomInfo&) -> std::shared_ptr<const CustomLayer> { return std::make_shared<Counted>(made); };
  register_custom_layer("Affine", CustomLayerFactory(factory));
  const Tensor x = Tensor::of<float>({3}, {2, 4, 6});
  {
    const Model model = Model::load(model_file("network.mlmodel"));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(floats(model.predict({{"x", x}}).at("y")), (std::vector<float>{-1, -2, -3}));
    EXPECT_EQ(made, 1);
    register_custom_layer("Affine", CustomLayerFactory(factory));
    model.predict({{"x", x}});
    EXPECT_EQ(made, 2);
  }
  const Model model = Model::load(model_file("network.mlmodel"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { model.predict({{"x", x}}); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(made, 2);
}

TEST_F(Custom, WrongAnswersAndExceptionsNameTheLayer) {
  const Model network = Model::load(model_file("network.mlmodel"));
  const Model program = Model::load(model_file("program.mlpackage"));
  const auto answer = [](std::vector<Tensor> given) {
    register_custom_layer("Affine", [given](const std::vector<Tensor>&, const CustomInfo&) { return given; });
  };
  const auto network_error = [&] { return error_of([&] { network.predict({{"x", Tensor::zeros(DType::f32, {3})}}); }); };
  const auto program_error = [&] { return error_of([&] { program.predict({{"x", Tensor::zeros(DType::f32, {2, 3})}}); }); };
  answer({});
  EXPECT_NE(
      network_error().find("[script] network: op 'affine' (custom_layer): class 'Affine' gives 0 outputs, the model names 1"),
      std::string::npos)
      << network_error();
  answer({Tensor::zeros(DType::f32, {1, 3})});
  EXPECT_NE(network_error().find("gives shape [1, 3], the model declares [?]"), std::string::npos) << network_error();
  answer({Tensor::zeros(DType::f32, {3, 2})});
  EXPECT_NE(program_error().find("gives shape [3, 2], the model declares [2, 3]"), std::string::npos) << program_error();
  answer({Tensor()});
  EXPECT_NE(program_error().find("gives no array"), std::string::npos) << program_error();
  answer({Tensor::scalar(std::string("text"))});
  EXPECT_NE(program_error().find("gives string, the model declares fp32"), std::string::npos) << program_error();
  answer({Tensor::zeros(DType::i64, {2, 3})});  // converted
  EXPECT_EQ(program_error(), "");
  register_custom_layer("Affine", [](const std::vector<Tensor>&, const CustomInfo&) -> std::vector<Tensor> {
    throw std::out_of_range("five is too many");
  });
  EXPECT_NE(program_error().find("[script] program: op 'affine' (custom_layer): five is too many"), std::string::npos)
      << program_error();
  EXPECT_NE(error_of([] { register_custom_layer("", CustomLayerFunction()); }), "");
}

TEST_F(Custom, Models) {
  register_custom_model("Shout", [](const NamedValues& inputs, const CustomInfo& info) -> NamedValues {
    const std::string mark = info.parameters.at("mark").tensor().strings()[0];
    const double a = inputs.at("shares").dict().items.at(0).second.tensor().number_at(0);
    const double size = inputs.at("size").tensor().number_at(0);
    const double raw = info.parameters.at("raw").tensor().number_at(1);
    return {{"label", Tensor::scalar(inputs.at("text").tensor().strings()[0] + mark)},
            {"values", Tensor::of<double>({2}, {a * size, raw})}};
  });
  Dict shares;
  shares.items.emplace_back(Tensor::scalar(std::string("a")), Tensor::scalar(0.25));
  const Model model = Model::load(model_file("model.mlmodel"));
  const NamedValues outputs =
      model.predict({{"text", Tensor::scalar(std::string("hey"))}, {"shares", shares}, {"size", Tensor::scalar(8.0)}});
  EXPECT_EQ(outputs.at("label").tensor().strings()[0], "hey!");
  EXPECT_EQ(floats(outputs.at("values")), (std::vector<float>{2, 98}));
  EXPECT_EQ(outputs.at("values").tensor().dtype(), DType::f32);
  register_custom_model("Shout", [](const NamedValues&, const CustomInfo&) { return NamedValues{}; });
  EXPECT_NE(error_of([&] {
              model.predict({{"text", Tensor::scalar(std::string("hey"))}, {"shares", shares}, {"size", Tensor::scalar(8.0)}});
            }).find("class 'Shout' gives no 'label'"),
            std::string::npos);
}

}  // namespace
}  // namespace tl
