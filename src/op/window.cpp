#include "op/window.hpp"

#include <algorithm>
#include <limits>

namespace tl::op {

using namespace ir;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();

PadType pad_type_of(const OpView& c) {
  const std::string text = c.text("pad_type");
  if (text == "valid") return PadType::valid;
  if (text == "same") return PadType::same;
  if (text == "same_lower") return PadType::same_lower;
  if (text == "custom") return PadType::custom;
  c.reject("pad_type", "'{}' is not one of valid, same, same_lower, custom", text);
}

std::vector<std::int64_t> per_axis(const OpView& c, std::string_view param, std::size_t count, std::int64_t fallback,
                                   std::int64_t low) {
  if (!c.has(param)) return std::vector<std::int64_t>(count, fallback);
  auto values = c.ints(param);
  if (values.size() != count) c.reject(param, "{} values given, expected {}", values.size(), count);
  for (const std::int64_t v : values) {
    if (v < low || v > largest) c.reject(param, "{} is outside [{}, {}]", v, low, largest);
  }
  return values;
}

std::size_t spatial_rank(const OpView& c, std::size_t rank) {
  if (rank < 3 || rank > 5) c.reject("x", "rank {}, expected 3 to 5", rank);
  return rank - 2;
}

constexpr std::int64_t unknown_kernel = -1;  // of a weight whose extents are not known yet

std::vector<std::int64_t> weight_kernel(const Dims& weight) {
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < weight.size(); ++i) kernel.push_back(weight[i].known() ? weight[i].extent() : unknown_kernel);
  return kernel;
}

struct Channels {
  Dim out = Dim::unknown();
  std::int64_t groups = 1;
};

// Checks channels and bias. Axis 1 of the weight holds what groups divide: input channels, or output channels when
// `transposed`.
Channels check_channels(const OpView& c, const Dims& x, const Dims& weight, bool transposed) {
  if (weight.size() != x.size()) c.reject("weight", "rank {}, expected {}", weight.size(), x.size());
  const std::int64_t groups = c.has("groups") ? c.integer("groups") : 1;
  if (groups < 1 || groups > largest) c.reject("groups", "{} groups", groups);
  const auto divided = [&](Dim extent, std::string_view param, const char* what) {
    if (extent.known() && extent.extent() % groups != 0) {
      c.reject(param, "{} {} channels are not divisible by {} groups", extent.extent(), what, groups);
    }
  };
  divided(x[1], "x", "input");
  const Dim in = transposed          ? weight[0]
                 : weight[1].known() ? Dim(checked_mul(weight[1].extent(), groups, "channels"))
                                     : weight[1];
  if (in.known() && x[1].known() && in.extent() != x[1].extent()) {
    c.reject("weight", "made for {} input channels in {} groups, x has {}", in.extent(), groups, x[1].extent());
  }
  Channels result;
  result.groups = groups;
  result.out = !transposed         ? weight[0]
               : weight[1].known() ? Dim(checked_mul(weight[1].extent(), groups, "channels"))
                                   : weight[1];
  divided(result.out, "weight", "output");
  if (c.has("bias")) {
    const TensorType bias = c.type("bias").tensor();
    if (bias.dims && bias.dims->size() != 1) c.reject("bias", "rank {}, expected 1", bias.dims->size());
    if (bias.dims && bias.dims->front().known() && result.out.known() && bias.dims->front() != result.out) {
      c.reject("bias", "{} values for {} output channels", bias.dims->front().extent(), result.out.extent());
    }
  }
  return result;
}

WindowAxis place_transposed(const OpView& c, const WindowParams& params, std::size_t i, std::int64_t in,
                            std::optional<std::int64_t> asked) {
  WindowAxis axis;
  axis.in = in;
  axis.kernel = params.kernel[i];
  axis.stride = params.strides[i];
  axis.dilation = params.dilations[i];
  const std::int64_t full =
      in == 0 ? 0 : checked_add(checked_mul(in - 1, axis.stride, "output extent"), axis.span(), "output extent");
  switch (params.pad_type) {
    case PadType::valid: axis.out = asked.value_or(full); break;
    case PadType::custom:
      axis.before = params.pad[2 * i];
      axis.out = asked.value_or(full - axis.before - params.pad[2 * i + 1]);
      break;
    case PadType::same:
    case PadType::same_lower: {
      axis.out = asked.value_or(checked_mul(in, axis.stride, "output extent"));
      const std::int64_t crop = std::max<std::int64_t>(0, full - axis.out);
      axis.before = params.pad_type == PadType::same ? crop / 2 : crop - crop / 2;
      break;
    }
  }
  axis.after = full - axis.before - axis.out;
  if (axis.out < 1) c.reject("x", "spatial axis {} of {} leaves an output of {}", i, in, axis.out);
  return axis;
}

