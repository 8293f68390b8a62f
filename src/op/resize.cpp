#include <algorithm>
#include <cmath>
#include <limits>

#include "op/sampling.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();

Dims image_dims(const Infer& c) {
  Dims dims = c.dims("x");
  if (dims.size() < 3) c.reject("x", "rank {}, expected 3 or more", dims.size());
  return dims;
}

// The extent asked for, which only an axis that has elements can be resized to.
Dim target(const OpView& c, std::string_view param, std::int64_t value, Dim from) {
  if (value < 1 || value > largest) c.reject(param, "extent {} is outside [1, {}]", value, largest);
  if (from.known() && from.extent() == 0) c.reject("x", "an axis without elements cannot be resized to {}", value);
  return value;
}

// floor(extent * factor), in the precision of the factor.
Dim scaled(const OpView& c, std::string_view param, Dim extent) {
  const double factor = c.number(param);
  if (!(factor > 0) || !std::isfinite(factor)) c.reject(param, "factor {} is not a positive number", factor);
  if (!extent.known()) return factor == 1 ? extent : Dim::unknown();
  const bool integer = is_integer(c.known(param).dtype());
  const double product = integer ? static_cast<double>(extent.extent()) * factor
                                 : static_cast<double>(static_cast<float>(extent.extent()) * static_cast<float>(factor));
  if (!(product < static_cast<double>(largest))) c.reject(param, "factor {} of {} is too large", factor, extent.extent());
  return target(c, param, static_cast<std::int64_t>(std::floor(product)), extent);
}

Dims targeted_dims(const Infer& c) {
  Dims dims = image_dims(c);
  Dim& height = dims[dims.size() - 2];
  height = target(c, "target_size_height", c.integer("target_size_height"), height);
  dims.back() = target(c, "target_size_width", c.integer("target_size_width"), dims.back());
  return dims;
}

Dims scaled_dims(const Infer& c) {
  Dims dims = image_dims(c);
  Dim& height = dims[dims.size() - 2];
  height = scaled(c, "scale_factor_height", height);
  dims.back() = scaled(c, "scale_factor_width", dims.back());
  return dims;
}

// Resizes the last `axes` axes with taps(in, out).
template <class Taps>
void resize_to_output(Eval& c, std::size_t axes, Taps&& taps) {
  Shape shape = c.shape("x");
  const Shape out = c.out_shape();
  std::vector<AxisResize> plan;
  for (std::size_t i = shape.size() - axes; i < shape.size(); ++i) {
    if (shape[i] != 0) plan.push_back({i, taps(shape[i], out[i])});
  }
  c.store(0, resize_axes(c.doubles("x"), shape, plan));
}

void scale_parameters(OpDef& op) {
  op.in("x", dt::floats);
  op.in("scale_factor_height", dt::floats | dt::ints).constant().def(1);
  op.in("scale_factor_width", dt::floats | dt::ints).constant().def(1);
}

SamplingMode upsample_mode(const OpView& c) {
  const bool align = c.boolean("align_corners");
  const bool centers = c.has("half_pixel_centers") ? c.boolean("half_pixel_centers") : !align;
  if (align && centers) c.reject("half_pixel_centers", "does not go with align_corners");
  return align ? SamplingMode::strict_align_corners : centers ? SamplingMode::unalign_corners : SamplingMode::default_mode;
}

bool is_linear(const OpView& c) {
  const std::string mode = c.text("interpolation_mode");
  if (mode != "LINEAR" && mode != "NEAREST_NEIGHBOR")
    c.reject("interpolation_mode", "'{}' is not one of LINEAR, NEAREST_NEIGHBOR", mode);
  return mode == "LINEAR";
}

Dims resize_dims(const Infer& c) {
  Dims dims = c.dims("x");
  const Dims shape = c.dims("shape");
  const std::int64_t count = c.integer("resized_dims");
  if (shape.size() != 1) c.reject("shape", "rank {}, expected 1", shape.size());
  if (count < 0 || count > iz(dims.size())) c.reject("resized_dims", "{} axes of rank {}", count, dims.size());
  if (shape[0].known()) {
    if (shape[0].extent() > iz(dims.size())) c.reject("shape", "{} extents for rank {}", shape[0].extent(), dims.size());
    if (count > shape[0].extent()) c.reject("resized_dims", "{} axes of {} extents", count, shape[0].extent());
  }
  const auto asked = c.maybe_ints("shape");
  for (std::size_t i = dims.size() - uz(count); i < dims.size(); ++i) {
    if (!asked) {
      dims[i] = Dim::unknown();
    } else if (const std::int64_t extent = (*asked)[asked->size() - (dims.size() - i)]; extent != 0) {
      dims[i] = target(c, "shape", extent, dims[i]);
    }
  }
  return dims;
}

}  // namespace

TL_OP(upsample_nearest_neighbor) {
  scale_parameters(op);
  op.infer = [](Infer& c) { c.out(c.dtype("x"), scaled_dims(c)); };
  op.eval = [](Eval& c) { resize_to_output(c, 2, replicating_taps); };
}

TL_OP(upsample_bilinear) {
  scale_parameters(op);
  op.in("align_corners", dt::boolean).constant().def(true);
  op.in("half_pixel_centers", dt::boolean).constant().optional();
  op.infer = [](Infer& c) {
    upsample_mode(c);
    c.out(c.dtype("x"), scaled_dims(c));
  };
  op.eval = [](Eval& c) {
    resize_to_output(c, 2, [mode = upsample_mode(c)](std::int64_t in, std::int64_t out) { return linear_taps(mode, in, out); });
  };
}

TL_OP(resize_nearest_neighbor) {
  op.in("x", dt::floats);
  op.in("target_size_height", dt::ints).constant();
  op.in("target_size_width", dt::ints).constant();
  op.infer = [](Infer& c) { c.out(c.dtype("x"), targeted_dims(c)); };
  op.eval = [](Eval& c) {
    resize_to_output(c, 2, [](std::int64_t in, std::int64_t out) { return nearest_taps(SamplingMode::default_mode, in, out); });
  };
}

TL_OP(resize_bilinear) {
  op.in("x", dt::floats);
  op.in("target_size_height", dt::ints).constant().def(1);
  op.in("target_size_width", dt::ints).constant().def(1);
  op.in("sampling_mode", dt::string).constant().def("DEFAULT");
  op.infer = [](Infer& c) {
    sampling_mode(c, "sampling_mode");
    c.out(c.dtype("x"), targeted_dims(c));
  };
  op.eval = [](Eval& c) {
    const SamplingMode mode = sampling_mode(c, "sampling_mode");
    resize_to_output(c, 2, [mode](std::int64_t in, std::int64_t out) { return linear_taps(mode, in, out); });
  };
}

TL_OP(resize) {
  op.in("x", dt::floats | dt::i32);
  op.in("shape", dt::ints);
  op.in("resized_dims", dt::ints).constant();
  op.in("interpolation_mode", dt::string).constant().def("LINEAR");
  op.in("sampling_mode", dt::string).constant().def("DEFAULT");
  op.infer = [](Infer& c) {
    is_linear(c);
    sampling_mode(c, "sampling_mode");
    c.out(c.dtype("x"), resize_dims(c));
  };
  op.eval = [](Eval& c) {
    const SamplingMode mode = sampling_mode(c, "sampling_mode");
    const bool linear = is_linear(c);
    resize_to_output(c, uz(c.integer("resized_dims")), [=](std::int64_t in, std::int64_t out) {
      return linear ? linear_taps(mode, in, out) : nearest_taps(mode, in, out);
    });
  };
}

}  // namespace tl::op
