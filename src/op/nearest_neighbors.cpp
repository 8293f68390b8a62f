#include <algorithm>
#include <cmath>
#include <numeric>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

Value label_at(const Tensor& labels, std::int64_t i) {
  if (labels.dtype() == DType::string) return Tensor::scalar(labels.strings()[uz(i)]);
  return Tensor::scalar(labels.integer_at(i));
}

// For each label the place where it stands first.
std::vector<std::int64_t> first_places(const Tensor& labels) {
  std::vector<std::int64_t> result(uz(labels.size())), order(result.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto compare = [&](std::int64_t a, std::int64_t b) {
    if (labels.dtype() == DType::string) return labels.strings()[uz(a)].compare(labels.strings()[uz(b)]);
    const std::int64_t x = labels.integer_at(a), y = labels.integer_at(b);
    return x < y ? -1 : x > y ? 1 : 0;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return compare(a, b) < 0; });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool same = i > 0 && compare(order[i - 1], order[i]) == 0;
    result[uz(order[i])] = same ? result[uz(order[i - 1])] : order[i];
  }
  return result;
}

}  // namespace

// The label that the `k` samples nearest to x vote for, and the share of the votes per label, in the order in which the samples
// show them. A vote counts 1, or with `inverse` 1 over the squared distance; samples at distance 0 then vote alone. Equal votes
// go to the label of the nearest sample. Without samples the answer is `fallback`.
TL_OP(tl_nearest_neighbors) {
  constexpr DTypeSet keys = dt::string | dt::of(DType::i64);
  op.in("x", dt::of(DType::f64));
  op.in("samples", dt::f32).constant();
  op.in("labels", keys).constant();
  op.in("fallback", keys).constant().optional();
  op.in("k", dt::ints).constant();
  op.in("inverse", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    const Dims x = c.dims("x"), samples = c.dims("samples"), labels = c.dims("labels");
    if (samples.size() != 2) c.reject("samples", "shape {}, expected [samples, features]", to_string(samples));
    if (labels.size() != 1 || labels[0] != samples[0])
      c.reject("labels", "shape {} for samples {}", to_string(labels), to_string(samples));
    if (x.size() != 1 || (x[0].known() && x[0] != samples[1]))
      c.reject("x", "shape {}, the samples have {} features", to_string(x), samples[1].extent());
    if (c.integer("k") < 1) c.reject("k", "{} neighbors", c.integer("k"));
    if (c.has("fallback") && c.dtype("fallback") != c.dtype("labels"))
      c.reject("fallback", "{} among labels of {}", name(c.dtype("fallback")), name(c.dtype("labels")));
    if (!c.has("fallback") && samples[0] == Dim(0)) c.reject("samples", "there are none, and no default label");
    const Type label(c.dtype("labels"), {});
    c.out(label);
    c.out(DictType{std::make_shared<const Type>(label), std::make_shared<const Type>(DType::f64, Dims{})});
  };
  op.eval = [](Eval& c) {
    const std::vector<double> x = c.doubles("x");
    const Tensor samples = c.in("samples"), labels = c.in("labels");
    const auto values = samples.values<float>();
    const std::size_t count = uz(samples.dim(0)), features = uz(samples.dim(1));
    if (x.size() != features) c.reject("x", "{} features, the samples have {}", x.size(), features);
    Dict shares;
    if (count == 0) {
      const Value label = label_at(c.in("fallback"), 0);
      shares.items.emplace_back(label, Tensor::scalar(1.0));
      c.set(0, label);
      return c.set(1, std::move(shares));
    }
    std::vector<double> distance(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t k = 0; k < features; ++k) {
        const double difference = x[k] - static_cast<double>(values[i * features + k]);
        distance[i] += difference * difference;
      }
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto nearer = [&](std::size_t a, std::size_t b) {
      // What is not a number is farthest.
      const bool a_is_nan = std::isnan(distance[a]), b_is_nan = std::isnan(distance[b]);
      if (a_is_nan != b_is_nan) return b_is_nan;
      return distance[a] != distance[b] && !a_is_nan ? distance[a] < distance[b] : a < b;
    };
    const std::size_t k = std::min(count, static_cast<std::size_t>(c.integer("k")));
    std::partial_sort(order.begin(), order.begin() + iz(k), order.end(), nearer);
    const bool inverse = c.boolean("inverse"), exact = distance[order[0]] == 0;
    const std::vector<std::int64_t> first = first_places(labels);
    std::vector<double> votes(count, 0);
    double total = 0;
    for (std::size_t i = 0; i < k; ++i) {
      const double d = distance[order[i]];
      const double vote = !inverse ? 1 : exact ? (d == 0 ? 1 : 0) : std::isnan(d) ? 0 : 1 / d;
      votes[uz(first[order[i]])] += vote;
      total += vote;
    }
    std::size_t best = uz(first[order[0]]);
    for (std::size_t i = 1; i < k; ++i) {
      if (votes[uz(first[order[i]])] > votes[best]) best = uz(first[order[i]]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (uz(first[i]) == i)
        shares.items.emplace_back(label_at(labels, iz(i)), Tensor::scalar(total > 0 ? votes[i] / total : 0));
    }
    c.set(0, label_at(labels, iz(best)));
    c.set(1, std::move(shares));
  };
}

}  // namespace tl::op
