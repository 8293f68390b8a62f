#pragma once

#include <algorithm>
#include <array>

#include "ir/op_def.hpp"

namespace tl::op {

// The extents of two operands under NumPy's broadcasting rule. An unknown extent against one over 1 is taken to agree with it;
// two different symbols give an unknown one.
// Rejects extents that do not fit, naming `param`.
inline ir::Dims broadcast_dims(const ir::OpView& view, std::string_view param, const ir::Dims& a, const ir::Dims& b) {
  ir::Dims result;
  const std::size_t rank = std::max(a.size(), b.size());
  for (std::size_t i = 0; i < rank; ++i) {
    const ir::Dim x = i + a.size() < rank ? ir::Dim(1) : a[i + a.size() - rank];
    const ir::Dim y = i + b.size() < rank ? ir::Dim(1) : b[i + b.size() - rank];
    if (x == y) {
      result.push_back(x);
    } else if (x.known() && x.extent() == 1) {
      result.push_back(y);
    } else if (y.known() && y.extent() == 1) {
      result.push_back(x);
    } else if (!x.known() || !y.known()) {
      result.push_back(x.known() ? x : y.known() ? y : ir::Dim::unknown());
    } else {
      view.reject(param, "shapes {} and {} do not broadcast", to_string(a), to_string(b));
    }
  }
  return result;
}

// Row-major strides of `shape` as seen from a broadcast result of `rank` axes: 0 along broadcast axes.
inline std::vector<std::int64_t> broadcast_strides(const Shape& shape, const Shape& out) {
  std::vector<std::int64_t> strides(out.size(), 0);
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    const std::size_t axis = i + out.size() - shape.size();
    if (shape[i] != 1) strides[axis] = stride;
    stride *= shape[i];
  }
  return strides;
}

// Calls body(out_index, index_0, index_1, ...) for every element of `out` in row-major order, with the operands' element
// indices.
template <std::size_t N, class Body>
void for_each_broadcast(const Shape& out, const std::array<const Shape*, N>& operands, Body&& body) {
  const std::int64_t count = element_count(out);
  if (count == 0) return;
  std::array<std::vector<std::int64_t>, N> strides;
  for (std::size_t k = 0; k < N; ++k) strides[k] = broadcast_strides(*operands[k], out);
  const std::size_t rank = out.size();
  const std::int64_t inner = rank == 0 ? 1 : out[rank - 1];
  std::array<std::int64_t, N> step{};
  for (std::size_t k = 0; k < N; ++k) step[k] = rank == 0 ? 0 : strides[k][rank - 1];
  std::vector<std::int64_t> position(rank, 0);
  std::array<std::int64_t, N> base{};
  for (std::int64_t o = 0; o < count; o += inner) {
    std::array<std::int64_t, N> at = base;
    for (std::int64_t i = 0; i < inner; ++i) {
      body(uz(o + i), at);
      for (std::size_t k = 0; k < N; ++k) at[k] += step[k];
    }
    for (std::size_t axis = rank; axis-- > 1;) {
      const std::size_t outer = axis - 1;
      for (std::size_t k = 0; k < N; ++k) base[k] += strides[k][outer];
      if (++position[outer] < out[outer]) break;
      for (std::size_t k = 0; k < N; ++k) base[k] -= strides[k][outer] * out[outer];
      position[outer] = 0;
    }
  }
}

}  // namespace tl::op
