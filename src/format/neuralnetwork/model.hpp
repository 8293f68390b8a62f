#pragma once

#include <map>
#include <memory>

#include "format/neuralnetwork/emitter.hpp"
#include "model.pb.h"
#include "tensorlogic/feature.hpp"

namespace tl::format::nn {

// Values by feature name: arrays in the shape that the features declare, images as (1, channel, height, width) in their
// order of channels, numbers and text of rank 0, dictionaries.
using Values = std::map<std::string, Blob>;

// The type that a function's input has for a feature of a neural network.
ir::Type network_input_type(const spec::Model& message, const Feature& feature);

// Emits a neuralNetwork, neuralNetworkClassifier or neuralNetworkRegressor: its inputs -> its outputs. Weights are views of the
// message, which `owner` keeps. Throws Error{bad_model, unsupported, limit} that names the layer; given `refusal`, a layer
// without a translation becomes an op `nn.KIND` that has no definition, and the first reason is put there.
Values translate_network(Emitter& emitter, std::shared_ptr<const void> owner, const spec::Model& message,
                         const Interface& interface, const Values& inputs, std::string* refusal = nullptr);

// The labels of a classifier: a list of strings or int64.
template <class Classifier>
Tensor class_labels(const Classifier& classifier) {
  if (classifier.has_stringclasslabels()) {
    const auto& labels = classifier.stringclasslabels().vector();
    return Tensor::of_strings({labels.size()}, {labels.begin(), labels.end()});
  }
  if (!classifier.has_int64classlabels()) fail(ErrorKind::bad_model, "the classifier has no labels");
  const auto& labels = classifier.int64classlabels().vector();
  Tensor classes(DType::i64, {labels.size()});
  auto out = classes.mutable_values<std::int64_t>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = labels.Get(static_cast<int>(i));
  return classes;
}

}  // namespace tl::format::nn
