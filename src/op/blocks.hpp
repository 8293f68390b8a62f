#pragma once

#include <vector>

#include "ir/op_def.hpp"

namespace tl::op {

// How a tensor is cut into blocks by a smaller tensor of the same rank whose extents divide its own: block b of an axis
// covers extent / grid elements. Neighbouring axes that are cut alike are merged, so that rows are long.
class BlockGrid {
 public:
  BlockGrid(const Shape& data, const Shape& grid) {
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (data[i] == 0) {
        axes_.assign(1, {0, 1});
        return;
      }
      const Axis axis{data[i], grid[i]};
      if (!axes_.empty() && axis.grid == 1) {
        axes_.back().extent *= axis.extent;
      } else if (!axes_.empty() && axes_.back().extent == axes_.back().grid && axis.extent == axis.grid) {
        axes_.back().extent *= axis.extent;
        axes_.back().grid *= axis.grid;
      } else {
        axes_.push_back(axis);
      }
    }
    if (axes_.empty()) axes_.push_back({1, 1});
  }

  // Calls body(first element, number of elements, block) for runs of elements of one block, in row-major order.
  template <class Body>
  void for_each_run(Body&& body) const {
    std::int64_t rows = 1;
    for (std::size_t i = 0; i + 1 < axes_.size(); ++i) rows *= axes_[i].extent;
    const Axis& last = axes_.back();
    if (rows == 0 || last.extent == 0) return;
    const std::int64_t run = last.extent / last.grid;
    for (std::int64_t row = 0; row < rows; ++row) {
      std::int64_t rest = row, block = 0, stride = last.grid;
      for (std::size_t i = axes_.size() - 1; i-- > 0;) {
        const Axis& axis = axes_[i];
        block += rest % axis.extent / (axis.extent / axis.grid) * stride;
        rest /= axis.extent;
        stride *= axis.grid;
      }
      for (std::int64_t b = 0; b < last.grid; ++b) body(row * last.extent + b * run, run, block + b);
    }
  }

 private:
  struct Axis {
    std::int64_t extent, grid;
  };
  std::vector<Axis> axes_;
};

// Rejects `param` unless its extents (the first ones, as many as `data` has) divide those of `data`.
void check_blocks(const ir::OpView& view, std::string_view param, const ir::Dims& data, const ir::Dims& grid);

// The elements of a number type of any width as floats; exact for all that have 24 bits or less.
void widen(const Tensor& tensor, float* out);
std::vector<float> widened(const Tensor& tensor);

// scale * (data - offset) with one scale and offset per block (`offset` empty: zero), rounded once to `dtype`.
Tensor shift_scale(const Tensor& data, const BlockGrid& grid, const std::vector<float>& scale, const std::vector<float>& offset,
                   DType dtype);

// Scale or zero point of an axis: one value, or one for each of the `extent` positions along the axis.
std::vector<float> per_position(const Tensor& tensor, std::int64_t extent);
// Rejects what is neither a scalar nor a vector of the extent of `axis` (absent: only scalars fit).
void check_per_axis(const ir::Infer& view, std::string_view param, const ir::Dims& data, std::optional<std::int64_t> axis);

}  // namespace tl::op
