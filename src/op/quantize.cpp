#include <algorithm>
#include <cmath>
#include <limits>

#include "op/blocks.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr DTypeSet bytes = dt::of(DType::i8) | dt::of(DType::u8);
constexpr DTypeSet reals = dt::f16 | dt::f32;

std::optional<std::int64_t> checked_axis(const Infer& c, const Dims& data) {
  if (!c.has("axis")) return std::nullopt;
  return c.axis("axis", iz(data.size()));
}

void check_scales(const Infer& c, const Dims& data, std::optional<std::int64_t> axis) {
  check_per_axis(c, "scale", data, axis);
  check_per_axis(c, "zero_point", data, axis);
}

// What one run needs: a scale and an offset for every position of the axis (position 0 only when there is none).
struct Scales {
  Shape grid;
  std::vector<float> scale, offset;
};

Scales read_scales(const Eval& c, const Shape& data) {
  Scales result;
  result.grid.assign(data.size(), 1);
  std::int64_t extent = 1;
  if (c.has("axis")) {
    const std::int64_t axis = c.integer("axis");
    auto& along = result.grid[uz(axis < 0 ? axis + iz(data.size()) : axis)];
    along = extent = data[uz(axis < 0 ? axis + iz(data.size()) : axis)];
  }
  result.scale = per_position(c.in("scale"), extent);
  if (c.has("zero_point")) result.offset = per_position(c.in("zero_point"), extent);
  return result;
}

template <class T>
Tensor quantized(const Tensor& input, const Scales& scales) {
  constexpr auto low = static_cast<float>(std::numeric_limits<T>::min());
  constexpr auto high = static_cast<float>(std::numeric_limits<T>::max());
  const std::vector<float> values = widened(input);
  Tensor result(dtype_of<T>::value, input.shape());
  const auto out = result.mutable_values<T>();
  BlockGrid(input.shape(), scales.grid).for_each_run([&](std::int64_t first, std::int64_t count, std::int64_t block) {
    const float scale = scales.scale[uz(block)];
    const float offset = scales.offset.empty() ? 0 : scales.offset[uz(block)];
    for (std::int64_t i = first; i < first + count; ++i) {
      const float level = std::nearbyint(values[uz(i)] / scale) + offset;
      out[uz(i)] = std::isnan(level) ? T{0} : static_cast<T>(std::clamp(level, low, high));
    }
  });
  return result;
}

}  // namespace

TL_OP(quantize) {
  op.elementwise = true;
  op.in("input", reals);
  op.in("scale", reals).constant();
  op.in("zero_point", bytes).constant().optional();
  op.in("axis", dt::ints).constant().optional();
  op.in("output_dtype", dt::string).constant();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("input");
    const auto dtype = dtype_from_name(c.text("output_dtype"));
    if (dtype != DType::i8 && dtype != DType::u8)
      c.reject("output_dtype", "expected int8 or uint8, got '{}'", c.text("output_dtype"));
    if (c.has("zero_point") && c.dtype("zero_point") != *dtype) {
      c.reject("zero_point", "dtype {} does not match output_dtype '{}'", name(c.dtype("zero_point")), name(*dtype));
    }
    const std::vector<float> scale = widened(c.known("scale"));
    if (!scale.empty() && std::all_of(scale.begin(), scale.end(), [](float s) { return s == 0; })) c.reject("scale", "is zero");
    check_scales(c, dims, checked_axis(c, dims));
    c.out(*dtype, dims);
  };
  op.eval = [](Eval& c) {
    const Tensor input = c.in("input");
    const Scales scales = read_scales(c, input.shape());
    c.set(0, c.out_dtype() == DType::i8 ? quantized<std::int8_t>(input, scales) : quantized<std::uint8_t>(input, scales));
  };
}

TL_OP(dequantize) {
  op.elementwise = true;
  op.in("input", bytes);
  op.in("scale", reals).constant();
  op.in("zero_point", bytes).constant().optional();
  op.in("axis", dt::ints).constant().optional();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("input");
    if (c.has("zero_point") && c.dtype("zero_point") != c.dtype("input")) {
      c.reject("zero_point", "dtype {} does not match input, which is {}", name(c.dtype("zero_point")), name(c.dtype("input")));
    }
    check_scales(c, dims, checked_axis(c, dims));
    c.out(c.dtype("scale"), dims);
  };
  op.eval = [](Eval& c) {
    const Tensor input = c.in("input");
    const Scales scales = read_scales(c, input.shape());
    c.set(0, shift_scale(input, BlockGrid(input.shape(), scales.grid), scales.scale, scales.offset, c.out_dtype()));
  };
}

// scale * (quantized_data - zero_point), both a number or one per position of an axis (iOS16).
TL_OP(constexpr_affine_dequantize) {
  op.constexpr_op = true;
  op.in("quantized_data", bytes);
  op.in("zero_point", bytes | reals);
  op.in("scale", reals);
  op.in("axis", dt::ints).constant();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("quantized_data");
    check_scales(c, dims, checked_axis(c, dims));
    c.out(c.dtype("scale"), dims);
  };
  op.eval = [](Eval& c) {
    const Tensor data = c.in("quantized_data");
    const Scales scales = read_scales(c, data.shape());
    c.set(0, shift_scale(data, BlockGrid(data.shape(), scales.grid), scales.scale, scales.offset, c.out_dtype()));
  };
}

}  // namespace tl::op
