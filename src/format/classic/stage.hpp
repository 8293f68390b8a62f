#pragma once

#include "format/neuralnetwork/model.hpp"
#include "format/spec_bytes.hpp"

namespace tl::format::classic {

using nn::Args;
using nn::Blob;
using nn::Emitter;
using nn::Values;

// One model while it is translated, alone or in a pipeline.
struct Stage {
  Emitter& e;
  const spec::Model& message;
  const Interface& interface;
  const Values& in;
  std::shared_ptr<const void> owner;
  const BlobReader& blobs;
  Values out;

  // The only input, or that of a name.
  const Blob& x() const;
  const Blob& x(const std::string& name) const;
  // All inputs side by side: float64 of rank 1.
  Blob features() const;
  // A value as float64 of rank 1.
  Blob vector(const Blob& value) const;
  // Sets an output, brought to the type that the description declares.
  void put(const std::string& name, const Blob& value);
  // The first output of a model that gives one thing.
  void put(const Blob& value);
  // Label and probabilities of a classifier; `scores` are per class. Without `probable` they only choose the label.
  void classify(const Blob& scores, const Tensor& labels, bool probable = true);
};

// float64 literals.
Blob numbers(std::vector<double> values, Shape shape);
Blob number(double value);
template <class Repeated>
std::vector<double> doubles(const Repeated& values) {
  return {values.begin(), values.end()};
}
// Sums over the last axis.
Blob sum_last(Emitter& e, const Blob& x);
// Softmax and the distribution function of the normal distribution, in float64.
Blob softmax(Emitter& e, const Blob& scores);
Blob probit(Emitter& e, const Blob& x);
// [0, x...]
Blob with_zero_first(Emitter& e, const Blob& x);
// [1 - p, p] of one probability.
Blob two_classes(Emitter& e, const Blob& p);

// The type that a feature of a classic model has in the program: arrays of float16 as float32, images as (1, channel, height,
// width), a sequence as a list of text or int64, numbers and text of rank 0, dictionaries of doubles.
ir::Type plain_type(const Feature& feature);

void translate(Stage& stage, const spec::GLMRegressor& params);
void translate(Stage& stage, const spec::GLMClassifier& params);
void translate(Stage& stage, const spec::TreeEnsembleRegressor& params);
void translate(Stage& stage, const spec::TreeEnsembleClassifier& params);
void translate(Stage& stage, const spec::SupportVectorRegressor& params);
void translate(Stage& stage, const spec::SupportVectorClassifier& params);
void translate(Stage& stage, const spec::Scaler& params);
void translate(Stage& stage, const spec::Imputer& params);
void translate(Stage& stage, const spec::Normalizer& params);
void translate(Stage& stage, const spec::FeatureVectorizer& params);
void translate(Stage& stage, const spec::ArrayFeatureExtractor& params);
void translate(Stage& stage, const spec::OneHotEncoder& params);
void translate(Stage& stage, const spec::CategoricalMapping& params);
void translate(Stage& stage, const spec::DictVectorizer& params);
void translate(Stage& stage, const spec::Identity& params);
void translate(Stage& stage, const spec::NonMaximumSuppression& params);
void translate(Stage& stage, const spec::KNearestNeighborsClassifier& params);
void translate(Stage& stage, const spec::BayesianProbitRegressor& params);
void translate(Stage& stage, const spec::ItemSimilarityRecommender& params);
void translate(Stage& stage, const spec::CustomModel& params);

}  // namespace tl::format::classic
