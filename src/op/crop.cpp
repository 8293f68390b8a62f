#include <algorithm>
#include <cmath>
#include <limits>

#include "op/sampling.hpp"

namespace tl::op {

using namespace ir;

namespace {

// The two amounts that a crop takes from one axis, which must leave an element.
std::vector<std::int64_t> crop_amounts(const OpView& c, std::string_view param, Dim extent) {
  const Tensor value = c.known(param);
  if (!value.defined()) c.reject(param, "must be known when the model is planned");
  if (value.size() != 2) c.reject(param, "{} values, expected 2", value.size());
  const std::int64_t first = value.integer_at(0), last = value.integer_at(1);
  if (first < 0 || last < 0) c.reject(param, "[{}, {}] is negative", first, last);
  if (extent.known() && (first >= extent.extent() || last >= extent.extent() - first)) {
    c.reject(param, "[{}, {}] leaves nothing of {}", first, last, extent.extent());
  }
  return {first, last};
}

Dim cropped(const OpView& c, std::string_view param, Dim extent) {
  const auto amounts = crop_amounts(c, param, extent);
  return extent.known()                 ? Dim(extent.extent() - amounts[0] - amounts[1])
         : amounts[0] + amounts[1] == 0 ? extent
                                        : Dim::unknown();
}

struct BoxLayout {
  bool corners = true;
  bool height_first = true;
};
BoxLayout box_layout(const OpView& c) {
  const std::string text = c.text("box_coordinate_mode");
  if (text == "CORNERS_HEIGHT_FIRST") return {true, true};
  if (text == "CORNERS_WIDTH_FIRST") return {true, false};
  if (text == "CENTER_SIZE_HEIGHT_FIRST") return {false, true};
  if (text == "CENTER_SIZE_WIDTH_FIRST") return {false, false};
  c.reject("box_coordinate_mode", "'{}' is not known", text);
}

Dim target(const OpView& c, std::string_view param) {
  const std::int64_t value = c.integer(param);
  if (value < 1 || value > std::numeric_limits<std::int32_t>::max()) c.reject(param, "extent {}", value);
  return value;
}

bool uses_roi(const OpView& c) {
  if (c.has("roi") == c.has("boxes")) c.reject("boxes", "give either roi or boxes");
  return c.has("roi");
}

// roi of [N, 1, 4 or 5, 1, 1]: N boxes, each of all images, or each led by the index of its image.
void check_roi(const Infer& c, const Dims& roi) {
  if (roi.size() != 5) c.reject("roi", "rank {}, expected 5", roi.size());
  for (const std::size_t axis : {std::size_t{1}, std::size_t{3}, std::size_t{4}}) {
    if (roi[axis].known() && roi[axis].extent() != 1)
      c.reject("roi", "shape {}, expected [N, 1, 4 or 5, 1, 1]", to_string(roi));
  }
  if (roi[2].known() && roi[2].extent() != 4 && roi[2].extent() != 5) {
    c.reject("roi", "shape {}, expected [N, 1, 4 or 5, 1, 1]", to_string(roi));
  }
  if (c.has("box_indices")) c.reject("box_indices", "goes with boxes only");
}

void check_boxes(const Infer& c, const Dims& boxes, Dim batch) {
  if (boxes.size() != 2 || (boxes[1].known() && boxes[1].extent() != 4))
    c.reject("boxes", "shape {}, expected [N, 4]", to_string(boxes));
  if (c.has("box_indices")) {
    const Dims indices = c.dims("box_indices");
    if (indices.size() != 1 || (indices[0].known() && boxes[0].known() && indices[0] != boxes[0])) {
      c.reject("box_indices", "shape {} for boxes {}", to_string(indices), to_string(boxes));
    }
  } else if (boxes[0].known() && batch.known() && boxes[0].extent() > batch.extent()) {
    c.reject("boxes", "{} boxes for {} images, and no box_indices", boxes[0].extent(), batch.extent());
  }
}

void infer_crop_resize(Infer& c) {
  const Dims x = c.dims("x");
  if (x.size() != 4) c.reject("x", "rank {}, expected 4", x.size());
  sampling_mode(c, "sampling_mode");
  box_layout(c);
  const Dim height = target(c, "target_height");
  const Dim width = target(c, "target_width");
  if (uses_roi(c)) {
    const Dims roi = c.dims("roi");
    check_roi(c, roi);
    // With image indices the axis of images has extent 1, but models declare that of x.
    const bool all = (roi[2].known() && roi[2].extent() == 4) || (x[0].known() && x[0].extent() == 1);
    c.out(c.dtype("x"), {roi[0], all ? x[0] : Dim::unknown(), x[1], height, width});
  } else {
    const Dims boxes = c.dims("boxes");
    check_boxes(c, boxes, x[0]);
    c.out(c.dtype("x"), {boxes[0], x[1], height, width});
  }
}

struct Box {
  double top = 0, left = 0, bottom = 0, right = 0;
};

class Cropper {
 public:
  explicit Cropper(const Eval& c)
      : shape_(c.shape("x")),
        x_(c.doubles("x")),
        mode_(sampling_mode(c, "sampling_mode")),
        layout_(box_layout(c)),
        normalized_(c.boolean("normalized_coordinates")),
        scale_(c.number("spatial_scale")),
        pad_(c.number("pad_value")),
        height_(c.integer("target_height")),
        width_(c.integer("target_width")) {}

