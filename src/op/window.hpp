#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ir/op_def.hpp"

namespace tl::op {

enum class PadType { valid, same, same_lower, custom };

// A half-open range of indices, empty when first >= last.
struct IndexRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

// The i in [0, count) with 0 <= i * step + offset < extent; step > 0.
IndexRange indices_inside(std::int64_t offset, std::int64_t step, std::int64_t extent, std::int64_t count) noexcept;

// How windows lie along one spatial axis: window o covers the inputs o * stride - before + t * dilation, t in [0, kernel).
struct WindowAxis {
  std::int64_t in = 1;
  std::int64_t out = 1;
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t before = 0;  // padding; of a transposed convolution: what is cropped, which may be negative
  std::int64_t after = 0;

  std::int64_t span() const noexcept { return (kernel - 1) * dilation + 1; }
  // The taps of window `o` that read the input rather than padding.
  IndexRange taps(std::int64_t o) const noexcept { return indices_inside(o * stride - before, dilation, in, kernel); }
  // True when the axis maps every input to the output of the same index.
  bool trivial() const noexcept { return kernel == 1 && stride == 1 && before == 0 && after == 0; }
};

// The window arguments of a convolution or pooling op, checked: every vector has one entry per spatial axis (`pad` two).
struct WindowParams {
  PadType pad_type = PadType::valid;
  bool ceil_mode = false;
  std::vector<std::int64_t> kernel, strides, dilations, pad;

  // Places the windows of axis `i` on an input extent; throws Error{bad_model} when no window fits.
  WindowAxis place(std::size_t i, std::int64_t extent) const;
  // The output extent along axis `i`, for extents that may be unknown.
  ir::Dim out_extent(std::size_t i, ir::Dim extent) const;
};

// Reads `strides`, `dilations`, `pad_type`, `pad` and `ceil_mode` where the op has them; throws Error{bad_model} that names the
// parameter. `kernel_param` is the parameter that errors about the kernel name.
WindowParams window_params(const ir::OpView& c, std::vector<std::int64_t> kernel, std::string_view kernel_param);

// The geometry of a `conv` or `conv_quantized`: axes.size() is the spatial rank.
struct ConvGeometry {
  std::int64_t batch = 0, in_channels = 0, out_channels = 0, groups = 1;
  std::vector<WindowAxis> axes;
};
ConvGeometry conv_geometry(const ir::OpView& c, const Shape& x, const Shape& weight);
// The same of `conv_transpose`: axis.in is the op's input, axis.out its output, `before` and `after` what is cropped.
ConvGeometry conv_transpose_geometry(const ir::OpView& c, const Shape& x, const Shape& weight);
// Of a pooling op.
std::vector<WindowAxis> pool_geometry(const ir::OpView& c, const Shape& x);

// Type rules on extents that may be unknown; they validate all that is known.
ir::Dims conv_dims(const ir::Infer& c);
ir::Dims conv_transpose_dims(const ir::Infer& c);
ir::Dims pool_dims(const ir::Infer& c);

}  // namespace tl::op
