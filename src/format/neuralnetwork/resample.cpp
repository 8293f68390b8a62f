#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

const char* mode_of(const spec::SamplingMode& mode) {
  switch (mode.samplingmethod()) {
    case spec::SamplingMode::STRICT_ALIGN_ENDPOINTS_MODE: return "STRICT_ALIGN_CORNERS";
    case spec::SamplingMode::ALIGN_ENDPOINTS_MODE: return "ALIGN_CORNERS";
    case spec::SamplingMode::UPSAMPLE_MODE: return "DEFAULT";
    case spec::SamplingMode::ROI_ALIGN_MODE: return "OFFSET_CORNERS";
    default: fail(ErrorKind::unsupported, "sampling method {} is not known", static_cast<int>(mode.samplingmethod()));
  }
}

std::pair<std::int64_t, std::int64_t> target(Layer& layer, const google::protobuf::RepeatedField<std::uint64_t>& size) {
  if (size.size() == 0) return {1, 1};
  if (size.size() != 2) fail(ErrorKind::bad_model, "targetSize has {} extents, expected 2", size.size());
  return {layer.count(size[0], "targetSize"), layer.count(size[1], "targetSize")};
}

}  // namespace

void translate(Layer& layer, const spec::UpsampleLayerParams& params) {
  using Params = spec::UpsampleLayerParams;
  Emitter& e = layer.e;
  Args args{{"x", e.gathered(layer.x(), 3)}};
  if (params.fractionalscalingfactor_size() == 2) {
    args.emplace_back("scale_factor_height", params.fractionalscalingfactor(0));
    args.emplace_back("scale_factor_width", params.fractionalscalingfactor(1));
  } else if (params.fractionalscalingfactor_size() == 0 && params.scalingfactor_size() == 2) {
    args.emplace_back("scale_factor_height", layer.count(params.scalingfactor(0), "scalingFactor"));
    args.emplace_back("scale_factor_width", layer.count(params.scalingfactor(1), "scalingFactor"));
  } else {
    fail(ErrorKind::bad_model, "{} scaling factors, expected 2",
         params.scalingfactor_size() + params.fractionalscalingfactor_size());
  }
  const bool nearest = params.mode() == Params::NN;
  if (!nearest) {
    const bool align = params.linearupsamplemode() == Params::ALIGN_CORNERS_TRUE;
    args.emplace_back("align_corners", align);
    if (!align) args.emplace_back("half_pixel_centers", params.linearupsamplemode() == Params::ALIGN_CORNERS_FALSE);
  }
  layer.put(e.spread(e.op(nearest ? "upsample_nearest_neighbor" : "upsample_bilinear", args), layer.x(), 3));
}

void translate(Layer& layer, const spec::ResizeBilinearLayerParams& params) {
  Emitter& e = layer.e;
  const auto [height, width] = target(layer, params.targetsize());
  const Blob y = e.op("resize_bilinear", {{"x", e.gathered(layer.x(), 3)},
                                          {"target_size_height", height},
                                          {"target_size_width", width},
                                          {"sampling_mode", mode_of(params.mode())}});
  layer.put(e.spread(y, layer.x(), 3));
}

// Images (1, batch, channel, height, width) and regions (n, 1, 4 or 5, 1, 1) give (n, batch or 1, channel, height, width).
void translate(Layer& layer, const spec::CropResizeLayerParams& params) {
  Emitter& e = layer.e;
  const auto [height, width] = target(layer, params.targetsize());
  const char* box = "";
  switch (params.boxindicesmode().boxmode()) {
    case spec::BoxCoordinatesMode::CORNERS_HEIGHT_FIRST: box = "CORNERS_HEIGHT_FIRST"; break;
    case spec::BoxCoordinatesMode::CORNERS_WIDTH_FIRST: box = "CORNERS_WIDTH_FIRST"; break;
    case spec::BoxCoordinatesMode::CENTER_SIZE_HEIGHT_FIRST: box = "CENTER_SIZE_HEIGHT_FIRST"; break;
    case spec::BoxCoordinatesMode::CENTER_SIZE_WIDTH_FIRST: box = "CENTER_SIZE_WIDTH_FIRST"; break;
    default: fail(ErrorKind::unsupported, "box mode {} is not known", static_cast<int>(params.boxindicesmode().boxmode()));
  }
  Blob roi = layer.x(1);
  if (rank_of(roi) == 4) roi = e.expand(roi, {1});
  if (rank_of(layer.x()) == 5 && dims_of(layer.x())[0] != ir::Dim(1))
    fail(ErrorKind::bad_model, "the first axis of the images is not of extent 1");
  layer.put(e.op("crop_resize", {{"x", e.gathered(layer.x(), 3)},
                                 {"roi", roi},
                                 {"target_height", height},
                                 {"target_width", width},
                                 {"normalized_coordinates", params.normalizedcoordinates()},
                                 {"spatial_scale", params.spatialscale()},
                                 {"box_coordinate_mode", box},
                                 {"sampling_mode", mode_of(params.mode())}}));
}

void translate(Layer& layer, const spec::ReorganizeDataLayerParams& params) {
  using Params = spec::ReorganizeDataLayerParams;
  Emitter& e = layer.e;
  const std::int64_t block = layer.count(params.blocksize(), "blockSize");
  const Blob x = e.gathered(layer.x(), 3);
  Blob y;
  switch (params.mode()) {
    case Params::SPACE_TO_DEPTH: y = e.op("space_to_depth", {{"x", x}, {"block_size", block}}); break;
    case Params::DEPTH_TO_SPACE: y = e.op("depth_to_space", {{"x", x}, {"block_size", block}}); break;
    case Params::PIXEL_SHUFFLE: y = e.op("pixel_shuffle", {{"x", x}, {"upscale_factor", block}}); break;
    default: fail(ErrorKind::unsupported, "mode {} is not known", static_cast<int>(params.mode()));
  }
  layer.put(e.spread(y, layer.x(), 3));
}

}  // namespace tl::format::nn
