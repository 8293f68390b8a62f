#include <algorithm>
#include <cmath>
#include <optional>

#include "ir/op_def.hpp"
#include "op/integers.hpp"

namespace tl::op {

using namespace ir;

namespace {

struct Ranked {
  double value;
  std::int64_t place;
};

// The first `count` of the `extent` places along an axis ordered by value, equal values by place; NaN counts as the largest.
void order(const double* values, std::int64_t extent, std::int64_t stride, bool ascending, std::int64_t count,
           std::vector<Ranked>& line) {
  line.resize(uz(extent));
  for (std::int64_t i = 0; i < extent; ++i) line[uz(i)] = {values[i * stride], i};
  const auto sort = [&](auto less) {
    const auto before = [&](const Ranked& a, const Ranked& b) {
      return less(a.value, b.value) || (!less(b.value, a.value) && a.place < b.place);
    };
    if (count < extent / 8) {
      std::partial_sort(line.begin(), line.begin() + count, line.end(), before);
    } else {
      std::sort(line.begin(), line.end(), before);
    }
  };
  const bool numbers = std::none_of(line.begin(), line.end(), [](const Ranked& r) { return std::isnan(r.value); });
  const auto with_nan = [](double a, double b) { return std::isnan(b) ? !std::isnan(a) : a < b; };
  if (ascending) {
    numbers ? sort([](double a, double b) { return a < b; }) : sort(with_nan);
  } else {
    numbers ? sort([](double a, double b) { return a > b; }) : sort([&](double a, double b) { return with_nan(b, a); });
  }
}

struct AxisWalk {
  std::int64_t extent, inner;
};

AxisWalk walk(const Shape& shape, std::size_t axis) {
  AxisWalk result{shape[axis], 1};
  for (std::size_t i = axis + 1; i < shape.size(); ++i) result.inner *= shape[i];
  return result;
}

}  // namespace

TL_OP(argsort) {
  op.in("x", dt::numeric);
  op.in("axis", dt::ints).constant().def(-1);
  op.in("ascending", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    c.axis("axis", c.rank("x"));
    c.out(DType::i32, c.dims("x"));
  };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    const auto [extent, inner] = walk(shape, uz(c.axis("axis", rank)));
    std::vector<std::int64_t> result(values.size());
    const bool ascending = c.boolean("ascending");
    std::vector<Ranked> line;
    for (std::int64_t block = 0; block < iz(values.size()); block += extent * inner) {
      for (std::int64_t i = 0; i < inner; ++i) {
        order(values.data() + block + i, extent, inner, ascending, extent, line);
        for (std::int64_t k = 0; k < extent; ++k) result[uz(block + i + k * inner)] = line[uz(k)].place;
      }
    }
    c.store(0, result);
  };
}

// `sort` leaves a runtime free to give any order; ours is sorted always.
TL_OP(topk) {
  op.in("x", dt::numeric);
  op.in("k", dt::ints).def(1);
  op.in("axis", dt::ints).constant().def(-1);
  op.in("ascending", dt::boolean).constant().def(false);
  op.in("sort", dt::boolean).constant().def(true);
  op.in("return_indices", dt::boolean).constant().def(true);
  op.in("output_indices_dtype", dt::string).constant().def("int32");
  op.infer = [](Infer& c) {
    Dims dims = c.dims("x");
    const std::size_t axis = uz(c.axis("axis", iz(dims.size())));
    const auto k = c.maybe_ints("k");
    if (!k) {
      dims[axis] = Dim::unknown();
    } else {
      const std::int64_t count = c.integer("k");
      if (count < -1 || (dims[axis].known() && count > dims[axis].extent()))
        c.reject("k", "{} of an axis of {}", count, to_string(dims));
      if (count != -1) dims[axis] = count;  // -1: all
    }
    const auto dtype = dtype_from_name(c.text("output_indices_dtype"));
    if (!dtype || !is_integer(*dtype))
      c.reject("output_indices_dtype", "'{}' is no integer type", c.text("output_indices_dtype"));
    const std::int64_t places = c.dims("x")[axis].known() ? c.dims("x")[axis].extent() : 0;
    if (c.boolean("return_indices") && places > 0 && wrapped(places - 1, *dtype) != places - 1)
      c.reject("output_indices_dtype", "{} cannot hold the places of an axis of {}", name(*dtype), places);
    c.out(c.dtype("x"), dims);
    if (c.boolean("return_indices")) c.out(*dtype, std::move(dims));
  };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    const std::size_t axis = uz(c.axis("axis", rank));
    const auto [extent, inner] = walk(shape, axis);
    const std::int64_t k = c.out_shape()[axis];
    const bool ascending = c.boolean("ascending");
    std::vector<double> best;
    std::vector<std::int64_t> where;
    const std::size_t count = uz(element_count(c.out_shape()));
    best.resize(count);
    where.resize(count);
    std::int64_t out = 0;
    std::vector<Ranked> line;
    for (std::int64_t block = 0; block < iz(values.size()); block += extent * inner, out += k * inner) {
      for (std::int64_t i = 0; i < inner; ++i) {
        order(values.data() + block + i, extent, inner, ascending, k, line);
        for (std::int64_t n = 0; n < k; ++n) {
          best[uz(out + i + n * inner)] = line[uz(n)].value;
          where[uz(out + i + n * inner)] = line[uz(n)].place;
        }
      }
    }
    c.store(0, best);
    if (c.boolean("return_indices")) c.store(1, where);
  };
}

