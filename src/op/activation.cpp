#include <cmath>

#include "op/elementwise.hpp"

namespace tl::op {

using namespace ir;

namespace {

// An activation with the scalar parameters alpha and, where it has a default, beta.
template <double (*F)(double, double, double)>
void define_scaled(OpDef& op, bool beta) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.in("alpha", dt::floats).constant();
  if (beta) op.in("beta", dt::floats).constant();
  op.infer = [](Infer& c) {
    c.number("alpha");
    if (c.has("beta")) c.number("beta");
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const double alpha = c.number("alpha");
    const double beta = c.has("beta") ? c.number("beta") : 0;
    map_elements(c, [=](double x) { return F(x, alpha, beta); });
  };
}

double clamped_relu(double x, double alpha, double beta) {
  const double y = x < 0 ? alpha * x : x;
  return y > beta ? beta : y;
}
double elu(double x, double alpha, double) { return x < 0 ? alpha * std::expm1(x) : x; }
double leaky_relu(double x, double alpha, double) { return x < 0 ? alpha * x : x; }
double linear_activation(double x, double alpha, double beta) { return alpha * x + beta; }
double scaled_tanh(double x, double alpha, double beta) { return alpha * std::tanh(beta * x); }
double sigmoid_hard(double x, double alpha, double beta) {
  const double y = alpha * x + beta;
  return y < 0 ? 0 : y > 1 ? 1 : y;
}
double thresholded_relu(double x, double alpha, double) { return x < alpha ? 0 : x; }

// An activation with parameters per channel (axis 1).
template <double (*F)(double, double, double)>
void define_channelwise(OpDef& op, bool beta) {
  op.in("x", dt::floats);
  op.in("alpha", dt::floats).constant();
  if (beta) op.in("beta", dt::floats).constant();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    if (dims.size() < 2) c.reject("x", "needs a channel axis, rank is {}", dims.size());
    for (const char* param : {"alpha", "beta"}) {
      if (c.def().param(param) == nullptr) continue;
      const Tensor values = c.known(param);
      if (values.rank() != 1 || (dims[1].known() && values.size() != dims[1].extent())) {
        c.reject(param, "expected one value per channel, got shape {} for {}", to_string(values.shape()), to_string(dims));
      }
    }
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const auto alpha = c.doubles("alpha");
    const auto beta = c.has("beta") ? c.doubles("beta") : std::vector<double>(alpha.size(), 0.0);
    const std::int64_t channels = shape[1];
    const std::int64_t area = channels == 0 || shape[0] == 0 ? 0 : iz(values.size()) / (shape[0] * channels);
    for (std::int64_t begin = 0; begin < iz(values.size()); begin += area) {
      const std::size_t channel = uz(begin / area % channels);
      for (std::int64_t i = begin; i < begin + area; ++i) values[uz(i)] = F(values[uz(i)], alpha[channel], beta[channel]);
    }
    c.store(0, shape, values);
  };
}

double softplus_parametric(double x, double alpha, double beta) {
  const double scaled = beta * x;
  return alpha * (scaled > 0 ? scaled + std::log1p(std::exp(-scaled)) : std::log1p(std::exp(scaled)));
}

}  // namespace

TL_OP(clamped_relu) { define_scaled<clamped_relu>(op, true); }
TL_OP(elu) { define_scaled<elu>(op, false); }
TL_OP(leaky_relu) { define_scaled<leaky_relu>(op, false); }
TL_OP(linear_activation) { define_scaled<linear_activation>(op, true); }
TL_OP(prelu) { define_channelwise<leaky_relu>(op, false); }
TL_OP(scaled_tanh) { define_scaled<scaled_tanh>(op, true); }
TL_OP(sigmoid_hard) { define_scaled<sigmoid_hard>(op, true); }
TL_OP(softplus_parametric) { define_channelwise<softplus_parametric>(op, true); }
TL_OP(thresholded_relu) { define_scaled<thresholded_relu>(op, false); }

TL_OP(gelu) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.in("mode", dt::string).constant().def("EXACT");
  op.infer = [](Infer& c) {
    const std::string mode = c.text("mode");
    if (mode != "EXACT" && mode != "TANH_APPROXIMATION" && mode != "SIGMOID_APPROXIMATION")
      c.reject("mode", "unknown mode '{}'", mode);
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const std::string mode = c.text("mode");
    if (mode == "EXACT") {
      map_elements(c, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); });
    } else if (mode == "TANH_APPROXIMATION") {
      map_elements(c, [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); });
    } else {
      map_elements(c, [](double x) { return x / (1 + std::exp(-1.702 * x)); });
    }
  };
}

TL_OP(softmax) {
  op.in("x", dt::floats);
  op.in("axis", dt::i32).constant().def(-1);
  op.infer = [](Infer& c) {
    c.axis("axis", c.rank("x"));
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    const std::int64_t axis = c.axis("axis", rank);
    std::int64_t inner = 1;
    for (std::int64_t i = axis + 1; i < rank; ++i) inner *= shape[uz(i)];
    const std::int64_t extent = shape[uz(axis)];
    for (std::int64_t block = 0; block < iz(values.size()); block += extent * inner) {
      for (std::int64_t i = 0; i < inner; ++i) {
        double* at = values.data() + block + i;
        double largest = -INFINITY;
        for (std::int64_t k = 0; k < extent; ++k) largest = std::fmax(largest, at[k * inner]);
        double sum = 0;
        for (std::int64_t k = 0; k < extent; ++k) sum += at[k * inner] = std::exp(at[k * inner] - largest);
        for (std::int64_t k = 0; k < extent; ++k) at[k * inner] /= sum;
      }
    }
    c.store(0, shape, values);
  };
}

}  // namespace tl::op
