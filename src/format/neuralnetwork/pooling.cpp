#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

Ints last_axes(std::int64_t rank, std::int64_t count) {
  Ints axes;
  for (std::int64_t i = rank - count; i < rank; ++i) axes.push_back(i);
  return axes;
}

void pool(Layer& layer, std::string_view type, Args args, std::int64_t inner) {
  args.emplace_back("x", layer.e.gathered(layer.x(), inner));
  layer.put(layer.e.spread(layer.e.op(type, args), layer.x(), inner));
}

// Over the last `axes` axes, which stay with extent 1.
void global_pool(Layer& layer, std::string_view reduction, std::int64_t axes) {
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) {
    if (rank_of(x) < axes) fail(ErrorKind::bad_model, "rank {}, at least {} is expected", rank_of(x), axes);
    return layer.e.op(reduction, {{"x", x}, {"axes", last_axes(rank_of(x), axes)}, {"keep_dims", true}});
  }));
}

}  // namespace

void translate(Layer& layer, const spec::PoolingLayerParams& params) {
  using Params = spec::PoolingLayerParams;
  if (params.globalpooling()) {
    return global_pool(layer,
                       params.type() == Params::MAX       ? "reduce_max"
                       : params.type() == Params::AVERAGE ? "reduce_mean"
                                                          : "reduce_l2_norm",
                       2);
  }
  const auto two = [](const auto& values, std::int64_t fallback, const char* what) {
    if (values.size() == 0) return Ints{fallback, fallback};
    if (values.size() != 2) fail(ErrorKind::bad_model, "{}: {} values, expected 2", what, values.size());
    return list_of(values);
  };
  Args args{{"kernel_sizes", two(params.kernelsize(), 3, "kernelSize")}, {"strides", two(params.stride(), 1, "stride")}};
  Ints pad{0, 0, 0, 0};
  if (params.has_same()) {
    args.emplace_back("pad_type", params.same().asymmetrymode() == spec::SamePadding::TOP_LEFT_HEAVY ? "same_lower" : "same");
  } else if (params.has_includelastpixel()) {
    const Ints amounts = two(params.includelastpixel().paddingamounts(), 0, "paddingAmounts");
    pad = {amounts[0], amounts[0], amounts[1], amounts[1]};
    args.emplace_back("ceil_mode", true);
  } else if (const auto& amounts = params.valid().paddingamounts().borderamounts(); amounts.size() != 0) {
    if (amounts.size() != 2) fail(ErrorKind::bad_model, "{} padding amounts, expected 2", amounts.size());
    pad.clear();
    for (const auto& edge : amounts) {
      pad.push_back(checked_cast<std::int64_t>(edge.startedgesize(), "padding"));
      pad.push_back(checked_cast<std::int64_t>(edge.endedgesize(), "padding"));
    }
  }
  if (!params.has_same()) {
    args.emplace_back("pad_type", "custom");
    args.emplace_back("pad", pad);
  }
  if (params.type() == Params::AVERAGE) args.emplace_back("exclude_padding_from_average", params.avgpoolexcludepadding());
  const char* type = params.type() == Params::MAX ? "max_pool" : params.type() == Params::AVERAGE ? "avg_pool" : "l2_pool";
  pool(layer, type, std::move(args), 3);
}

void translate(Layer& layer, const spec::Pooling3DLayerParams& params) {
  using Params = spec::Pooling3DLayerParams;
  const auto or_one = [](std::int64_t value) { return value == 0 ? 1 : value; };
  Args args{{"kernel_sizes", Ints{params.kerneldepth(), params.kernelheight(), params.kernelwidth()}},
            {"strides", Ints{or_one(params.stridedepth()), or_one(params.strideheight()), or_one(params.stridewidth())}}};
  if (params.paddingtype() == Params::SAME) {
    args.emplace_back("pad_type", "same");
  } else if (params.paddingtype() == Params::CUSTOM) {
    args.emplace_back("pad_type", "custom");
    args.emplace_back("pad", Ints{params.custompaddingfront(), params.custompaddingback(), params.custompaddingtop(),
                                  params.custompaddingbottom(), params.custompaddingleft(), params.custompaddingright()});
  }
  const bool average = params.type() == Params::AVERAGE;
  if (average) args.emplace_back("exclude_padding_from_average", params.countexcludepadding());
  pool(layer, average ? "avg_pool" : "max_pool", std::move(args), 4);
}

void translate(Layer& layer, const spec::GlobalPooling3DLayerParams& params) {
  global_pool(layer, params.type() == spec::GlobalPooling3DLayerParams::AVERAGE ? "reduce_mean" : "reduce_max", 3);
}

}  // namespace tl::format::nn