// Indices of the elements that are not zero, [count, rank].
TL_OP(non_zero) {
  op.in("x", dt::numeric | dt::boolean);
  op.infer = [](Infer& c) { c.out(DType::i32, {Dim::unknown(), Dim(std::max<std::int64_t>(c.rank("x"), 1))}); };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    std::vector<std::int64_t> found;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] == 0) continue;
      const std::size_t first = found.size();
      std::int64_t rest = iz(i);
      for (std::size_t axis = shape.size(); axis-- > 0;) {
        found.push_back(rest % shape[axis]);
        rest /= shape[axis];
      }
      if (shape.empty()) found.push_back(0);
      std::reverse(found.begin() + iz(first), found.end());
    }
    const std::int64_t columns = std::max<std::int64_t>(iz(shape.size()), 1);
    c.store(0, {iz(found.size()) / columns, columns}, std::span<const std::int64_t>(found));
  };
}

namespace {

// (n, rows, columns) as (n, columns, rows).
std::vector<double> swapped(const std::vector<double>& values, std::int64_t n, std::int64_t rows, std::int64_t columns) {
  std::vector<double> result(values.size());
  for (std::int64_t b = 0; b < n; ++b) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < columns; ++k)
        result[uz((b * columns + k) * rows + r)] = values[uz((b * rows + r) * columns + k)];
    }
  }
  return result;
}

// iOS 17's form has no score_threshold, keeps the boxes in the last axis, and gives no counts.
bool boxes_last(const OpView& c) { return !c.has("score_threshold"); }

}  // namespace

