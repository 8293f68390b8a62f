#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <numbers>
#include <random>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr DTypeSet reals = dt::f16 | dt::f32;

// A stream of 64-bit words: the SplitMix64 sequence from a seed (Steele, Lea, Flood 2014).
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : state_(seed) {}

  std::uint64_t word() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  // Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(word() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

// A given seed starts the same stream at every run; without one (or a negative one) each run has a stream of its own.
Stream stream(const Eval& c) {
  const std::int64_t seed = c.integer("seed");
  if (seed >= 0) return Stream(Stream(static_cast<std::uint64_t>(seed)).word());
  static std::atomic<std::uint64_t> counter{(std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}()};
  return Stream(Stream(counter.fetch_add(1)).word());
}

// Type of the result: that of the distribution's first given parameter.
DType real_type(const Infer& c, std::initializer_list<const char*> params) {
  std::optional<DType> found;
  for (const char* param : params) {
    if (c.op().argument(param) == nullptr) continue;
    const DType dtype = c.dtype(param);
    if (found && *found != dtype) c.reject(param, "dtype {} does not match {}", name(dtype), name(*found));
    found = dtype;
  }
  return found.value_or(DType::f32);
}

void infer_shape(Infer& c, DType dtype) {
  const Dims given = c.dims("shape");
  if (given.size() != 1) c.reject("shape", "expected a list of extents, got shape {}", to_string(given));
  if (c.known("shape").defined()) {
    const Shape shape = c.ints("shape");
    for (const std::int64_t extent : shape) {
      if (extent < 0) c.reject("shape", "negative extent in {}", to_string(shape));
    }
    c.out(dtype, dims_of(shape));
  } else if (given[0].known()) {
    c.out(dtype, Dims(uz(given[0].extent()), Dim::unknown()));
  } else {
    c.out(TensorType{dtype, std::nullopt});
  }
}

double finite(const Infer& c, const char* param) {
  const double value = c.number(param);
  if (!std::isfinite(value)) c.reject(param, "must be finite, is {}", value);
  return value;
}

void distribution(OpDef& op) {
  op.pure = false;
  op.in("shape", dt::ints);
  op.in("seed", dt::ints).constant().def(-1);
}

template <class Draw>
void fill(Eval& c, Draw draw) {
  Tensor result(c.out_dtype(), c.out_shape());
  Stream source = stream(c);
  visit_dtype(c.out_dtype(), [&](auto tag) {
    for (auto& out : result.mutable_values<decltype(tag)>()) out = convert_element<decltype(tag)>(draw(source));
  });
  c.set(0, std::move(result));
}

// The largest value of `dtype` below `bound`.
double below(double bound, DType dtype) {
  if (dtype == DType::f32) return std::nextafter(static_cast<float>(bound), -INFINITY);
  const f16 at = to_f16(bound);
  if ((at.bits & 0x7FFFU) == 0) return -0x1p-24;
  return to_float(f16{static_cast<std::uint16_t>((at.bits & 0x8000U) != 0 ? at.bits + 1 : at.bits - 1)});
}

// Cumulated weights of one row of `n` numbers; the last is the total.
void cumulate(const double* row, std::size_t n, bool logits, std::vector<double>& sums) {
  double top = -INFINITY;
  for (std::size_t i = 0; i < n; ++i) {
    if (std::isnan(row[i])) fail(ErrorKind::invalid_argument, "x: a probability is not a number");
    if (!logits && row[i] < 0) fail(ErrorKind::invalid_argument, "x: negative probability {}", row[i]);
    top = std::fmax(top, row[i]);
  }
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double weight = std::isinf(top) ? (row[i] == top ? 1 : 0) : logits ? std::exp(row[i] - top) : row[i];
    sums[i] = total += weight;
  }
  if (!(total > 0)) fail(ErrorKind::invalid_argument, "x: all probabilities of a row are zero");
}

}  // namespace

