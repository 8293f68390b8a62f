#include <cmath>

#include "format/classic/stage.hpp"

namespace tl::format::classic {

void translate(Stage& stage, const spec::BayesianProbitRegressor& params) {
  Emitter& e = stage.e;
  std::vector<std::int64_t> features, values;
  std::vector<double> means, variances;
  const auto variance = [](const spec::BayesianProbitRegressor::Gaussian& weight) {
    const double result = 1 / weight.precision();
    if (!(weight.precision() > 0) || !std::isfinite(result))
      fail(ErrorKind::bad_model, "a precision of {}", weight.precision());
    return result;
  };
  for (const auto& feature : params.features()) {
    for (const auto& weight : feature.weights()) {
      features.push_back(feature.featureid());
      values.push_back(weight.featurevalue());
      means.push_back(weight.featureweight().mean());
      variances.push_back(
          within([&] { return fmt::format("feature {}: value {}", feature.featureid(), weight.featurevalue()); },
                 [&] { return variance(weight.featureweight()); }));
    }
  }
  const std::string& input = params.regressioninputfeaturename();
  const Blob& given = input.empty() ? stage.x() : stage.x(input);
  const Blob x = e.cast(given, DType::f64);
  const auto option = [&](const std::string& name) {
    return name.empty() || stage.in.count(name) == 0 ? number(std::nan("")) : e.scalar(e.cast(stage.x(name), DType::f64));
  };
  const auto list = [](const std::vector<std::int64_t>& entries) {
    return Emitter::literal(Tensor::of<std::int64_t>({iz(entries.size())}, std::span<const std::int64_t>(entries)));
  };
  const std::int64_t count = iz(means.size());
  const auto results =
      e.ops("tl.probit_regression", {{"x", x},
                                     {"optimism", option(params.optimisminputfeaturename())},
                                     {"scale", option(params.samplingscaleinputfeaturename())},
                                     {"truncation", option(params.samplingtruncationinputfeaturename())},
                                     {"features", list(features)},
                                     {"values", list(values)},
                                     {"means", numbers(means, {count})},
                                     {"variances", numbers(variances, {count})},
                                     {"bias_mean", number(params.bias().mean())},
                                     {"bias_variance", number(params.has_bias() ? variance(params.bias()) : 0)}});
  for (const Feature& feature : stage.interface.outputs) {
    const std::string& name = feature.name;
    const int place = name == params.meanoutputfeaturename()                     ? 1
                      : name == params.varianceoutputfeaturename()               ? 2
                      : name == params.pessimisticprobabilityoutputfeaturename() ? 3
                      : name == params.sampledprobabilityoutputfeaturename()     ? 4
                                                                                 : 0;
    stage.put(name, results[static_cast<std::size_t>(place)]);
  }
}

}  // namespace tl::format::classic
