// A custom layer in C++: custom_layer test/data/custom/network.mlmodel
// The model computes -Affine(x / 2); what "Affine" is, its author wrote in Swift. Here it is written again, as a function.
#include <cstdio>

#include "tensorlogic/tensorlogic.hpp"

namespace {

// scale * x + bias + the sum of the first weight.
std::vector<tl::Tensor> affine(const std::vector<tl::Tensor>& inputs, const tl::CustomInfo& info) {
  const double scale = info.parameters.at("scale").tensor().number_at(0);
  double shift = info.parameters.at("bias").tensor().number_at(0);
  for (std::int64_t i = 0; i < info.weights.at(0).size(); ++i) shift += info.weights[0].number_at(i);
  tl::Tensor y(tl::DType::f32, inputs.at(0).shape());
  auto values = y.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(scale * inputs[0].number_at(static_cast<std::int64_t>(i)) + shift);
  return {y};
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    tl::register_custom_layer("Affine", affine);
    const tl::Model model = tl::Model::load(arguments[1]);
    const tl::NamedValues outputs = model.predict({{"x", tl::Tensor::of<float>({3}, {1, 2, -4})}});
    const tl::Tensor& y = outputs.at("y").tensor();
    for (std::int64_t i = 0; i < y.size(); ++i) std::printf("%g\n", y.number_at(i));
  } catch (const tl::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
