#pragma once

#include <cstdint>

namespace tl::cpu {

// What a kernel applies to its sums before they are stored. `clamp` covers none, relu and clip in one.
enum class Activation : std::uint8_t {
  clamp,
  leaky_relu,
  sigmoid,
  tanh,
  silu,
  gelu,
  gelu_tanh,
  gelu_sigmoid,
  hard_sigmoid,
  hard_swish,
  elu,
  thresholded_relu
};

// y = f(x): `alpha` and `beta` are the bounds of clamp, the slope of leaky_relu, slope and offset of hard_sigmoid and of the
// gate in hard_swish, the scale of elu, the bound of thresholded_relu. hard_swish is 0 below `threshold`.
struct ActivationSpec {
  Activation kind = Activation::clamp;
  float alpha = -__builtin_inff();
  float beta = __builtin_inff();
  float threshold = -__builtin_inff();
};

}  // namespace tl::cpu
