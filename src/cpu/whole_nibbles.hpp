#pragma once

#include <optional>
#include <vector>

#include "cpu/compressed.hpp"
#include "cpu/gemv_nibbles.hpp"

namespace tl::cpu {

// Weights of nibbles as `nibble_kernels` multiply them.
class WholeNibbles {
 public:
  // Empty when this machine has no such kernels, or when the entries of a table are no words times a power of two.
  static std::optional<WholeNibbles> make(const NibbleWeights& weights, std::size_t depth);

  // Valid as long as the weights are; x is to be set.
  NibbleRows rows() const noexcept;
  std::size_t bytes() const noexcept;

 private:
  bool take_table(const float* entries);
  void take_blocks(std::size_t depth, std::size_t blocks);

  NibbleRows rows_{};
  std::vector<std::int16_t> entries_;
  std::vector<float> unit_;
  std::vector<SegmentScales> segments_;
};

}  // namespace tl::cpu
