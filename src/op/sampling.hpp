#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ir/op_def.hpp"

namespace tl::op {

// Where the outputs of a resize lie on its input.
enum class SamplingMode { strict_align_corners, align_corners, default_mode, offset_corners, unalign_corners };
SamplingMode sampling_mode(const ir::OpView& c, std::string_view param);

// The `i`th of `count` points on the pixels `start` to `end` (both included, in either order), never outside of them.
double grid_point(SamplingMode mode, std::int64_t i, std::int64_t count, double start, double end) noexcept;

// Two neighbours and the share of the second.
struct LinearTap {
  std::int64_t low = 0, high = 0;
  double share = 0;
};
// Of a point in [0, extent - 1].
LinearTap linear_tap(double point, std::int64_t extent) noexcept;
inline double mix(double low, double high, double share) noexcept { return share == 0 ? low : low + (high - low) * share; }

// How one axis of a tensor is resized: the taps of each output index.
struct AxisResize {
  std::size_t axis = 0;
  std::vector<LinearTap> taps;
};
std::vector<LinearTap> linear_taps(SamplingMode mode, std::int64_t in, std::int64_t out);
// Nearest neighbours; the centers of the output's pixels fall into the input's, except for modes that align corners.
std::vector<LinearTap> nearest_taps(SamplingMode mode, std::int64_t in, std::int64_t out);
// Output i takes input floor(i * in / out).
std::vector<LinearTap> replicating_taps(std::int64_t in, std::int64_t out);

// The values of a row-major tensor of `shape` after resizing its axes one by one; `shape` becomes the new one.
std::vector<double> resize_axes(std::vector<double> values, Shape& shape, const std::vector<AxisResize>& axes);

}  // namespace tl::op
