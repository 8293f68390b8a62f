#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/cache_line.hpp"
#include "cpu/gemm.hpp"

namespace tl::cpu {

constexpr std::size_t ahead = 1024;  // bytes to fetch ahead in each row

// Rows of nibbles times x in whole numbers. x is cut into segments and those into numbers of 22 bits or more below their
// largest magnitude, each as two words or three bytes; sums of products are exact and become floats once a chunk or segment.
constexpr std::size_t part_chunk = 128;    // nibbles that are read together
constexpr std::size_t word_segment = 512;  // neighbours that share an exponent of x,
constexpr std::size_t byte_segment = 256;  // as bytes
constexpr std::size_t part_steps(std::size_t depth, std::size_t step) { return (depth + step - 1) / step; }

// What is left of x: a factor for each segment, then the parts of each chunk in the order of its nibbles.
constexpr std::size_t part_chunk_bytes = 8 * cache_line;
constexpr std::size_t part_factor_bytes(std::size_t depth) { return rounded(part_steps(depth, byte_segment) * sizeof(float)); }
constexpr std::size_t part_bytes(std::size_t depth) {
  return part_factor_bytes(depth) + part_steps(depth, byte_segment) * (byte_segment / part_chunk) * part_chunk_bytes;
}

// The factors of a segment of bytes: those of blocks [first, first + 16) that are in `mask`; `lane` picks one for each lane of
// sums, which holds the 16 neighbours from `lane_begin` on.
struct SegmentScales {
  std::array<std::int32_t, byte_segment / 16> lane;
  std::uint32_t first;
  std::uint16_t mask;
};

// Both chunks of a segment are interleaved: two pairs of 32 bits from the first, two from the second.
constexpr std::size_t lane_begin(std::size_t lane) { return lane / 2 % 2 * part_chunk + lane / 4 * 32 + lane % 2 * 16; }

// w[n, k]: an entry of a table times its unit, or a level times the scale of its block.
struct NibbleRows {
  const std::uint8_t* w;  // [N][depth / 2], of a depth that 16 divides
  std::size_t depth;
  const std::byte* x;  // parts
  // Entries are words: 16, twice, for each run of `table_rows` rows. Null: levels.
  const std::int16_t* entries;
  const float* unit;  // for each run of `table_rows` rows
  std::size_t table_rows;
  // A level is (nibble ^ flip) + least_level.
  std::uint8_t flip;
  std::int8_t least_level;
  const void* scale;  // [N / scale_rows][blocks]
  Storage scale_storage;
  std::size_t scale_rows, blocks;
  const SegmentScales* segments;
};

struct NibbleKernels {
  // Leaves x in `parts`; false when it is out of the range that is cut: not finite, or far from 1.
  bool (*split)(const NibbleRows& rows, const float* x, std::byte* parts);
  // sums[r * count + i] = sum over k of w[first + r * apart + i, k] * x[k] for r < 4; of one run where `apart` is 0.
  void (*sums)(const NibbleRows& rows, std::size_t first, std::size_t count, std::size_t apart, float* sums);
};
// Null where this machine has none.
const NibbleKernels* nibble_kernels();

}  // namespace tl::cpu
