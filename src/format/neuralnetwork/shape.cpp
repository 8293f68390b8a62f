#include <algorithm>
#include <numeric>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

// (..., channel, height, width) -> (..., height, width, channel)
Blob channels_last(Emitter& e, const Blob& x) {
  const std::int64_t rank = rank_of(x);
  Ints perm(uz(rank));
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.end() - 3, perm.end() - 2, perm.end());
  return e.transpose(x, perm);
}
Blob channels_first(Emitter& e, const Blob& x) {
  const std::int64_t rank = rank_of(x);
  Ints perm(uz(rank));
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.end() - 3, perm.end() - 1, perm.end());
  return e.transpose(x, perm);
}

void need_rank(const Blob& x, std::int64_t least) {
  if (rank_of(x) < least) fail(ErrorKind::bad_model, "rank {}, at least {} is expected", rank_of(x), least);
}

}  // namespace

void translate(Layer& layer, const spec::ReshapeStaticLayerParams& params) {
  layer.put(layer.e.reshape(layer.x(), list_of(params.targetshape())));
}

void translate(Layer& layer, const spec::RankPreservingReshapeLayerParams& params) {
  if (params.targetshape_size() != rank_of(layer.x())) {
    fail(ErrorKind::bad_model, "targetShape names {} extents for rank {}", params.targetshape_size(), rank_of(layer.x()));
  }
  layer.put(layer.e.reshape(layer.x(), list_of(params.targetshape())));
}

void translate(Layer& layer, const spec::ReshapeDynamicLayerParams&) {
  layer.put(layer.e.reshape(layer.x(), layer.e.to_int(layer.x(1))));
}

void translate(Layer& layer, const spec::ReshapeLikeLayerParams&) {
  layer.put(layer.e.reshape(layer.x(), layer.e.shape(layer.x(1))));
}

// The target is (channel, height, width), with a sequence in front or not.
void translate(Layer& layer, const spec::ReshapeLayerParams& params) {
  Emitter& e = layer.e;
  const bool last = params.mode() == spec::ReshapeLayerParams::CHANNEL_LAST;
  Ints target = list_of(params.targetshape());
  if (target.size() != 3 && target.size() != 4)
    fail(ErrorKind::bad_model, "targetShape has {} extents, expected 3 or 4", target.size());
  need_rank(layer.x(), 3);
  Blob x = layer.x();
  const bool sequence = target.size() == 4;
  if (sequence && rank_of(x) != 5) fail(ErrorKind::bad_model, "a sequence is reshaped, but the input has rank {}", rank_of(x));
  if (sequence) x = e.transpose(x, {1, 0, 2, 3, 4});
  Ints order = target;
  if (last) {
    x = channels_last(e, x);
    std::rotate(order.end() - 3, order.end() - 2, order.end());
  }
  const std::int64_t kept = sequence ? 1 : rank_of(x) - 3;
  const Blob shape = kept == 0 ? Arg::int_list(order) : e.concat({e.shape_slice(x, 0, kept), Arg::int_list(order)}, 0);
  Blob y = e.reshape(x, shape);
  if (last) y = channels_first(e, y);
  layer.put(sequence ? e.transpose(y, {1, 0, 2, 3, 4}) : y);
}

void translate(Layer& layer, const spec::FlattenLayerParams& params) {
  Emitter& e = layer.e;
  need_rank(layer.x(), 3);
  const bool last = params.mode() == spec::FlattenLayerParams::CHANNEL_LAST;
  const Blob images = e.gathered(layer.x(), 3);
  const Blob x = last ? channels_last(e, images) : images;
  const Blob y = e.reshape(x, e.concat({e.shape_slice(x, 0, 1), Arg::int_list({-1, 1, 1})}, 0));
  layer.put(e.spread(y, layer.x(), 3));
}

void translate(Layer& layer, const spec::FlattenTo2DLayerParams& params) {
  layer.put(layer.e.op("flatten2d", {{"x", layer.x()}, {"axis", params.axis()}}));
}

void translate(Layer& layer, const spec::TransposeLayerParams& params) {
  // Fewer axes than the input has are its last ones: images come with a batch that older networks don't count.
  Ints axes = list_of(params.axes());
  const std::int64_t missing = rank_of(layer.x()) - iz(axes.size());
  if (missing > 0) {
    for (std::int64_t& axis : axes) axis += axis < 0 ? 0 : missing;
    Ints first(uz(missing));
    std::iota(first.begin(), first.end(), 0);
    axes.insert(axes.begin(), first.begin(), first.end());
  }
  layer.put(layer.e.op("transpose", {{"x", layer.x()}, {"perm", axes}}));
}