// boxes [n, b, 4] as (centre x, centre y, width, height), scores [n, b, classes] -> the first max_boxes kept boxes, their
// scores, their indices (-1 where there are fewer) and how many there are. The best box is kept even below the threshold.
TL_OP(non_maximum_suppression) {
  op.in("boxes", dt::floats);
  op.in("scores", dt::floats);
  op.in("iou_threshold", dt::floats).constant();
  op.in("score_threshold", dt::floats).constant().optional();
  op.in("max_boxes", dt::ints).constant();
  op.in("per_class_suppression", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    Dims boxes = c.dims("boxes"), scores = c.dims("scores");
    const bool last = boxes_last(c);
    const char* order = last ? "[n, 4, boxes]" : "[n, boxes, 4]";
    if (boxes.size() != 3) c.reject("boxes", "expected {}, got {}", order, to_string(boxes));
    if (scores.size() != 3) c.reject("scores", "expected rank 3, got {}", to_string(scores));
    if (last) std::swap(boxes[1], boxes[2]), std::swap(scores[1], scores[2]);
    if (boxes[2].known() && boxes[2].extent() != 4) c.reject("boxes", "expected {}, got {}", order, to_string(c.dims("boxes")));
    for (std::size_t i = 0; i < 2; ++i) {
      if (boxes[i].known() && scores[i].known() && boxes[i] != scores[i])
        c.reject("scores", "shape {} does not match boxes {}", to_string(c.dims("scores")), to_string(c.dims("boxes")));
    }
    const std::int64_t most = c.integer("max_boxes");
    if (most < 0 || most > (1 << 24)) c.reject("max_boxes", "{} boxes", most);
    c.out(c.dtype("boxes"), last ? Dims{boxes[0], 4, most} : Dims{boxes[0], most, 4});
    c.out(c.dtype("scores"), last ? Dims{scores[0], scores[2], most} : Dims{scores[0], most, scores[2]});
    c.out(DType::i32, {boxes[0], most});
    if (!last) c.out(DType::i32, {boxes[0]});
  };
  op.eval = [](Eval& c) {
    auto boxes = c.doubles("boxes");
    auto scores = c.doubles("scores");
    const bool last = boxes_last(c);
    const Shape& shape = c.shape("scores");
    const std::int64_t n = shape[0], count = shape[last ? 2 : 1], classes = shape[last ? 1 : 2];
    if (last) boxes = swapped(boxes, n, 4, count), scores = swapped(scores, n, classes, count);
    const std::int64_t most = c.integer("max_boxes");
    const double iou_threshold = c.number("iou_threshold");
    const double score_threshold = last ? -INFINITY : c.number("score_threshold");
    const bool per_class = c.boolean("per_class_suppression");
    std::vector<double> kept_boxes(uz(n * most * 4), 0), kept_scores(uz(n * most * classes), 0);
    std::vector<std::int64_t> kept(uz(n * most), -1), counts(uz(n), 0);
    for (std::int64_t b = 0; b < n; ++b) {
      struct Candidate {
        std::int64_t box, label;
        double score;
      };
      std::vector<Candidate> candidates;
      std::optional<Candidate> best;
      for (std::int64_t i = 0; i < count && classes != 0; ++i) {
        const double* row = scores.data() + (b * count + i) * classes;
        const std::int64_t label = std::max_element(row, row + classes) - row;
        if (row[label] > score_threshold) candidates.push_back({i, label, row[label]});
        if (!best || row[label] > best->score) best = Candidate{i, label, row[label]};
      }
      if (candidates.empty() && best) candidates.push_back(*best);
      std::stable_sort(candidates.begin(), candidates.end(),
                       [](const Candidate& x, const Candidate& y) { return x.score > y.score; });
      const auto overlap = [&](std::int64_t i, std::int64_t k) {
        const double* p = boxes.data() + (b * count + i) * 4;
        const double* q = boxes.data() + (b * count + k) * 4;
        const double width = std::min(p[0] + p[2] / 2, q[0] + q[2] / 2) - std::max(p[0] - p[2] / 2, q[0] - q[2] / 2);
        const double height = std::min(p[1] + p[3] / 2, q[1] + q[3] / 2) - std::max(p[1] - p[3] / 2, q[1] - q[3] / 2);
        const double shared = std::max(width, 0.0) * std::max(height, 0.0);
        const double whole = p[2] * p[3] + q[2] * q[3] - shared;
        return whole > 0 ? shared / whole : 0;
      };
      std::vector<Candidate> chosen;
      for (const Candidate& candidate : candidates) {
        if (iz(chosen.size()) == most) break;
        const bool suppressed = std::any_of(chosen.begin(), chosen.end(), [&](const Candidate& other) {
          return (!per_class || other.label == candidate.label) && overlap(other.box, candidate.box) > iou_threshold;
        });
        if (!suppressed) chosen.push_back(candidate);
      }
      counts[uz(b)] = iz(chosen.size());
      for (std::size_t i = 0; i < chosen.size(); ++i) {
        const std::int64_t from = b * count + chosen[i].box;
        const std::int64_t to = b * most + iz(i);
        std::copy_n(boxes.begin() + from * 4, 4, kept_boxes.begin() + to * 4);
        std::copy_n(scores.begin() + from * classes, classes, kept_scores.begin() + to * classes);
        kept[uz(to)] = chosen[i].box;
      }
    }
    c.store(0, last ? swapped(kept_boxes, n, most, 4) : kept_boxes);
    c.store(1, last ? swapped(kept_scores, n, most, classes) : kept_scores);
    c.store(2, kept);
    if (!last) c.store(3, counts);
  };
}

// The label of the largest probability, and all probabilities by label.
TL_OP(classify) {
  op.in("probabilities", dt::floats);
  op.in("classes", dt::any).any_kind();
  op.infer = [](Infer& c) {
    const Type classes = c.type("classes");
    const Type& element = classes.as<ListType>() != nullptr ? *classes.as<ListType>()->element : classes;
    const Type label(element.tensor().dtype, {});
    c.out(label);
    c.out(DictType{std::make_shared<const Type>(label), std::make_shared<const Type>(DType::f64, Dims{})});
  };
  op.eval = [](Eval& c) {
    std::vector<Value> labels;
    const Value& classes = c.value("classes");
    if (classes.is_list()) {
      labels = classes.list().items;
    } else {
      const Tensor& all = classes.tensor();
      for (std::int64_t i = 0; i < all.size(); ++i) {
        labels.emplace_back(all.dtype() == DType::string ? Tensor::scalar(all.strings()[uz(i)])
                                                         : Tensor::scalar(all.integer_at(i)).cast(all.dtype()));
      }
    }
    const auto probabilities = c.doubles("probabilities");
    if (labels.size() != probabilities.size() || labels.empty())
      c.reject("classes", "{} labels for {} probabilities", labels.size(), probabilities.size());
    Dict dict;
    for (std::size_t i = 0; i < labels.size(); ++i) dict.items.emplace_back(labels[i], Tensor::scalar(probabilities[i]));
    // NaN is the best, as of reduce_argmax.
    const auto less = [](double a, double b) { return !std::isnan(a) && (std::isnan(b) || a < b); };
    const auto best = std::max_element(probabilities.begin(), probabilities.end(), less) - probabilities.begin();
    c.set(0, labels[uz(best)]);
    c.set(1, std::move(dict));
  };
}

}  // namespace tl::op
