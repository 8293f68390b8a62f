#include <algorithm>
#include <cmath>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

// Shared over whole area of two boxes (center x, center y, width, height).
double overlap(const double* p, const double* q) {
  const double width = std::min(p[0] + p[2] / 2, q[0] + q[2] / 2) - std::max(p[0] - p[2] / 2, q[0] - q[2] / 2);
  const double height = std::min(p[1] + p[3] / 2, q[1] + q[3] / 2) - std::max(p[1] - p[3] / 2, q[1] - q[3] / 2);
  const double shared = std::max(width, 0.0) * std::max(height, 0.0);
  const double whole = p[2] * p[3] + q[2] * q[3] - shared;
  return whole > 0 ? shared / whole : 0;
}

}  // namespace

// Boxes [n, 4] and their confidence [n, classes]: those whose best class reaches `confidence_threshold`, best first, without
// those that overlap a better one (of the same class with `per_class`) by more than `iou_threshold`. Thresholds that are no
// numbers leave theirs to `default_confidence` and `default_iou`.
TL_OP(tl_pick_boxes) {
  constexpr DTypeSet f64 = dt::of(DType::f64);
  op.in("confidence", f64);
  op.in("coordinates", f64);
  op.in("confidence_threshold", f64);
  op.in("iou_threshold", f64);
  op.in("default_confidence", f64).constant();
  op.in("default_iou", f64).constant();
  op.in("per_class", dt::boolean).constant();
  op.infer = [](Infer& c) {
    const Dims confidence = c.dims("confidence"), coordinates = c.dims("coordinates");
    if (confidence.size() != 2) c.reject("confidence", "shape {}, expected [boxes, classes]", to_string(confidence));
    if (coordinates.size() != 2 || (coordinates[1].known() && coordinates[1].extent() != 4))
      c.reject("coordinates", "shape {}, expected [boxes, 4]", to_string(coordinates));
    if (confidence[0].known() && coordinates[0].known() && confidence[0] != coordinates[0])
      c.reject("coordinates", "{} boxes, confidence has {}", coordinates[0].extent(), confidence[0].extent());
    c.out(DType::f64, {Dim::unknown(), confidence[1]});
    c.out(DType::f64, {Dim::unknown(), 4});
  };
  op.eval = [](Eval& c) {
    const std::vector<double> confidence = c.doubles("confidence"), coordinates = c.doubles("coordinates");
    const std::int64_t boxes = c.shape("confidence")[0], classes = c.shape("confidence")[1];
    const auto given = [&](std::string_view param, std::string_view fallback) {
      const double value = c.number(param);
      return std::isnan(value) ? c.number(fallback) : value;
    };
    const double least = given("confidence_threshold", "default_confidence"), most = given("iou_threshold", "default_iou");
    const bool per_class = c.boolean("per_class");
    struct Candidate {
      std::int64_t box, label;
      double score;
    };
    std::vector<Candidate> candidates, chosen;
    for (std::int64_t i = 0; i < boxes && classes != 0; ++i) {
      const double* row = confidence.data() + i * classes;
      const std::int64_t label = std::max_element(row, row + classes) - row;
      if (row[label] >= least) candidates.push_back({i, label, row[label]});
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    for (const Candidate& candidate : candidates) {
      const bool covered = std::any_of(chosen.begin(), chosen.end(), [&](const Candidate& better) {
        return (!per_class || better.label == candidate.label) &&
               overlap(coordinates.data() + better.box * 4, coordinates.data() + candidate.box * 4) > most;
      });
      if (!covered) chosen.push_back(candidate);
    }
    std::vector<double> scores, places;
    for (const Candidate& kept : chosen) {
      scores.insert(scores.end(), confidence.begin() + kept.box * classes, confidence.begin() + (kept.box + 1) * classes);
      places.insert(places.end(), coordinates.begin() + kept.box * 4, coordinates.begin() + (kept.box + 1) * 4);
    }
    c.store(0, {iz(chosen.size()), classes}, std::span<const double>(scores));
    c.store(1, {iz(chosen.size()), 4}, std::span<const double>(places));
  };
}

}  // namespace tl::op