// Axes name (sequence, channel, height, width); the batch stays where it is.
void translate(Layer& layer, const spec::PermuteLayerParams& params) {
  Ints axes = list_of(params.axis());
  const std::int64_t rank = rank_of(layer.x());
  if (axes.size() != 4) fail(ErrorKind::bad_model, "{} axes are named, expected 4", axes.size());
  if (rank == 5) {
    for (std::int64_t& axis : axes) axis += axis > 0 ? 1 : 0;
    axes.insert(axes.begin() + 1, 1);
  } else if (rank == 3 && axes[0] == 0) {
    axes.erase(axes.begin());
    for (std::int64_t& axis : axes) --axis;
  } else if (rank != 4) {
    fail(ErrorKind::bad_model, "rank {}, expected 5", rank);
  }
  layer.put(layer.e.op("transpose", {{"x", layer.x()}, {"perm", axes}}));
}

void translate(Layer& layer, const spec::ExpandDimsLayerParams& params) {
  layer.put(layer.e.expand(layer.x(), list_of(params.axes())));
}

void translate(Layer& layer, const spec::SqueezeLayerParams& params) {
  Emitter& e = layer.e;
  if (!params.squeezeall()) return layer.put(e.squeeze(layer.x(), list_of(params.axes())));
  layer.put(e.op("squeeze", {{"x", layer.x()}}));
}

void translate(Layer& layer, const spec::GetShapeLayerParams&) { layer.put(layer.e.shape(layer.x())); }

void translate(Layer& layer, const spec::BroadcastToStaticLayerParams& params) {
  const Blob zeros = layer.e.op("fill", {{"shape", list_of(params.targetshape())}, {"value", 0.0F}});
  layer.put(layer.e.binary("add", layer.x(), zeros));
}

void translate(Layer& layer, const spec::BroadcastToLikeLayerParams&) {
  layer.put(layer.e.binary("add", layer.x(), layer.e.op("fill_like", {{"ref_tensor", layer.x(1)}, {"value", 0.0F}})));
}

void translate(Layer& layer, const spec::BroadcastToDynamicLayerParams&) {
  const Blob zeros = layer.e.op("fill", {{"shape", layer.e.to_int(layer.x(1))}, {"value", 0.0F}});
  layer.put(layer.e.binary("add", layer.x(), zeros));
}

void translate(Layer& layer, const spec::TileLayerParams& params) {
  // As NumPy has it: the shorter of extents and repetitions has ones in front.
  Emitter& e = layer.e;
  Blob x = layer.x();
  Blob reps = layer.in.size() > 1 ? e.to_int(layer.x(1)) : Arg::int_list(list_of(params.reps()));
  const ir::Dim given = dims_of(reps).empty() ? ir::Dim::unknown() : dims_of(reps)[0];
  if (const std::int64_t rank = rank_of(x); given.known() && given.extent() < rank) {
    reps = e.concat({Arg::int_list(Ints(uz(rank - given.extent()), 1)), reps}, 0);
  } else if (given.known() && given.extent() > rank) {
    Ints axes(uz(std::min<std::int64_t>(given.extent() - rank, 64)));
    std::iota(axes.begin(), axes.end(), 0);
    x = e.expand(x, axes);
  }
  layer.put(e.op("tile", {{"x", x}, {"reps", reps}}));
}

void translate(Layer& layer, const spec::SequenceRepeatLayerParams& params) {
  if (rank_of(layer.x()) != 5) fail(ErrorKind::bad_model, "rank {}, expected 5", rank_of(layer.x()));
  layer.put(
      layer.e.op("tile", {{"x", layer.x()}, {"reps", Ints{layer.count(params.nrepetitions(), "nRepetitions"), 1, 1, 1, 1}}}));
}

void translate(Layer& layer, const spec::ReverseLayerParams& params) {
  if (params.reversedim_size() != rank_of(layer.x())) {
    fail(ErrorKind::bad_model, "{} flags for rank {}", params.reversedim_size(), rank_of(layer.x()));
  }
  Ints axes;
  for (int i = 0; i < params.reversedim_size(); ++i) {
    if (params.reversedim(i)) axes.push_back(i);
  }
  layer.put(axes.empty() ? layer.x() : layer.e.op("reverse", {{"x", layer.x()}, {"axes", axes}}));
}

void translate(Layer& layer, const spec::ReverseSeqLayerParams& params) {
  layer.put(layer.e.op("reverse_sequence", {{"x", layer.x()},
                                            {"lengths", layer.e.to_int(layer.x(1))},
                                            {"seq_axis", params.sequenceaxis()},
                                            {"batch_axis", params.batchaxis()}}));
}

}  // namespace tl::format::nn
