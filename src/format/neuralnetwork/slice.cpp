#include <algorithm>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

std::vector<bool> masks(Layer& layer, std::size_t input, std::vector<bool> fallback) {
  if (layer.in.size() <= input) return fallback;
  const Tensor value = known(layer.x(input));
  if (!value.defined()) fail(ErrorKind::unsupported, "a mask depends on data");
  std::vector<bool> result;
  for (std::int64_t i = 0; i < value.size(); ++i) result.push_back(value.number_at(i) != 0);
  return result;
}

// Flags that say something; files may hold more of them than the input has axes.
std::optional<std::vector<bool>> some(std::vector<bool> flags, std::int64_t rank) {
  if (iz(flags.size()) > rank) flags.resize(uz(rank));
  if (std::none_of(flags.begin(), flags.end(), [](bool f) { return f; })) return std::nullopt;
  return flags;
}

void slice(Layer& layer, const Blob& begin, const Blob& end, const Blob& stride, const std::vector<bool>& begin_mask,
           const std::vector<bool>& end_mask, const std::vector<bool>& squeeze_mask) {
  Args args{{"x", layer.x()}, {"begin", begin}, {"end", end}, {"stride", stride}};
  const std::int64_t rank = rank_of(layer.x());
  if (const auto flags = some(begin_mask, rank)) args.emplace_back("begin_mask", *flags);
  if (const auto flags = some(end_mask, rank)) args.emplace_back("end_mask", *flags);
  if (const auto flags = some(squeeze_mask, rank)) args.emplace_back("squeeze_mask", *flags);
  layer.put(layer.e.op("slice_by_index", args));
}

// Values along the last two axes, zeros along the others.
Ints last_two(std::int64_t rank, std::int64_t height, std::int64_t width) {
  if (rank < 2) fail(ErrorKind::bad_model, "rank {}, at least 2 is expected", rank);
  Ints result(uz(rank), 0);
  result[uz(rank) - 2] = height;
  result[uz(rank) - 1] = width;
  return result;
}

struct Edges {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};
Edges edges_of(const spec::BorderAmounts& amounts) {
  if (amounts.borderamounts_size() == 0) return {};
  if (amounts.borderamounts_size() != 2)
    fail(ErrorKind::bad_model, "{} border amounts, expected 2", amounts.borderamounts_size());
  const auto value = [](std::uint64_t amount) {
    return checked_cast<std::int64_t>(checked_cast<std::int32_t>(amount, "a border"), "a border");
  };
  const auto& height = amounts.borderamounts(0);
  const auto& width = amounts.borderamounts(1);
  return {value(height.startedgesize()), value(height.endedgesize()), value(width.startedgesize()), value(width.endedgesize())};
}

}  // namespace

void translate(Layer& layer, const spec::SliceStaticLayerParams& params) {
  Ints strides = list_of(params.strides());
  if (strides.empty()) strides.assign(uz(rank_of(layer.x())), 1);
  slice(layer, Arg::int_list(list_of(params.beginids())), Arg::int_list(list_of(params.endids())), Arg::int_list(strides),
        flags_of(params.beginmasks()), flags_of(params.endmasks()), flags_of(params.squeezemasks()));
}

// Inputs: x, begin, then end, strides and masks as far as they are not parameters.
void translate(Layer& layer, const spec::SliceDynamicLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t rank = rank_of(layer.x());
  Ints strides = list_of(params.strides());
  if (strides.empty()) strides.assign(uz(rank), 1);
  Ints ends = list_of(params.endids());
  if (ends.empty()) ends.assign(uz(rank), 0);
  if (iz(strides.size()) > rank) strides.resize(uz(rank));
  if (iz(ends.size()) > rank) ends.resize(uz(rank));
  const Blob end = layer.in.size() > 2 ? e.to_int(layer.x(2)) : Arg::int_list(ends);
  const Blob stride = layer.in.size() > 3 ? e.to_int(layer.x(3)) : Arg::int_list(strides);
  slice(layer, e.to_int(layer.x(1)), end, stride, masks(layer, 4, flags_of(params.beginmasks())),
        masks(layer, 5, flags_of(params.endmasks())), masks(layer, 6, flags_of(params.squeezemasks())));
}

void translate(Layer& layer, const spec::SliceBySizeLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t rank = rank_of(layer.x());
  const std::int64_t axis = layer.axis(params.axis(), rank);
  Ints size(uz(rank), -1);
  size[uz(axis)] = params.size();
  std::vector<Blob> parts;
  if (axis > 0) parts.push_back(Arg::int_list(Ints(uz(axis), 0)));
  parts.push_back(e.reshape(e.to_int(layer.x(1)), Ints{1}));
  if (axis + 1 < rank) parts.push_back(Arg::int_list(Ints(uz(rank - axis - 1), 0)));
  layer.put(e.op("slice_by_size", {{"x", layer.x()}, {"begin", e.concat(parts, 0)}, {"size", size}}));
}