  // Appends the crop of one image, all channels.
  void crop(const double* coordinates, std::int64_t image, std::vector<double>& out) const {
    const Box box = box_of(coordinates);
    const std::vector<Point> rows = points(height_, box.top, box.bottom, shape_[2]);
    const std::vector<Point> columns = points(width_, box.left, box.right, shape_[3]);
    for (std::int64_t k = 0; k < shape_[1]; ++k) {
      const double* plane = x_.data() + (image * shape_[1] + k) * shape_[2] * shape_[3];
      for (const Point& row : rows) {
        for (const Point& column : columns) out.push_back(value(plane, row, column));
      }
    }
  }

 private:
  Box box_of(const double* v) const {
    const double down = scale_ * (normalized_ ? static_cast<double>(shape_[2] - 1) : 1);
    const double across = scale_ * (normalized_ ? static_cast<double>(shape_[3] - 1) : 1);
    const std::size_t y = layout_.height_first ? 0 : 1;
    const double a = v[y] * down, b = v[1 - y] * across, e = v[2 + y] * down, f = v[3 - y] * across;
    if (layout_.corners) return {a, b, e, f};
    return {a - e / 2, b - f / 2, a + e / 2, b + f / 2};
  }

  // A position on one axis: on the image, outside of it, or not a number.
  struct Point {
    enum { inside, outside, nowhere } place = inside;
    LinearTap tap;
  };
  std::vector<Point> points(std::int64_t count, double start, double end, std::int64_t extent) const {
    std::vector<Point> result(uz(count));
    for (std::int64_t i = 0; i < count; ++i) {
      const double at = grid_point(mode_, i, count, start, end);
      Point& point = result[uz(i)];
      if (std::isnan(at)) {
        point.place = Point::nowhere;
      } else if (at < 0 || at > static_cast<double>(extent - 1)) {
        point.place = Point::outside;
      } else {
        point.tap = linear_tap(at, extent);
      }
    }
    return result;
  }

  // Outside of the image lies the padding; a position that is not a number has no value.
  double value(const double* plane, const Point& y, const Point& x) const {
    if (y.place == Point::nowhere || x.place == Point::nowhere) return std::numeric_limits<double>::quiet_NaN();
    if (y.place == Point::outside || x.place == Point::outside) return pad_;
    const double* low = plane + y.tap.low * shape_[3];
    const double* high = plane + y.tap.high * shape_[3];
    return mix(mix(low[x.tap.low], low[x.tap.high], x.tap.share), mix(high[x.tap.low], high[x.tap.high], x.tap.share),
               y.tap.share);
  }

