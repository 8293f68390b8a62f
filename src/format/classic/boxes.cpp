#include <cmath>

#include "format/classic/stage.hpp"

namespace tl::format::classic {

// Thresholds that the caller leaves out arrive as NaN.
void translate(Stage& stage, const spec::NonMaximumSuppression& params) {
  Emitter& e = stage.e;
  const auto threshold = [&](const std::string& name) {
    if (name.empty() || stage.in.count(name) == 0) return number(std::nan(""));
    return e.scalar(e.cast(stage.x(name), DType::f64));
  };
  const auto rows = [&](const std::string& name) {
    const Blob x = e.cast(stage.x(name), DType::f64);
    // One image in front is taken as well.
    const bool batch = nn::rank_of(x) == 3 && nn::dims_of(x)[0] == ir::Dim(1);
    return batch ? e.squeeze(x, {0}) : x;
  };
  const auto kept = e.ops("tl.pick_boxes", {{"confidence", rows(params.confidenceinputfeaturename())},
                                            {"coordinates", rows(params.coordinatesinputfeaturename())},
                                            {"confidence_threshold", threshold(params.confidencethresholdinputfeaturename())},
                                            {"iou_threshold", threshold(params.iouthresholdinputfeaturename())},
                                            {"default_confidence", number(params.confidencethreshold())},
                                            {"default_iou", number(params.iouthreshold())},
                                            {"per_class", params.picktop().perclass()}});
  stage.put(params.confidenceoutputfeaturename(), kept[0]);
  stage.put(params.coordinatesoutputfeaturename(), kept[1]);
}

}  // namespace tl::format::classic