void translate(Layer& layer, const spec::SliceLayerParams& params) {
  const std::int64_t rank = rank_of(layer.x());
  const std::int64_t back = params.axis() == spec::SliceLayerParams::CHANNEL_AXIS  ? -3
                            : params.axis() == spec::SliceLayerParams::HEIGHT_AXIS ? -2
                                                                                   : -1;
  const std::size_t axis = uz(layer.axis(back, rank));
  Ints begin(uz(rank), 0), end(uz(rank), 0), stride(uz(rank), 1);
  std::vector<bool> whole(uz(rank), true);
  begin[axis] = params.startindex();
  end[axis] = params.endindex();
  stride[axis] = params.stride() == 0 ? 1 : layer.count(params.stride(), "stride");
  whole[axis] = false;
  slice(layer, Arg::int_list(begin), Arg::int_list(end), Arg::int_list(stride), whole, whole, {});
}

// With two inputs the first is cut to the height and width of the second.
void translate(Layer& layer, const spec::CropLayerParams& params) {
  Emitter& e = layer.e;
  const std::int64_t rank = rank_of(layer.x());
  if (rank < 2) fail(ErrorKind::bad_model, "rank {}, at least 2 is expected", rank);
  std::vector<bool> whole(uz(rank), true);
  whole[uz(rank) - 1] = whole[uz(rank) - 2] = false;
  const Ints ones(uz(rank), 1);
  if (layer.in.size() > 1) {
    if (params.offset_size() != 2) fail(ErrorKind::bad_model, "{} offsets, expected 2", params.offset_size());
    const Ints offset = list_of(params.offset());
    const Blob begin = Arg::int_list(last_two(rank, offset[0], offset[1]));
    const std::int64_t other = rank_of(layer.x(1));
    if (other < 2) fail(ErrorKind::bad_model, "the reference has rank {}", other);
    Blob extents = e.shape_slice(layer.x(1), other - 2, other);
    if (rank > 2) extents = e.concat({Arg::int_list(Ints(uz(rank - 2), 0)), extents}, 0);
    return slice(layer, begin, e.binary("add", begin, extents), Arg::int_list(ones), whole, whole, {});
  }
  const Edges edges = edges_of(params.cropamounts());
  if (rank >= 3) {
    return layer.put(e.op(
        "crop",
        {{"x", layer.x()}, {"crop_height", Ints{edges.top, edges.bottom}}, {"crop_width", Ints{edges.left, edges.right}}}));
  }
  std::vector<bool> to_end = whole;
  if (edges.bottom == 0) to_end[uz(rank) - 2] = true;
  if (edges.right == 0) to_end[uz(rank) - 1] = true;
  slice(layer, Arg::int_list(last_two(rank, edges.top, edges.left)), Arg::int_list(last_two(rank, -edges.bottom, -edges.right)),
        Arg::int_list(ones), whole, to_end, {});
}

void translate(Layer& layer, const spec::PaddingLayerParams& params) {
  const Edges edges = edges_of(params.paddingamounts());
  const char* mode = params.has_reflection() ? "reflect" : params.has_replication() ? "replicate" : "constant";
  if (params.PaddingType_case() == spec::PaddingLayerParams::PADDINGTYPE_NOT_SET)
    fail(ErrorKind::bad_model, "no kind of padding is given");
  layer.put(layer.e.mapped(layer.x(), [&](const Blob& x) {
    Ints pad = last_two(rank_of(x), 0, 0);
    pad.resize(2 * pad.size(), 0);
    std::copy_n(Ints{edges.top, edges.bottom, edges.left, edges.right}.begin(), 4, pad.end() - 4);
    return layer.e.op("pad", {{"x", x}, {"pad", pad}, {"mode", mode}, {"constant_val", params.constant().value()}});
  }));
}

// Amounts are (before, after) of each axis, or the extents to pad up to on that side.
void translate(Layer& layer, const spec::ConstantPaddingLayerParams& params) {
  Emitter& e = layer.e;
  Blob pad = layer.in.size() > 1 ? e.to_int(layer.x(1)) : Arg::int_list(list_of(params.padamounts()));
  if (params.padtogivenoutputsizemode()) {
    const std::int64_t rank = rank_of(layer.x());
    const Blob extents =
        e.reshape(e.op("tile", {{"x", e.expand(e.shape(layer.x()), {1})}, {"reps", Ints{1, 2}}}), Ints{2 * rank});
    pad = e.binary("maximum", e.binary("sub", pad, extents), Arg::int_list({0}));
  }
  layer.put(e.op("pad", {{"x", layer.x()}, {"pad", pad}, {"mode", "constant"}, {"constant_val", params.value()}}));
}

void translate(Layer& layer, const spec::SlidingWindowsLayerParams& params) {
  layer.put(layer.e.op("sliding_windows", {{"x", layer.x()},
                                           {"axis", params.axis()},
                                           {"size", layer.count(params.windowsize(), "windowSize")},
                                           {"stride", layer.count(params.step(), "step")}}));
}

}  // namespace tl::format::nn
