#pragma once

#include <array>

#include "cpu/dot.hpp"

namespace tl::cpu {

// First layers in words of two bf16. A pixel of three channels is two words, the third channel beside a zero; windows are two
// pixels apart and are read where they lie.
constexpr std::size_t pixel_words = 2;
constexpr std::size_t window_step = 2 * pixel_words;

// `a` is the first window of a row of outputs, in as many parts as a kernel has rows, `part_step` words apart; `words` counts
// all of them. Columns fill whole vectors.
struct ImageDotBlock : DotBlock {
  std::size_t parts, part_step;
};

struct ImageDot {
  // `count` pixels from a row of each plane. With `as_half`, values are rounded to float16 before.
  void (*narrow)(const std::array<const void*, 3>& planes, Storage storage, bool as_half, std::uint32_t* out,
                 std::size_t count);
  void (*multiply)(const ImageDotBlock& block);
};
// Null where the machine (or the knob `isa`) lacks them.
const ImageDot* image_dot();

}  // namespace tl::cpu
