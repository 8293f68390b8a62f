#include "op/precision.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "op/device_run.hpp"
#include "op/samples.hpp"

namespace tl::test {
namespace {

struct Family {
  const char* name;
  double units;  // the bound: half a unit is the one rounding; float arithmetic on the way can move it to the next number
  std::vector<const char*> ops;
};

// Ops that are not named here are of the family "element-wise".
const std::vector<Family>& families() {
  static const std::vector<Family> rows = {
      {"convolution", 1, {"conv", "conv_quantized", "conv_transpose", "tl.conv"}},
      {"product", 1, {"linear", "matmul", "einsum", "tl.linear"}},
      {"attention", 1, {"scaled_dot_product_attention", "tl.attention"}},
      {"recurrent", 1, {"lstm", "gru", "rnn"}},
      {"normalisation", 1, {"batch_norm", "instance_norm", "layer_norm", "l2_norm", "local_response_norm", "softmax"}},
      {"pool", 1, {"avg_pool", "l2_pool", "tl.avg_pool"}},
      {"reduction",
       1,
       {"reduce_sum", "reduce_mean", "reduce_l1_norm", "reduce_l2_norm", "reduce_sum_square", "reduce_log_sum_exp",
        "reduce_prod", "reduce_log_sum", "cumsum"}},
      {"scatter", 1, {"scatter", "scatter_along_axis", "scatter_nd"}},
      {"resampling", 1, {"upsample_bilinear", "resize_bilinear", "resize", "crop_resize", "resample", "affine"}},
  };
  return rows;
}

// The distance between neighbours at |v| in fp16.
double fp16_unit(double v) {
  const int exponent = v == 0 ? -24 : std::max(std::ilogb(v), -14);
  return std::ldexp(1.0, exponent - 10);
}

std::vector<Argument> arguments_of(const Draw& draw, DType real) {
  std::vector<Argument> result;
  for (const auto& [name, operands] : draw.arguments) {
    auto& values = result.emplace_back(name, std::vector<Value>()).second;
    for (const Operand& operand : operands)
      values.emplace_back(operand.value.dtype() == DType::f16 ? operand.value.cast(real) : operand.value);
  }
  return result;
}

void compare(const Tensor& want, const Tensor& got, Precision& row) {
  double largest = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    if (std::isfinite(want.number_at(i))) largest = std::max(largest, std::fabs(want.number_at(i)));
  }
  const bool same = !is_floating(want.dtype()) || want.dtype() == DType::f64;
  for (std::int64_t i = 0; same && i < want.size(); ++i) {
    if (want.number_at(i) != got.number_at(i) && !std::isnan(want.number_at(i)))
      row.units = std::numeric_limits<double>::infinity();
    ++row.values;
  }
  for (std::int64_t i = 0; !same && i < want.size(); ++i) {
    const double rounded = to_float(to_f16(want.number_at(i)));
    if (!std::isfinite(rounded)) continue;
    const double unit = fp16_unit(std::max(std::fabs(rounded), largest / 1024));
    row.units = std::max(row.units, std::fabs(got.number_at(i) - rounded) / unit);
    ++row.values;
  }
}

// |got - want| over |want|, both as vectors.
double norm_error(const Tensor& want, const Tensor& got) {
  double error = 0, norm = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double w = want.number_at(i);
    if (!std::isfinite(w)) continue;
    error += (got.number_at(i) - w) * (got.number_at(i) - w);
    norm += w * w;
  }
  return norm == 0 ? 0 : std::sqrt(error / norm);
}

}  // namespace

std::vector<Precision> measure_precision(int draws, unsigned seed) {
  std::vector<Precision> rows;
  for (const auto& [op, sample] : samples()) {
    if (!ir::find_op(op)->pure) continue;
    const bool exact = sample.exact || sample.jumps;
    Precision row;
    row.op = op;
    row.family = exact ? "exact" : "element-wise";
    row.bound = exact ? 0 : 1;
    for (const Family& family : families()) {
      for (const char* name : family.ops) {
        if (op != name) continue;
        row.family = family.name;
        row.bound = family.units;
      }
    }
    std::mt19937 random(seed);
    for (int i = 0; i < draws; ++i) {
      Draw draw(random);
      draw.real = DType::f16;
      draw.most_extent = i % 4 == 3 ? 24 : 7;
      draw.most_elements = 2000;
      sample.draw(draw);
      const auto narrow = arguments_of(draw, DType::f16), wide = arguments_of(draw, DType::f32);
      const auto want = run_eagerly(op, wide);
      const auto got = run_on_device(op, narrow);
      const auto got_wide = run_on_device(op, wide);
      for (std::size_t k = 0; k < want.size(); ++k) {
        if (!want[k].is_tensor() || want[k].tensor().dtype() == DType::string) continue;
        compare(want[k].tensor(), got[k].tensor(), row);
        if (is_floating(want[k].tensor().dtype()))
          row.norm_error = std::max(row.norm_error, norm_error(want[k].tensor(), got_wide[k].tensor()));
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace tl::test
