#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

double normal_cdf(double x) { return std::erfc(-x * std::sqrt(0.5)) / 2; }

// A standard normal number inside [-most, most].
double truncated_normal(double most) {
  static std::atomic<std::uint64_t> runs{std::random_device{}()};
  std::mt19937_64 random(runs.fetch_add(0x9E3779B97F4A7C15U));  // NOLINT(cert-msc51-cpp)
  if (most <= 0) return 0;
  if (most < 1) {  // rejection under the flat bound of the density
    std::uniform_real_distribution<double> flat(-most, most), height(0, 1);
    for (;;) {
      const double x = flat(random);
      if (height(random) <= std::exp(-x * x / 2)) return x;
    }
  }
  std::normal_distribution<double> normal;
  for (;;) {
    const double x = normal(random);
    if (std::fabs(x) <= most) return x;
  }
}

}  // namespace

// Bayesian probit regression (Graepel et al. 2010): each pair (feature, value) has a weight that is normally distributed. x
// lists a value per feature, or rows (feature, value); pairs without a weight add nothing. With mean m and variance v of the
// sum of weights and bias: P = cdf(m / sqrt(1 + v)), m, v, cdf((m + optimism sqrt(v)) / sqrt(1 + v)), and cdf(s) for an s drawn
// from the normal distribution of mean m and deviation scale sqrt(v), cut at `truncation` deviations. Inputs that are no
// numbers are not given: optimism 0, scale 1, no cut.
TL_OP(tl_probit_regression) {
  constexpr DTypeSet f64 = dt::of(DType::f64);
  op.pure = false;
  op.in("x", f64);
  for (const char* param : {"optimism", "scale", "truncation"}) op.in(param, f64);
  op.in("features", dt::of(DType::i64)).constant();
  op.in("values", dt::of(DType::i64)).constant();
  op.in("means", f64).constant();
  op.in("variances", f64).constant();
  op.in("bias_mean", f64).constant();
  op.in("bias_variance", f64).constant();
  op.infer = [](Infer& c) {
    const Dims x = c.dims("x");
    if (x.size() != 1 && (x.size() != 2 || (x[1].known() && x[1] != Dim(2))))
      c.reject("x", "shape {}, expected [features] or [rows, 2]", to_string(x));
    const Dims list = c.dims("features");
    if (list.size() != 1) c.reject("features", "expected a list, got shape {}", to_string(list));
    for (const char* param : {"values", "means", "variances"}) {
      if (c.dims(param) != list) c.reject(param, "shape {} for features {}", to_string(c.dims(param)), to_string(list));
    }
    for (int i = 0; i < 5; ++i) c.out(DType::f64, {});
  };
  op.eval = [](Eval& c) {
    const std::vector<double> x = c.doubles("x"), means = c.doubles("means"), variances = c.doubles("variances");
    const std::vector<std::int64_t> features = c.integers("features"), values = c.integers("values");
    std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> weights;
    for (std::size_t i = 0; i < features.size(); ++i) weights[{features[i], values[i]}] = i;
    double mean = c.number("bias_mean"), variance = c.number("bias_variance");
    const auto whole = [&](double v) {
      if (!(v >= 0 && v <= 0xFFFFFFFFp0) || v != std::floor(v))
        c.reject("x", "{} is no feature or value: whole numbers from 0 are", v);
      return static_cast<std::int64_t>(v);
    };
    const bool pairs = c.shape("x").size() == 2;
    for (std::size_t i = 0; i < x.size(); i += pairs ? 2 : 1) {
      const std::int64_t feature = pairs ? whole(x[i]) : iz(i);
      const auto found = weights.find({feature, whole(x[pairs ? i + 1 : i])});
      if (found == weights.end()) continue;
      mean += means[found->second];
      variance += variances[found->second];
    }
    const auto given = [&](std::string_view param, double fallback) {
      const double value = c.number(param);
      return std::isnan(value) ? fallback : value;
    };
    const double deviation = std::sqrt(variance), scale = given("scale", 1);
    const double cut = given("truncation", std::numeric_limits<double>::infinity());
    const double wide = std::sqrt(1 + variance);
    c.set(0, Tensor::scalar(normal_cdf(mean / wide)));
    c.set(1, Tensor::scalar(mean));
    c.set(2, Tensor::scalar(variance));
    c.set(3, Tensor::scalar(normal_cdf((mean + given("optimism", 0) * deviation) / wide)));
    c.set(4, Tensor::scalar(normal_cdf(mean + scale * deviation * truncated_normal(cut))));
  };
}

}  // namespace tl::op