std::optional<std::vector<std::int64_t>> output_shape(const OpView& c, const Dims& x, Dim channels) {
  if (!c.has("output_shape")) return std::nullopt;
  auto shape = c.ints("output_shape");
  if (shape.size() == x.size() - 2)
    shape.insert(shape.begin(), {x[0].known() ? x[0].extent() : -1, channels.known() ? channels.extent() : -1});
  if (shape.size() != x.size()) c.reject("output_shape", "{} extents, expected {}", shape.size(), x.size());
  if (x[0].known() && shape[0] != x[0].extent()) c.reject("output_shape", "batch {}, x has {}", shape[0], x[0].extent());
  if (channels.known() && shape[1] != channels.extent())
    c.reject("output_shape", "{} channels, expected {}", shape[1], channels.extent());
  for (std::size_t i = 2; i < shape.size(); ++i) {
    if (shape[i] < 1 || shape[i] > largest) c.reject("output_shape", "extent {}", shape[i]);
  }
  return shape;
}

WindowParams pool_params(const OpView& c, std::size_t rank) {
  const std::size_t spatial = spatial_rank(c, rank);
  auto kernel = c.ints("kernel_sizes");
  if (kernel.size() != spatial) c.reject("kernel_sizes", "{} values given, expected {}", kernel.size(), spatial);
  if (std::find(kernel.begin(), kernel.end(), unknown_kernel) != kernel.end()) c.reject("kernel_sizes", "kernel extent -1");
  WindowParams params = window_params(c, std::move(kernel), "kernel_sizes");
  if (!params.ceil_mode) return params;
  if (params.pad_type == PadType::same || params.pad_type == PadType::same_lower) {
    c.reject("ceil_mode", "goes with pad_type valid or custom only");
  }
  for (std::size_t i = 0; i < spatial; ++i) {
    if (params.pad[2 * i] != params.pad[2 * i + 1]) c.reject("pad", "must be symmetric when ceil_mode is set");
  }
  return params;
}

}  // namespace

IndexRange indices_inside(std::int64_t offset, std::int64_t step, std::int64_t extent, std::int64_t count) noexcept {
  IndexRange range;
  range.first = offset >= 0 ? 0 : (-offset + step - 1) / step;
  range.last = offset >= extent ? 0 : std::min(count, (extent - 1 - offset) / step + 1);
  return range;
}

WindowAxis WindowParams::place(std::size_t i, std::int64_t extent) const {
  WindowAxis axis;
  axis.in = extent;
  axis.kernel = kernel[i];
  axis.stride = strides[i];
  axis.dilation = dilations[i];
  const std::int64_t size = axis.span();
  if (pad_type == PadType::same || pad_type == PadType::same_lower) {
    axis.out = (extent + axis.stride - 1) / axis.stride;
    const std::int64_t total = std::max<std::int64_t>(0, (axis.out - 1) * axis.stride + size - extent);
    axis.before = pad_type == PadType::same ? total / 2 : total - total / 2;
    axis.after = total - axis.before;
  } else {
    if (pad_type == PadType::custom) {
      axis.before = pad[2 * i];
      axis.after = pad[2 * i + 1];
    }
    const std::int64_t room = extent + axis.before + axis.after - size;
    axis.out = room < 0 ? 0 : (room + (ceil_mode ? axis.stride - 1 : 0)) / axis.stride + 1;
    if (ceil_mode && room >= 0 && axis.before + axis.after > 0 && (axis.out - 1) * axis.stride >= extent + axis.before)
      --axis.out;
  }
  if (axis.out < 1) {
    fail(ErrorKind::bad_model, "a window of {} does not fit spatial axis {} of {} padded by {} and {}", size, i, extent,
         axis.before, axis.after);
  }
  return axis;
}

