#include <algorithm>
#include <cmath>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

std::int64_t length(const Infer& c, std::string_view param) {
  const Dims dims = c.dims(param);
  if (dims.size() != 1 || !dims[0].known()) c.reject(param, "expected a list, got shape {}", to_string(dims));
  return dims[0].extent();
}

// Class probabilities from those of pairs, p[i][j] = P(i | i or j): the fixed point of Wu, Lin and Weng (2004), method 2.
std::vector<double> coupled(const std::vector<double>& pairs, std::size_t k) {
  const auto r = [&](std::size_t i, std::size_t j) { return pairs[i * k + j]; };
  std::vector<double> q(k * k, 0), p(k, 1 / static_cast<double>(k)), qp(k);
  for (std::size_t t = 0; t < k; ++t) {
    for (std::size_t j = 0; j < k; ++j) {
      if (j == t) continue;
      q[t * k + t] += r(j, t) * r(j, t);
      q[t * k + j] = -r(j, t) * r(t, j);
    }
  }
  const double tolerance = 0.005 / static_cast<double>(k);
  for (std::size_t round = 0; round < std::max<std::size_t>(100, k); ++round) {
    double total = 0;
    for (std::size_t t = 0; t < k; ++t) {
      qp[t] = 0;
      for (std::size_t j = 0; j < k; ++j) qp[t] += q[t * k + j] * p[j];
      total += p[t] * qp[t];
    }
    double worst = 0;
    for (std::size_t t = 0; t < k; ++t) worst = std::max(worst, std::fabs(qp[t] - total));
    if (worst < tolerance) break;
    for (std::size_t t = 0; t < k; ++t) {
      const double step = (total - qp[t]) / q[t * k + t];
      p[t] += step;
      total = (total + step * (step * q[t * k + t] + 2 * qp[t])) / (1 + step) / (1 + step);
      for (std::size_t j = 0; j < k; ++j) {
        qp[j] = (qp[j] + step * q[t * k + j]) / (1 + step);
        p[j] /= 1 + step;
      }
    }
  }
  return p;
}

}  // namespace

// The classes of a support vector machine that decides between pairs: votes, or probabilities where the pairs have a sigmoid
// (prob_a, prob_b). `kernel` holds the kernel with each support vector, `counts` how many belong to each class; row j - 1 of
// `coefficients` holds those of class i against class j > i, row i those of j against i. Pairs are in the order (0, 1), (0, 2),
// ...
TL_OP(tl_svm_classes) {
  constexpr DTypeSet f64 = dt::of(DType::f64);
  op.in("kernel", f64);
  op.in("counts", dt::i32).constant();
  op.in("coefficients", f64).constant();
  op.in("rho", f64).constant();
  op.in("prob_a", f64).constant().optional();
  op.in("prob_b", f64).constant().optional();
  op.infer = [](Infer& c) {
    const std::int64_t vectors = length(c, "kernel"), classes = length(c, "counts");
    if (classes < 2 || classes > 4096) c.reject("counts", "{} classes", classes);
    std::int64_t total = 0;
    for (const std::int64_t count : c.ints("counts")) {
      if (count < 0) c.reject("counts", "a class of {} support vectors", count);
      total += count;
    }
    if (total != vectors) c.reject("counts", "{} support vectors in the classes, {} in all", total, vectors);
    const Dims coefficients = c.dims("coefficients");
    if (coefficients != Dims{classes - 1, vectors})
      c.reject("coefficients", "shape {} for {} classes", to_string(coefficients), classes);
    const std::int64_t pairs = classes * (classes - 1) / 2;
    for (const char* param : {"rho", "prob_a", "prob_b"}) {
      if (c.has(param) && length(c, param) != pairs) c.reject(param, "{} entries for {} pairs", length(c, param), pairs);
    }
    if (c.has("prob_a") != c.has("prob_b")) c.reject("prob_b", "goes with prob_a");
    c.out(DType::f64, {classes});
  };
  op.eval = [](Eval& c) {
    const std::vector<double> kernel = c.doubles("kernel"), coefficients = c.doubles("coefficients"), rho = c.doubles("rho");
    const auto counts = c.integers("counts");
    const std::size_t k = counts.size(), vectors = kernel.size();
    std::vector<std::size_t> start(k + 1, 0);
    for (std::size_t i = 0; i < k; ++i) start[i + 1] = start[i] + uz(counts[i]);
    const auto side = [&](std::size_t own, std::size_t other) {
      double sum = 0;
      const std::size_t row = other > own ? other - 1 : other;
      for (std::size_t v = start[own]; v < start[own + 1]; ++v) sum += coefficients[row * vectors + v] * kernel[v];
      return sum;
    };
    const bool probable = c.has("prob_a");
    const std::vector<double> a = probable ? c.doubles("prob_a") : std::vector<double>{};
    const std::vector<double> b = probable ? c.doubles("prob_b") : std::vector<double>{};
    std::vector<double> votes(k, 0), pairs(k * k, 0);
    std::size_t pair = 0;
    for (std::size_t i = 0; i < k; ++i) {
      for (std::size_t j = i + 1; j < k; ++j, ++pair) {
        const double decision = side(i, j) + side(j, i) - rho[pair];
        votes[decision > 0 ? i : j] += 1;
        if (!probable) continue;
        constexpr double least = 1e-7;
        const double sigmoid = 1 / (1 + std::exp(a[pair] * decision + b[pair]));
        const double p = sigmoid > least ? std::min(sigmoid, 1 - least) : least;  // as libsvm, not a number gives the least
        pairs[i * k + j] = p;
        pairs[j * k + i] = 1 - p;
      }
    }
    if (!probable) return c.store(0, votes);
    c.store(0, k == 2 ? std::vector<double>{pairs[1], pairs[2]} : coupled(pairs, k));
  };
}

}  // namespace tl::op
