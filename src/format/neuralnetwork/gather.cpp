#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

const char* mode_of(spec::ScatterMode mode) {
  switch (mode) {
    case spec::SCATTER_UPDATE: return "update";
    case spec::SCATTER_ADD: return "add";
    case spec::SCATTER_SUB: return "sub";
    case spec::SCATTER_MUL: return "mul";
    case spec::SCATTER_DIV: return "div";
    case spec::SCATTER_MAX: return "max";
    case spec::SCATTER_MIN: return "min";
    default: fail(ErrorKind::unsupported, "scatter mode {} is not known", static_cast<int>(mode));
  }
}

Args scatter_args(Layer& layer, spec::ScatterMode mode) {
  return {{"data", layer.x()}, {"indices", layer.e.to_int(layer.x(1))}, {"updates", layer.x(2)}, {"mode", mode_of(mode)}};
}

}  // namespace

void translate(Layer& layer, const spec::GatherLayerParams& params) {
  layer.put(layer.e.op("gather", {{"x", layer.x()}, {"indices", layer.e.to_int(layer.x(1))}, {"axis", params.axis()}}));
}

void translate(Layer& layer, const spec::GatherNDLayerParams&) {
  layer.put(layer.e.op("gather_nd", {{"x", layer.x()}, {"indices", layer.e.to_int(layer.x(1))}}));
}

void translate(Layer& layer, const spec::GatherAlongAxisLayerParams& params) {
  layer.put(
      layer.e.op("gather_along_axis", {{"x", layer.x()}, {"indices", layer.e.to_int(layer.x(1))}, {"axis", params.axis()}}));
}

void translate(Layer& layer, const spec::ScatterLayerParams& params) {
  Args args = scatter_args(layer, params.mode());
  args.emplace_back("axis", params.axis());
  layer.put(layer.e.op("scatter", args));
}

void translate(Layer& layer, const spec::ScatterNDLayerParams& params) {
  layer.put(layer.e.op("scatter_nd", scatter_args(layer, params.mode())));
}

void translate(Layer& layer, const spec::ScatterAlongAxisLayerParams& params) {
  Args args = scatter_args(layer, params.mode());
  args.emplace_back("axis", params.axis());
  layer.put(layer.e.op("scatter_along_axis", args));
}

}  // namespace tl::format::nn