Dim WindowParams::out_extent(std::size_t i, Dim extent) const {
  if (extent.known() && kernel[i] != unknown_kernel) return place(i, extent.extent()).out;
  const bool keeps = strides[i] == 1 && (pad_type == PadType::same || pad_type == PadType::same_lower);
  const std::int64_t padding = pad_type == PadType::custom ? pad[2 * i] + pad[2 * i + 1] : 0;
  return keeps || (kernel[i] != unknown_kernel && strides[i] == 1 && padding == (kernel[i] - 1) * dilations[i])
             ? extent
             : Dim::unknown();
}

WindowParams window_params(const OpView& c, std::vector<std::int64_t> kernel, std::string_view kernel_param) {
  WindowParams params;
  const std::size_t count = kernel.size();
  for (const std::int64_t k : kernel) {
    if (k != unknown_kernel && (k < 1 || k > largest))
      c.reject(kernel_param, "kernel extent {} is outside [1, {}]", k, largest);
  }
  params.kernel = std::move(kernel);
  params.strides = per_axis(c, "strides", count, 1, 1);
  params.dilations = per_axis(c, "dilations", count, 1, 1);
  params.pad_type = pad_type_of(c);
  params.pad.assign(2 * count, 0);
  if (params.pad_type == PadType::custom) params.pad = per_axis(c, "pad", 2 * count, 0, 0);
  params.ceil_mode = c.has("ceil_mode") && c.boolean("ceil_mode");
  return params;
}

Dims conv_dims(const Infer& c) {
  const Dims x = c.dims("x");
  spatial_rank(c, x.size());
  const Dims weight = c.dims("weight");
  const Channels channels = check_channels(c, x, weight, false);
  const WindowParams params = window_params(c, weight_kernel(weight), "weight");
  Dims out{x[0], channels.out};
  for (std::size_t i = 0; i + 2 < x.size(); ++i) out.push_back(params.out_extent(i, x[i + 2]));
  return out;
}

ConvGeometry conv_geometry(const OpView& c, const Shape& x, const Shape& weight) {
  const std::size_t spatial = spatial_rank(c, x.size());
  const Channels channels = check_channels(c, dims_of(x), dims_of(weight), false);
  const WindowParams params = window_params(c, weight_kernel(dims_of(weight)), "weight");
  ConvGeometry g{x[0], x[1], channels.out.extent(), channels.groups, {}};
  for (std::size_t i = 0; i < spatial; ++i) g.axes.push_back(params.place(i, x[i + 2]));
  return g;
}

Dims conv_transpose_dims(const Infer& c) {
  const Dims x = c.dims("x");
  spatial_rank(c, x.size());
  const Dims weight = c.dims("weight");
  const Channels channels = check_channels(c, x, weight, true);
  const WindowParams params = window_params(c, weight_kernel(weight), "weight");
  const auto asked = output_shape(c, x, channels.out);
  Dims out{x[0], channels.out};
  for (std::size_t i = 0; i + 2 < x.size(); ++i) {
    if (asked) {
      out.emplace_back((*asked)[i + 2]);
    } else if (x[i + 2].known() && params.kernel[i] != unknown_kernel) {
      out.emplace_back(place_transposed(c, params, i, x[i + 2].extent(), std::nullopt).out);
    } else {
      out.push_back(Dim::unknown());
    }
  }
  return out;
}

ConvGeometry conv_transpose_geometry(const OpView& c, const Shape& x, const Shape& weight) {
  const std::size_t spatial = spatial_rank(c, x.size());
  const Channels channels = check_channels(c, dims_of(x), dims_of(weight), true);
  const WindowParams params = window_params(c, weight_kernel(dims_of(weight)), "weight");
  const auto asked = output_shape(c, dims_of(x), channels.out);
  ConvGeometry g{x[0], x[1], channels.out.extent(), channels.groups, {}};
  for (std::size_t i = 0; i < spatial; ++i) {
    g.axes.push_back(place_transposed(c, params, i, x[i + 2], asked ? std::optional((*asked)[i + 2]) : std::nullopt));
  }
  return g;
}

Dims pool_dims(const Infer& c) {
  Dims dims = c.dims("x");
  const WindowParams params = pool_params(c, dims.size());
  for (std::size_t i = 2; i < dims.size(); ++i) dims[i] = params.out_extent(i - 2, dims[i]);
  return dims;
}

std::vector<WindowAxis> pool_geometry(const OpView& c, const Shape& x) {
  const WindowParams params = pool_params(c, x.size());
  std::vector<WindowAxis> axes;
  for (std::size_t i = 2; i < x.size(); ++i) axes.push_back(params.place(i - 2, x[i]));
  return axes;
}

}  // namespace tl::op
