#pragma once

#include <map>
#include <memory>

#include "format/neuralnetwork/emitter.hpp"
#include "neural_network.pb.h"

namespace tl::format::nn {

// Extents of the network's outputs by name, as far as the description fixes them.
using FeatureDims = std::map<std::string, ir::Dims>;

// One layer while it is translated: its inputs, and the outputs that its function fills.
struct Layer {
  Emitter& e;
  const spec::NeuralNetworkLayer& message;
  std::shared_ptr<const void> owner;  // keeps the message alive: weights are views of it
  bool rank5;                         // blobs are (sequence, batch, channel, height, width)
  std::vector<Blob> in;
  std::vector<Blob> out;
  const FeatureDims* features = nullptr;

  const Blob& x(std::size_t i = 0) const {
    if (i >= in.size()) fail(ErrorKind::bad_model, "{} inputs are given, at least {} are expected", in.size(), i + 1);
    return in[i];
  }
  std::size_t outputs() const { return static_cast<std::size_t>(message.output_size()); }
  void put(const Blob& blob) { out.push_back(blob); }
  // The axis of `like` that a negative or positive number names.
  std::int64_t axis(std::int64_t value, std::int64_t rank) const {
    if (value < -rank || value >= rank) fail(ErrorKind::bad_model, "axis {} is outside rank {}", value, rank);
    return value < 0 ? value + rank : value;
  }
  // A weight of the layer: `shape` elements, listed as "<layer>_<suffix>". Quantized ones stay compressed; their scales are
  // one, or one per position of `axis`.
  Blob weight(const spec::WeightParams& params, const Shape& shape, const std::string& suffix, std::size_t axis = 0);
  // The same, or nothing when `wanted` is false.
  std::optional<Blob> maybe(bool wanted, const spec::WeightParams& params, const Shape& shape, const std::string& suffix) {
    return wanted ? std::optional<Blob>(weight(params, shape, suffix)) : std::nullopt;
  }
  std::int64_t count(std::uint64_t value, const char* what) const;  // a number that must fit and not be 0
};

// How many elements a weight holds; -1 when quantization leaves that open (bits).
std::int64_t stored_elements(const spec::WeightParams& params);
// Its elements as float32; errors name `what`.
Tensor dense(Layer& layer, const spec::WeightParams& params, const Shape& shape, const std::string& what);

template <class Repeated>
std::vector<std::int64_t> list_of(const Repeated& values) {
  std::vector<std::int64_t> result;
  for (const auto value : values) result.push_back(checked_cast<std::int32_t>(value, "a list entry"));
  return result;
}
template <class Repeated>
std::vector<bool> flags_of(const Repeated& values) {
  return {values.begin(), values.end()};
}

// What a file says of an output before anything is computed: the description's extents, the rank that the layer records, or the
// rank of the first input.
ir::Type declared_type(const Layer& layer, int i);

// An activation function on a blob; alpha and beta of channel-wise kinds belong to axis -3.
Blob activate(Layer& layer, const spec::ActivationParams& params, const Blob& x);

// One function per layer kind.
#define TL_LAYER(spelling, id, field, Params) void translate(Layer& layer, const spec::Params& params);
#include "format/neuralnetwork/layers.inc"
#undef TL_LAYER

}  // namespace tl::format::nn
