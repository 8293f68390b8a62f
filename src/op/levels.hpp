#pragma once

#include "ir/op_def.hpp"

namespace tl::op {

// Weights [N, ...] as bytes with a factor per row: w[n, ...] = scale[n] * levels[n, ...].
struct LevelWeights {
  Tensor levels;  // i8
  std::vector<float> scale;
};
// What a constexpr op makes, when it has that form (a zero point of 0; of u8: 128).
std::optional<LevelWeights> level_weights(const ir::Op& op);

// What a `dequantize` of one scale reads, when it makes the variable `x`.
struct LevelInput {
  const ir::Var* levels = nullptr;  // i8 or u8
  bool is_signed = true;
  float scale = 1;
  std::int32_t zero = 0;
};
std::optional<LevelInput> level_input(const ir::Var* x);

// The constant bound to an argument; undefined when there is none.
Tensor constant_argument(const ir::Op& op, std::string_view param);
// The whole number that all elements are; `absent` for an undefined tensor, empty when they differ.
std::optional<std::int64_t> uniform_integer(const Tensor& values, std::int64_t absent);

}  // namespace tl::op
