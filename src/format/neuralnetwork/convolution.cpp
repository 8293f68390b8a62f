#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

// Two numbers for height and width; the default when the file gives none.
template <class Repeated>
Ints pair_of(const Repeated& values, std::int64_t fallback, const char* what) {
  if (values.size() == 0) return {fallback, fallback};
  if (values.size() != 2) fail(ErrorKind::bad_model, "{}: {} values, expected 2", what, values.size());
  return list_of(values);
}

std::int64_t or_one(std::int64_t value) { return value == 0 ? 1 : value; }

// What convolutions of two and three axes share, once their messages are read.
struct Convolution {
  Ints kernel, strides, dilations, pad, output;
  std::string pad_type;
  std::int64_t in_channels = 0, out_channels = 0, groups = 1;  // in: per group, of a deconvolution all of them
  bool transposed = false;
  bool has_bias = false;
};

void emit(Layer& layer, const Convolution& c, const spec::WeightParams& weights, const spec::WeightParams& bias) {
  const auto inner = iz(c.kernel.size()) + 1;
  if (c.groups < 1 || c.out_channels % c.groups != 0) {
    fail(ErrorKind::bad_model, "{} groups for {} output channels", c.groups, c.out_channels);
  }
  Shape shape = c.transposed ? Shape{c.in_channels, c.out_channels / c.groups} : Shape{c.out_channels, c.in_channels};
  shape.insert(shape.end(), c.kernel.begin(), c.kernel.end());
  const Blob x = layer.e.gathered(layer.x(), inner);
  const Blob weight = layer.in.size() > 1 ? layer.x(1) : layer.weight(weights, shape, "weights", c.transposed ? 1 : 0);
  const std::optional<Blob> shift = layer.maybe(c.has_bias, bias, {c.out_channels}, "bias");
  Args args{{"x", x},
            {"weight", weight},
            {"bias", shift},
            {"strides", c.strides},
            {"dilations", c.dilations},
            {"groups", c.groups},
            {"pad_type", c.pad_type}};
  if (c.pad_type == "custom") args.emplace_back("pad", c.pad);
  if (c.transposed && !c.output.empty()) {
    // Without the batch and the channels where the batch may be of any size.
    Ints full;
    if (const ir::Dim batch = dims_of(x)[0]; batch.known()) full = {batch.extent(), c.out_channels};
    full.insert(full.end(), c.output.begin(), c.output.end());
    args.emplace_back("output_shape", full);
  }
  layer.put(layer.e.spread(layer.e.op(c.transposed ? "conv_transpose" : "conv", args), layer.x(), inner));
}

}  // namespace

void translate(Layer& layer, const spec::ConvolutionLayerParams& params) {
  Convolution c;
  c.kernel = pair_of(params.kernelsize(), 3, "kernelSize");
  for (const std::int64_t extent : c.kernel) {
    if (extent < 1) fail(ErrorKind::bad_model, "a kernel extent of {}", extent);
  }
  c.strides = pair_of(params.stride(), 1, "stride");
  c.dilations = pair_of(params.dilationfactor(), 1, "dilationFactor");
  c.groups = or_one(checked_cast<std::int64_t>(params.ngroups(), "nGroups"));
  c.in_channels = layer.count(params.kernelchannels(), "kernelChannels");
  c.out_channels = layer.count(params.outputchannels(), "outputChannels");
  c.transposed = params.isdeconvolution();
  c.has_bias = params.hasbias();
  c.pad_type = "valid";
  if (params.has_same()) {
    c.pad_type = params.same().asymmetrymode() == spec::SamePadding::TOP_LEFT_HEAVY ? "same_lower" : "same";
  } else if (const auto& amounts = params.valid().paddingamounts().borderamounts(); amounts.size() != 0) {
    if (amounts.size() != 2) fail(ErrorKind::bad_model, "{} padding amounts, expected 2", amounts.size());
    for (const auto& edge : amounts) {
      c.pad.push_back(checked_cast<std::int64_t>(edge.startedgesize(), "padding"));
      c.pad.push_back(checked_cast<std::int64_t>(edge.endedgesize(), "padding"));
    }
    c.pad_type = c.pad == Ints{0, 0, 0, 0} ? "valid" : "custom";
  }
  if (params.outputshape_size() != 0) c.output = pair_of(params.outputshape(), 0, "outputShape");
  emit(layer, c, params.weights(), params.bias());
}

void translate(Layer& layer, const spec::Convolution3DLayerParams& params) {
  Convolution c;
  c.kernel = {params.kerneldepth(), params.kernelheight(), params.kernelwidth()};
  for (const std::int64_t extent : c.kernel) {
    if (extent < 1) fail(ErrorKind::bad_model, "a kernel extent of {}", extent);
  }
  c.strides = {or_one(params.stridedepth()), or_one(params.strideheight()), or_one(params.stridewidth())};
  c.dilations = {or_one(params.dilationdepth()), or_one(params.dilationheight()), or_one(params.dilationwidth())};
  c.groups = or_one(params.ngroups());
  if (params.inputchannels() < 1 || params.outputchannels() < 1 || c.groups < 1 || params.inputchannels() % c.groups != 0) {
    fail(ErrorKind::bad_model, "{} input and {} output channels in {} groups", params.inputchannels(), params.outputchannels(),
         c.groups);
  }
  c.transposed = params.isdeconvolution();
  c.in_channels = c.transposed ? params.inputchannels() : params.inputchannels() / c.groups;
  c.out_channels = params.outputchannels();
  c.has_bias = params.hasbias();
  switch (params.paddingtype()) {
    case spec::Convolution3DLayerParams::CUSTOM:
      c.pad_type = "custom";
      c.pad = {params.custompaddingfront(),  params.custompaddingback(), params.custompaddingtop(),
               params.custompaddingbottom(), params.custompaddingleft(), params.custompaddingright()};
      break;
    case spec::Convolution3DLayerParams::SAME: c.pad_type = "same"; break;
    default: c.pad_type = "valid";
  }
  if (params.outputshape_size() != 0) {
    if (params.outputshape_size() != 3)
      fail(ErrorKind::bad_model, "outputShape: {} values, expected 3", params.outputshape_size());
    c.output = list_of(params.outputshape());
  }
  emit(layer, c, params.weights(), params.bias());
}

}  // namespace tl::format::nn
