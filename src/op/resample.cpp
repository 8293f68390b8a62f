#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "op/sampling.hpp"

namespace tl::op {

using namespace ir;

namespace {

enum class Padding { constant, border, reflection, symmetric };
enum class Coordinates { unnormalized, minus_one_to_one, zero_to_one };

struct Sampling {
  bool bilinear = true;
  Padding padding = Padding::constant;
  Coordinates coordinates = Coordinates::unnormalized;
  bool align_corners = true;
  double padding_value = 0;
};

template <class T, std::size_t N>
T choose(const OpView& c, std::string_view param, const std::pair<std::string_view, T> (&names)[N]) {
  std::string text = c.text(param);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char ch) { return ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch + 32) : ch; });
  for (const auto& [name, value] : names) {
    if (text == name) return value;
  }
  c.reject(param, "'{}' is not known", text);
}

Sampling sampling(const OpView& c) {
  Sampling s;
  s.bilinear = choose<bool>(c, "sampling_mode", {{"bilinear", true}, {"nearest", false}});
  s.padding = choose<Padding>(c, "padding_mode",
                              {{"constant", Padding::constant},
                               {"border", Padding::border},
                               {"reflection", Padding::reflection},
                               {"symmetric", Padding::symmetric}});
  s.coordinates = choose<Coordinates>(c, "coordinates_mode",
                                      {{"unnormalized", Coordinates::unnormalized},
                                       {"normalized_minus_one_to_one", Coordinates::minus_one_to_one},
                                       {"normalized_zero_to_one", Coordinates::zero_to_one}});
  s.align_corners = c.boolean("align_corners");
  s.padding_value = c.number("padding_value");
  return s;
}

void sampling_parameters(OpDef& op) {
  op.in("sampling_mode", dt::string).constant().def("bilinear");
  op.in("padding_mode", dt::string).constant().def("constant");
  op.in("padding_value", dt::floats).constant().def(0.0);
  op.in("coordinates_mode", dt::string).constant().def("normalized_minus_one_to_one");
  op.in("align_corners", dt::boolean).constant().def(true);
}

// A coordinate as a position in pixels, the first pixel's center at 0.
double to_pixels(const Sampling& s, double value, std::int64_t extent) noexcept {
  const auto n = static_cast<double>(extent);
  if (s.coordinates == Coordinates::unnormalized) return value;
  const double unit = s.coordinates == Coordinates::minus_one_to_one ? (value + 1) / 2 : value;
  return s.align_corners ? unit * (n - 1) : unit * n - 0.5;
}

// The coordinate of pixel `i` of `extent`: the inverse of to_pixels, for the grid of an output.
double from_pixels(const Sampling& s, std::int64_t i, std::int64_t extent) noexcept {
  const auto at = static_cast<double>(i);
  const auto n = static_cast<double>(extent);
  if (s.coordinates == Coordinates::unnormalized) return at;
  const double unit = !s.align_corners ? (at + 0.5) / n : extent == 1 ? 0.5 : at / (n - 1);
  return s.coordinates == Coordinates::minus_one_to_one ? 2 * unit - 1 : unit;
}

double reflect(double p, double low, double high) noexcept {
  const double span = high - low;
  if (span <= 0) return low;
  const double distance = std::fabs(p - low);
  const double rest = std::fmod(distance, span);
  const bool back = std::fmod(std::floor(distance / span), 2) != 0;
  return back ? high - rest : low + rest;
}

// The position that padding puts in the place of `p`; constant padding only limits how far outside it lies.
double inside(const Sampling& s, double p, std::int64_t extent) noexcept {
  const auto last = static_cast<double>(extent - 1);
  switch (s.padding) {
    case Padding::constant: return std::clamp(p, -2.0, last + 2);
    case Padding::border: break;
    case Padding::reflection: p = reflect(p, 0, last); break;
    case Padding::symmetric: p = reflect(p, -0.5, last + 0.5); break;
  }
  return std::clamp(p, 0.0, last);
}

// Where a position lies on an image, the same for all channels: a value of its own, or up to four pixels and their shares.
struct Spot {
  bool fixed = false;
  bool whole = false;  // all four pixels are there
  double value = 0;
  std::int64_t top = 0, left = 0;
  double down = 0, right = 0;
};

// A coordinate that is not a number gives NaN.
Spot spot(const Sampling& s, std::int64_t height, std::int64_t width, double x, double y) noexcept {
  Spot at;
  if (!std::isfinite(x) || !std::isfinite(y)) {
    const bool nan = std::isnan(x) || std::isnan(y);
    at.fixed = nan || s.padding != Padding::border;
    at.value = !nan && s.padding == Padding::constant ? s.padding_value : std::numeric_limits<double>::quiet_NaN();
    if (at.fixed) return at;
  }
  x = inside(s, x, width);
  y = inside(s, y, height);
  if (!s.bilinear) {
    x = std::nearbyint(x);
    y = std::nearbyint(y);
  }
  at.top = static_cast<std::int64_t>(std::floor(y));
  at.left = static_cast<std::int64_t>(std::floor(x));
  at.down = y - static_cast<double>(at.top);
  at.right = x - static_cast<double>(at.left);
  at.whole = at.top >= 0 && at.left >= 0 && at.top + 1 < height && at.left + 1 < width;
  return at;
}

