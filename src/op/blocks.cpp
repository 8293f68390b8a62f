#include "op/blocks.hpp"

namespace tl::op {

using namespace ir;

void check_blocks(const OpView& view, std::string_view param, const Dims& data, const Dims& grid) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (!grid[i].known() || !data[i].known()) continue;
    const std::int64_t blocks = grid[i].extent();
    if (blocks == 0 || data[i].extent() % blocks != 0) {
      view.reject(param, "axis {}: {} blocks do not divide {} elements", i, blocks, data[i].extent());
    }
  }
}

void widen(const Tensor& tensor, float* out) {
  if (is_sub_byte(tensor.dtype())) {
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      out[i] = static_cast<float>(packed_element(tensor.data(), tensor.dtype(), i));
    }
  } else if (tensor.dtype() == DType::f16) {
    f16_to_f32(tensor.values<f16>().data(), out, uz(tensor.size()));
  } else {
    visit_dtype(tensor.dtype(), [&](auto tag) {
      for (const auto value : tensor.values<decltype(tag)>()) *out++ = convert_element<float>(value);
    });
  }
}

std::vector<float> widened(const Tensor& tensor) {
  std::vector<float> result(uz(tensor.size()));
  widen(tensor, result.data());
  return result;
}

Tensor shift_scale(const Tensor& data, const BlockGrid& grid, const std::vector<float>& scale, const std::vector<float>& offset,
                   DType dtype) {
  Tensor result(DType::f32, data.shape());
  float* values = result.mutable_values<float>().data();
  widen(data, values);
  grid.for_each_run([&](std::int64_t first, std::int64_t count, std::int64_t block) {
    const float s = scale[uz(block)];
    const float o = offset.empty() ? 0 : offset[uz(block)];
    for (std::int64_t i = first; i < first + count; ++i) values[i] = s * (values[i] - o);
  });
  return result.cast(dtype);
}

std::vector<float> per_position(const Tensor& tensor, std::int64_t extent) {
  std::vector<float> values = widened(tensor);
  if (tensor.rank() == 0) values.assign(uz(extent), values[0]);
  return values;
}

void check_per_axis(const Infer& view, std::string_view param, const Dims& data, std::optional<std::int64_t> axis) {
  if (!view.has(param)) return;
  const Dims given = view.dims(param);
  if (given.empty()) return;
  if (given.size() > 1) view.reject(param, "expected a number or a list, got shape {}", to_string(given));
  if (!axis) view.reject("axis", "needed because {} is a list", param);
  const Dim want = data[uz(*axis)];
  if (given[0].known() && want.known() && given[0] != want) {
    view.reject(param, "{} values for the {} positions of axis {}", given[0].extent(), want.extent(), *axis);
  }
}

}  // namespace tl::op
