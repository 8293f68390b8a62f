#include "op/sampling.hpp"

#include <algorithm>
#include <cmath>

namespace tl::op {

using namespace ir;

namespace {

struct ModeName {
  std::string_view name;
  SamplingMode mode;
};
constexpr ModeName mode_names[] = {
    {"STRICT_ALIGN_CORNERS", SamplingMode::strict_align_corners},
    {"ALIGN_CORNERS", SamplingMode::align_corners},
    {"DEFAULT", SamplingMode::default_mode},
    {"OFFSET_CORNERS", SamplingMode::offset_corners},
    {"UNALIGN_CORNERS", SamplingMode::unalign_corners},
};

}  // namespace

SamplingMode sampling_mode(const OpView& c, std::string_view param) {
  const std::string text = c.text(param);
  for (const auto& [name, mode] : mode_names) {
    if (text == name) return mode;
  }
  c.reject(param, "'{}' is not one of STRICT_ALIGN_CORNERS, ALIGN_CORNERS, DEFAULT, OFFSET_CORNERS, UNALIGN_CORNERS", text);
}

double grid_point(SamplingMode mode, std::int64_t i, std::int64_t count, double start, double end) noexcept {
  const double length = std::fabs(end - start);
  const auto at = static_cast<double>(i);
  const auto n = static_cast<double>(count);
  double offset = 0;
  switch (mode) {
    case SamplingMode::strict_align_corners: offset = count == 1 ? 0 : at * length / (n - 1); break;
    case SamplingMode::align_corners: offset = count == 1 ? length / 2 : at * length / (n - 1); break;
    case SamplingMode::default_mode: offset = at * (length + 1) / n; break;
    case SamplingMode::offset_corners: offset = (at + 0.5) * std::max(1.0, length) / n; break;
    case SamplingMode::unalign_corners: offset = (at + 0.5) * (length + 1) / n - 0.5; break;
  }
  offset = std::min(std::max(offset, 0.0), length);
  return offset == length ? end : end < start ? start - offset : start + offset;
}

LinearTap linear_tap(double point, std::int64_t extent) noexcept {
  const double low = std::floor(point);
  LinearTap tap;
  tap.low = std::clamp<std::int64_t>(static_cast<std::int64_t>(low), 0, extent - 1);
  tap.high = std::min(tap.low + 1, extent - 1);
  tap.share = point - low;
  return tap;
}

std::vector<LinearTap> linear_taps(SamplingMode mode, std::int64_t in, std::int64_t out) {
  std::vector<LinearTap> taps(uz(out));
  for (std::int64_t i = 0; i < out; ++i) taps[uz(i)] = linear_tap(grid_point(mode, i, out, 0, static_cast<double>(in - 1)), in);
  return taps;
}

std::vector<LinearTap> nearest_taps(SamplingMode mode, std::int64_t in, std::int64_t out) {
  std::vector<LinearTap> taps(uz(out));
  const bool centers = mode == SamplingMode::default_mode || mode == SamplingMode::unalign_corners;
  for (std::int64_t i = 0; i < out; ++i) {
    std::int64_t& low = taps[uz(i)].low;
    if (centers) {
      low = checked_mul(2 * i + 1, in, "resize extent") / (2 * out);
    } else {
      const double point = grid_point(mode, i, out, 0, static_cast<double>(in - 1));
      low = std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(point + 0.5)), 0, in - 1);
    }
  }
  return taps;
}

std::vector<LinearTap> replicating_taps(std::int64_t in, std::int64_t out) {
  std::vector<LinearTap> taps(uz(out));
  for (std::int64_t i = 0; i < out; ++i) taps[uz(i)].low = checked_mul(i, in, "resize extent") / out;
  return taps;
}

std::vector<double> resize_axes(std::vector<double> values, Shape& shape, const std::vector<AxisResize>& axes) {
  for (const auto& [axis, taps] : axes) {
    std::int64_t outer = 1, inner = 1;
    for (std::size_t i = 0; i < axis; ++i) outer *= shape[i];
    for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
    const std::int64_t in = shape[axis];
    const std::int64_t out = iz(taps.size());
    shape[axis] = out;
    std::vector<double> result(uz(element_count(shape)));
    for (std::int64_t o = 0; o < outer && inner == 1; ++o) {
      const double* from = values.data() + o * in;
      double* to = result.data() + o * out;
      for (std::int64_t i = 0; i < out; ++i) to[i] = mix(from[taps[uz(i)].low], from[taps[uz(i)].high], taps[uz(i)].share);
    }
    for (std::int64_t o = 0; o < outer && inner != 1; ++o) {
      for (std::int64_t i = 0; i < out; ++i) {
        const LinearTap& tap = taps[uz(i)];
        const double* low = values.data() + (o * in + tap.low) * inner;
        const double* high = values.data() + (o * in + tap.high) * inner;
        double* to = result.data() + (o * out + i) * inner;
        if (tap.share == 0) {
          std::copy_n(low, inner, to);
        } else {
          for (std::int64_t k = 0; k < inner; ++k) to[k] = low[k] + (high[k] - low[k]) * tap.share;
        }
      }
    }
    values = std::move(result);
  }
  return values;
}

}  // namespace tl::op
