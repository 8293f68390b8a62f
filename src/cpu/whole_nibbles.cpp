#include "cpu/whole_nibbles.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace tl::cpu {

std::optional<WholeNibbles> WholeNibbles::make(const NibbleWeights& weights, std::size_t depth) {
  if (nibble_kernels() == nullptr) return std::nullopt;
  WholeNibbles result;
  NibbleRows& rows = result.rows_;
  rows.w = reinterpret_cast<const std::uint8_t*>(weights.nibbles.data());
  rows.depth = depth;
  if (weights.scale.defined()) {
    rows.flip = weights.table[8] < weights.table[0] ? 8 : 0;
    rows.least_level = static_cast<std::int8_t>(std::min(weights.table[0], weights.table[8]));
    rows.scale = weights.scale.data();
    rows.scale_storage = *storage_of(weights.scale.dtype());
    rows.scale_rows = weights.scale_rows;
    rows.blocks = weights.blocks;
    result.take_blocks(depth, weights.blocks);
    return result;
  }
  rows.table_rows = weights.table_rows;
  for (std::size_t at = 0; at < weights.table.size(); at += 16) {
    if (!result.take_table(weights.table.data() + at)) return std::nullopt;
  }
  return result;
}

bool WholeNibbles::take_table(const float* entries) {
  constexpr int none = std::numeric_limits<int>::max();
  constexpr int mantissa = std::numeric_limits<float>::digits;
  constexpr int most = 60;  // powers of two of a unit
  int unit = none;          // the lowest bit of all entries
  for (std::size_t i = 0; i < 16; ++i) {
    if (!std::isfinite(entries[i])) return false;
    if (entries[i] == 0) continue;
    int exponent = 0;
    const float fraction = std::frexp(std::abs(entries[i]), &exponent);
    unit = std::min(unit, exponent - mantissa + std::countr_zero(static_cast<std::uint32_t>(std::ldexp(fraction, mantissa))));
  }
  if (unit == none) unit = 0;
  if (std::abs(unit) > most) return false;
  for (std::size_t i = 0; i < 32; ++i) {
    const float word = std::ldexp(entries[i % 16], -unit);
    if (std::abs(word) > std::numeric_limits<std::int16_t>::max()) return false;
    entries_.push_back(static_cast<std::int16_t>(word));
  }
  unit_.push_back(std::ldexp(1.0F, unit));
  return true;
}

void WholeNibbles::take_blocks(std::size_t depth, std::size_t blocks) {
  const std::size_t length = depth / blocks;
  for (std::size_t k = 0; k < depth; k += byte_segment) {
    SegmentScales& segment = segments_.emplace_back();
    segment.first = static_cast<std::uint32_t>(k / length);
    const auto block_of = [&](std::size_t i) { return std::min((k + i) / length, blocks - 1) - segment.first; };
    for (std::size_t i = 0; i < segment.lane.size(); ++i) segment.lane[i] = static_cast<std::int32_t>(block_of(lane_begin(i)));
    segment.mask = static_cast<std::uint16_t>((2U << block_of(byte_segment - 1)) - 1);
  }
}

NibbleRows WholeNibbles::rows() const noexcept {
  NibbleRows rows = rows_;
  rows.entries = entries_.empty() ? nullptr : entries_.data();
  rows.unit = unit_.data();
  rows.segments = segments_.data();
  return rows;
}

std::size_t WholeNibbles::bytes() const noexcept {
  return entries_.size() * sizeof(entries_[0]) + unit_.size() * sizeof(unit_[0]) + segments_.size() * sizeof(segments_[0]);
}

}  // namespace tl::cpu
