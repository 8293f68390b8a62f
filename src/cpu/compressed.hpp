#pragma once

#include "cpu/kernel.hpp"
#include "op/levels.hpp"

namespace tl::cpu {

using op::level_input;
using op::LevelInput;
using op::LevelWeights;
// The weights of an op when a constexpr op makes them in that form.
std::optional<LevelWeights> level_weights(const KernelRequest& request, std::string_view param = "weight");

// Weights [N, K] as nibbles: w[n, k] = scale[n / scale_rows, k * blocks / K] * table[n / table_rows][nibble].
struct NibbleWeights {
  Tensor nibbles;            // i4, u4: packed from the low end, row after row
  std::vector<float> table;  // 16 for each run of rows
  std::size_t table_rows = 1;
  Tensor scale;  // [N / scale_rows, blocks] in f16 or f32; undefined: 1
  std::size_t scale_rows = 1, blocks = 1;

  float scale_at(std::size_t row, std::size_t block) const;
};
std::optional<NibbleWeights> nibble_weights(const KernelRequest& request, std::string_view param = "weight");

// The constexpr op that makes a weight; null when it is a plain constant or a variable.
const ir::Op* constexpr_of(const KernelRequest& request, std::string_view param);
// Its value.
Tensor evaluated(const ir::Op& op);

}  // namespace tl::cpu