TL_OP(random_uniform) {
  distribution(op);
  op.in("low", reals).constant().def(0.0);
  op.in("high", reals).constant().def(1.0);
  op.infer = [](Infer& c) {
    if (finite(c, "high") < finite(c, "low")) c.reject("high", "{} lies below low, {}", c.number("high"), c.number("low"));
    infer_shape(c, real_type(c, {"low", "high"}));
  };
  op.eval = [](Eval& c) {
    const double low = c.number("low");
    const double width = c.number("high") - low;
    const double last = std::fmax(low, below(c.number("high"), c.out_dtype()));
    fill(c, [=](Stream& s) { return std::fmin(low + width * s.uniform(), last); });
  };
}

TL_OP(random_normal) {
  distribution(op);
  op.in("mean", reals).constant().def(0.0);
  op.in("stddev", reals).constant().def(1.0);
  op.infer = [](Infer& c) {
    finite(c, "mean");
    if (finite(c, "stddev") < 0) c.reject("stddev", "must not be negative, is {}", c.number("stddev"));
    infer_shape(c, real_type(c, {"mean", "stddev"}));
  };
  op.eval = [](Eval& c) {
    const double mean = c.number("mean");
    const double stddev = c.number("stddev");
    double spare = 0;
    bool has_spare = false;
    fill(c, [=](Stream& s) mutable {
      has_spare = !has_spare;
      if (!has_spare) return mean + stddev * spare;
      const double radius = std::sqrt(-2 * std::log(1 - s.uniform()));  // Box and Muller
      const double angle = 2 * std::numbers::pi * s.uniform();
      spare = radius * std::sin(angle);
      return mean + stddev * (radius * std::cos(angle));
    });
  };
}

TL_OP(random_bernoulli) {
  distribution(op);
  op.in("prob", reals).constant().def(0.5);
  op.infer = [](Infer& c) {
    const double prob = finite(c, "prob");
    if (prob < 0 || prob > 1) c.reject("prob", "must lie in [0, 1], is {}", prob);
    infer_shape(c, real_type(c, {"prob"}));
  };
  op.eval = [](Eval& c) {
    const double prob = c.number("prob");
    fill(c, [=](Stream& s) { return s.uniform() < prob ? 1.0F : 0.0F; });
  };
}

TL_OP(random_categorical) {
  op.pure = false;
  op.in("x", reals);
  op.in("mode", dt::string).constant().def("logits");
  op.in("size", dt::ints).constant().def(1);
  op.in("seed", dt::ints).constant().def(-1);
  op.infer = [](Infer& c) {
    const std::string mode = c.text("mode");
    if (mode != "logits" && mode != "probs") c.reject("mode", "unknown mode '{}'", mode);
    if (c.integer("size") < 1) c.reject("size", "must be at least 1, is {}", c.integer("size"));
    Dims dims = c.dims("x");
    if (dims.empty()) c.reject("x", "needs at least one axis");
    if (dims.back().known() && dims.back().extent() == 0) c.reject("x", "the last axis is empty");
    dims.back() = c.integer("size");
    c.out(c.dtype("x"), dims);
  };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const std::size_t classes = uz(c.shape("x").back());
    const auto size = uz(c.integer("size"));
    const bool logits = c.text("mode") == "logits";
    Stream source = stream(c);
    std::vector<double> result;
    result.reserve(uz(element_count(c.out_shape())));
    std::vector<double> sums(classes);
    for (std::size_t row = 0; row < values.size(); row += classes) {
      cumulate(values.data() + row, classes, logits, sums);
      for (std::size_t k = 0; k < size; ++k) {
        const double at = source.uniform() * sums.back();
        const auto found = std::upper_bound(sums.begin(), sums.end(), at);
        result.push_back(static_cast<double>(std::min(found, sums.end() - 1) - sums.begin()));
      }
    }
    c.store(0, result);
  };
}

}  // namespace tl::op
