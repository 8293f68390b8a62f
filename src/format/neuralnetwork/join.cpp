#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {

void translate(Layer& layer, const spec::ConcatNDLayerParams& params) {
  layer.x();
  layer.put(layer.e.op("concat", {{"values", layer.in}, {"axis", params.axis()}, {"interleave", params.interleave()}}));
}

// Along the channels, or along the sequence.
void translate(Layer& layer, const spec::ConcatLayerParams& params) {
  const std::int64_t rank = rank_of(layer.x());
  const std::int64_t axis = params.sequenceconcat() ? -5 : -3;
  layer.put(layer.e.concat(layer.in, layer.axis(axis, rank)));
}

void translate(Layer& layer, const spec::StackLayerParams& params) {
  layer.x();
  layer.put(layer.e.op("stack", {{"values", layer.in}, {"axis", params.axis()}}));
}

void translate(Layer& layer, const spec::SplitNDLayerParams& params) {
  Args args{{"x", layer.x()}, {"axis", params.axis()}};
  if (params.splitsizes_size() != 0) {
    args.emplace_back("split_sizes", list_of(params.splitsizes()));
  } else {
    const std::int64_t rank = rank_of(layer.x());
    const ir::Dim extent = dims_of(layer.x())[uz(layer.axis(params.axis(), rank))];
    const std::int64_t count = params.numsplits() == 0 ? iz(layer.outputs()) : layer.count(params.numsplits(), "numSplits");
    if (count != iz(layer.outputs())) fail(ErrorKind::bad_model, "{} parts for {} outputs", count, layer.outputs());
    if (extent.known() && count > 0 && count <= extent.extent() && extent.extent() % count != 0) {
      std::vector<std::int64_t> sizes(uz(count), extent.extent() / count);
      for (std::int64_t i = 0; i < extent.extent() % count; ++i) ++sizes[uz(i)];
      args.emplace_back("split_sizes", sizes);
    } else {
      args.emplace_back("num_splits", count);
    }
  }
  layer.out = layer.e.ops("split", args);
}

void translate(Layer& layer, const spec::SplitLayerParams& params) {
  layer.out = layer.e.ops("split", {{"x", layer.x()},
                                    {"axis", layer.axis(-3, rank_of(layer.x()))},
                                    {"num_splits", layer.count(params.noutputs(), "nOutputs")}});
}

void translate(Layer& layer, const spec::LoadConstantNDLayerParams& params) {
  const Shape shape = list_of(params.shape());
  layer.put(layer.weight(params.data(), shape, "data"));
}

// A (channel, height, width) constant is of rank 5, as legacy networks know no other.
void translate(Layer& layer, const spec::LoadConstantLayerParams& params) {
  Shape shape = list_of(params.shape());
  if (shape.size() == 3) shape.insert(shape.begin(), {1, 1});
  layer.put(layer.weight(params.data(), shape, "data"));
}

}  // namespace tl::format::nn
