#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

template <class Params>
void reduce(Layer& layer, std::string_view type, const Params& params) {
  Args args{{"x", layer.x()}, {"keep_dims", params.keepdims()}};
  if (!params.reduceall() && params.axes_size() != 0) args.emplace_back("axes", list_of(params.axes()));
  layer.put(layer.e.op(type, args));
}

template <class Params>
void arg_reduce(Layer& layer, std::string_view type, const Params& params) {
  layer.put(layer.e.op(type, {{"x", layer.x()}, {"axis", params.axis()}, {"keep_dims", !params.removedim()}}));
}

}  // namespace

#define TL_REDUCE(Params, type) \
  void translate(Layer& layer, const spec::Params& params) { reduce(layer, type, params); }
#include "format/neuralnetwork/reduce.inc"

void translate(Layer& layer, const spec::ArgMaxLayerParams& params) { arg_reduce(layer, "reduce_argmax", params); }
void translate(Layer& layer, const spec::ArgMinLayerParams& params) { arg_reduce(layer, "reduce_argmin", params); }

// Over named axes, which stay with extent 1.
void translate(Layer& layer, const spec::ReduceLayerParams& params) {
  using Params = spec::ReduceLayerParams;
  Emitter& e = layer.e;
  Ints axes;
  switch (params.axis()) {
    case Params::CHW: axes = {-3, -2, -1}; break;
    case Params::HW: axes = {-2, -1}; break;
    case Params::C: axes = {-3}; break;
    case Params::H: axes = {-2}; break;
    case Params::W: axes = {-1}; break;
    default: fail(ErrorKind::unsupported, "axis {} is not known", static_cast<int>(params.axis()));
  }
  const auto over = [&](std::string_view type, const Blob& x) {
    return e.op(type, {{"x", x}, {"axes", axes}, {"keep_dims", true}});
  };
  layer.put(e.mapped(layer.x(), [&](const Blob& x) {
    switch (params.mode()) {
      case Params::SUM: return over("reduce_sum", x);
      case Params::AVG: return over("reduce_mean", x);
      case Params::PROD: return over("reduce_prod", x);
      case Params::LOGSUM: return over("reduce_sum", e.op("log", {{"x", x}, {"epsilon", params.epsilon()}}));
      case Params::SUMSQUARE: return over("reduce_sum_square", x);
      case Params::L1: return over("reduce_l1_norm", x);
      case Params::L2: return over("reduce_l2_norm", x);
      case Params::MAX: return over("reduce_max", x);
      case Params::MIN: return over("reduce_min", x);
      case Params::ARGMAX:
        if (axes.size() != 1) fail(ErrorKind::bad_model, "the place of a maximum over several axes");
        return e.to_float(e.op("reduce_argmax", {{"x", x}, {"axis", axes[0]}, {"keep_dims", true}}));
      default: fail(ErrorKind::unsupported, "mode {} is not known", static_cast<int>(params.mode()));
    }
  }));
}

}  // namespace tl::format::nn