  const Shape& shape_;
  std::vector<double> x_;
  SamplingMode mode_;
  BoxLayout layout_;
  bool normalized_;
  double scale_, pad_;
  std::int64_t height_, width_;
};

std::int64_t image_index(const Eval& c, std::string_view param, double index, std::int64_t images) {
  if (!(index >= 0 && index < static_cast<double>(images))) c.reject(param, "image index {} is outside [0, {})", index, images);
  return static_cast<std::int64_t>(index);
}

void eval_crop_resize(Eval& c) {
  const Cropper cropper(c);
  const Shape& x = c.shape("x");
  const bool roi = uses_roi(c);
  const std::string_view param = roi ? "roi" : "boxes";
  const std::vector<double> boxes = c.doubles(param);
  const std::int64_t count = c.shape(param)[0];
  const std::int64_t row = c.shape(param)[roi ? 2 : 1];
  Shape shape{count, x[1], c.integer("target_height"), c.integer("target_width")};
  if (roi) shape.insert(shape.begin() + 1, row == 5 ? 1 : x[0]);
  std::vector<double> out;
  out.reserve(uz(element_count(shape)));
  const std::vector<double> indices = c.has("box_indices") ? c.doubles("box_indices") : std::vector<double>{};
  for (std::int64_t n = 0; n < count; ++n) {
    const double* box = boxes.data() + n * row;
    if (!roi) {
      const double index = indices.empty() ? static_cast<double>(n) : indices[uz(n)];
      cropper.crop(box, image_index(c, "box_indices", index, x[0]), out);
    } else if (row == 5) {
      cropper.crop(box + 1, image_index(c, "roi", box[0], x[0]), out);
    } else {
      for (std::int64_t b = 0; b < x[0]; ++b) cropper.crop(box, b, out);
    }
  }
  c.store(0, shape, out);
}

}  // namespace

TL_OP(crop) {
  op.in("x", dt::numeric | dt::boolean);
  op.in("crop_height", dt::ints).constant();
  op.in("crop_width", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims dims = c.dims("x");
    const std::size_t rank = dims.size();
    if (rank < 3) c.reject("x", "rank {}, expected 3 or more", rank);
    dims[rank - 2] = cropped(c, "crop_height", dims[rank - 2]);
    dims[rank - 1] = cropped(c, "crop_width", dims[rank - 1]);
    c.out(c.dtype("x"), std::move(dims));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    Tensor out(c.out_dtype(), c.out_shape());
    const std::int64_t width = x.shape().back(), height = x.shape()[x.rank() - 2];
    const std::int64_t top = crop_amounts(c, "crop_height", height)[0], left = crop_amounts(c, "crop_width", width)[0];
    const std::int64_t rows = out.shape()[x.rank() - 2];
    const std::size_t element = packed_bytes(x.dtype(), 1);
    const std::size_t line = uz(out.shape().back()) * element;
    std::byte* to = out.mutable_data();
    const std::int64_t planes = line == 0 || rows == 0 ? 0 : out.size() / (rows * out.shape().back());
    for (std::int64_t p = 0; p < planes; ++p) {
      for (std::int64_t h = 0; h < rows; ++h) {
        std::copy_n(x.data() + uz((p * height + top + h) * width + left) * element, line, to);
        to += line;
      }
    }
    c.set(0, std::move(out));
  };
}

TL_OP(crop_resize) {
  op.in("x", dt::floats);
  op.in("roi", dt::floats).optional();
  op.in("boxes", dt::floats | dt::ints).optional();
  op.in("box_indices", dt::ints).optional();
  op.in("target_height", dt::ints).constant().def(1);
  op.in("target_width", dt::ints).constant().def(1);
  op.in("normalized_coordinates", dt::boolean).constant().def(false);
  op.in("spatial_scale", dt::floats).constant().def(1.0);
  op.in("box_coordinate_mode", dt::string).constant().def("CORNERS_HEIGHT_FIRST");
  op.in("sampling_mode", dt::string).constant().def("DEFAULT");
  op.in("pad_value", dt::floats).constant().def(0.0);
  op.infer = infer_crop_resize;
  op.eval = eval_crop_resize;
}

}  // namespace tl::op