double sample(const Sampling& s, const Spot& at, const double* image, std::int64_t height, std::int64_t width) noexcept {
  if (at.whole) {
    const double* p = image + at.top * width + at.left;
    return mix(mix(p[0], p[1], at.right), mix(p[width], p[width + 1], at.right), at.down);
  }
  if (at.fixed) return at.value;
  const auto pixel = [&](std::int64_t row, std::int64_t column) {
    return row < 0 || row >= height || column < 0 || column >= width ? s.padding_value : image[row * width + column];
  };
  const auto row = [&](std::int64_t r) {
    return at.right == 0 ? pixel(r, at.left) : mix(pixel(r, at.left), pixel(r, at.left + 1), at.right);
  };
  return at.down == 0 ? row(at.top) : mix(row(at.top), row(at.top + 1), at.down);
}

Dims image(const Infer& c) {
  Dims dims = c.dims("x");
  if (dims.size() != 4) c.reject("x", "rank {}, expected 4", dims.size());
  for (std::size_t i = 2; i < 4; ++i) {
    if (dims[i].known() && dims[i].extent() == 0) c.reject("x", "an image without pixels");
  }
  return dims;
}

Dim output_extent(const OpView& c, std::string_view param) {
  const std::int64_t value = c.integer(param);
  if (value < 1 || value > std::numeric_limits<std::int32_t>::max()) c.reject(param, "extent {}", value);
  return value;
}

// Fills the output: position(batch, row, column) gives (x, y) in pixels.
template <class Position>
void sample_all(Eval& c, const Sampling& s, Position&& position) {
  const Shape& in = c.shape("x");
  const Shape out = c.out_shape();
  const std::vector<double> x = c.doubles("x");
  std::vector<double> values(uz(element_count(out)));
  std::vector<Spot> spots(uz(out[3]));
  for (std::int64_t b = 0; b < out[0]; ++b) {
    for (std::int64_t h = 0; h < out[2]; ++h) {
      for (std::int64_t w = 0; w < out[3]; ++w) {
        const auto [px, py] = position(b, h, w);
        spots[uz(w)] = spot(s, in[2], in[3], px, py);
      }
      for (std::int64_t k = 0; k < out[1]; ++k) {
        const double* image = x.data() + (b * in[1] + k) * in[2] * in[3];
        double* row = values.data() + ((b * out[1] + k) * out[2] + h) * out[3];
        for (std::int64_t w = 0; w < out[3]; ++w) row[w] = sample(s, spots[uz(w)], image, in[2], in[3]);
      }
    }
  }
  c.store(0, values);
}

}  // namespace

TL_OP(resample) {
  op.in("x", dt::floats);
  op.in("coordinates", dt::floats | dt::ints);
  sampling_parameters(op);
  op.infer = [](Infer& c) {
    sampling(c);
    Dims dims = image(c);
    const Dims grid = c.dims("coordinates");
    if (grid.size() != 4) c.reject("coordinates", "rank {}, expected 4", grid.size());
    if (grid[3].known() && grid[3].extent() != 2) c.reject("coordinates", "{} numbers a point, expected 2", grid[3].extent());
    if (grid[0].known() && dims[0].known() && grid[0] != dims[0])
      c.reject("coordinates", "batch {}, x has {}", grid[0].extent(), dims[0].extent());
    dims[2] = grid[1];
    dims[3] = grid[2];
    c.out(c.dtype("x"), std::move(dims));
  };
  op.eval = [](Eval& c) {
    const Sampling s = sampling(c);
    const Shape in = c.shape("x");
    const Shape grid = c.shape("coordinates");
    const std::vector<double> points = c.doubles("coordinates");
    sample_all(c, s, [&](std::int64_t b, std::int64_t h, std::int64_t w) {
      const std::size_t at = uz(((b * grid[1] + h) * grid[2] + w) * 2);
      return std::pair(to_pixels(s, points[at], in[3]), to_pixels(s, points[at + 1], in[2]));
    });
  };
}

TL_OP(affine) {
  op.in("x", dt::floats);
  op.in("transform_matrix", dt::floats);
  op.in("output_height", dt::ints).constant();
  op.in("output_width", dt::ints).constant();
  sampling_parameters(op);
  op.infer = [](Infer& c) {
    sampling(c);
    Dims dims = image(c);
    const Dims matrix = c.dims("transform_matrix");
    if (matrix.size() != 2) c.reject("transform_matrix", "rank {}, expected 2", matrix.size());
    if (matrix[1].known() && matrix[1].extent() != 6)
      c.reject("transform_matrix", "{} columns, expected 6", matrix[1].extent());
    if (matrix[0].known() && dims[0].known() && matrix[0] != dims[0] && matrix[0].extent() != 1) {
      c.reject("transform_matrix", "{} transforms for a batch of {}", matrix[0].extent(), dims[0].extent());
    }
    dims[2] = output_extent(c, "output_height");
    dims[3] = output_extent(c, "output_width");
    c.out(c.dtype("x"), std::move(dims));
  };
  op.eval = [](Eval& c) {
    const Sampling s = sampling(c);
    const Shape in = c.shape("x");
    const Shape out = c.out_shape();
    const std::vector<double> matrices = c.doubles("transform_matrix");
    const std::int64_t step = c.shape("transform_matrix")[0] == 1 ? 0 : 6;
    sample_all(c, s, [&](std::int64_t b, std::int64_t h, std::int64_t w) {
      const double* m = matrices.data() + b * step;
      const double x = from_pixels(s, w, out[3]);
      const double y = from_pixels(s, h, out[2]);
      return std::pair(to_pixels(s, m[0] * x + m[1] * y + m[2], in[3]), to_pixels(s, m[3] * x + m[4] * y + m[5], in[2]));
    });
  };
}

}  // namespace tl::op
