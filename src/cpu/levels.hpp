#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm.hpp"

namespace tl::cpu {

// Results as bytes: clamp(round(y / scale) + zero). They are rounded to the stored type of y first, as the value between two
// ops is. NaN gives 0.
struct Requantized {
  bool used = false;
  bool is_signed = true;
  float scale = 1;
  float zero = 0;
};

struct LevelFinish;

struct LevelKernels {
  void (*quantize)(const void* x, Storage storage, const Requantized& levels, std::uint8_t* out, std::size_t count);
  // scale * (x - zero)
  void (*dequantize)(const std::uint8_t* x, const Requantized& levels, void* out, Storage storage, std::size_t count);
  // The 256 entries of LevelFinish::table.
  void (*relevel)(const LevelFinish& finish, std::uint8_t* table);
};
const LevelKernels& level_kernels();

}  // namespace tl::cpu
