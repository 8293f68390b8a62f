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

// Adds what `op` makes of fp16 values, and of the same in float32, to a row.
void add_call(const std::string& op, const std::vector<Argument>& narrow, const std::vector<Argument>& wide, Precision& row) {
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

struct Large {
  const char* op;
  const char* what;
  std::vector<std::pair<const char*, Shape>>
      reals;  // normal, of reductions uniform in [0, 0.1); weights are scaled to their depth
  std::vector<Argument> others;
  double units = 1;
};

std::vector<Large> large_calls() {
  const auto ints = [](std::vector<std::int32_t> v) {
    return std::vector<Value>{Tensor::of<std::int32_t>({iz(v.size())}, std::span<const std::int32_t>(v))};
  };
  const auto one = [](auto v) { return std::vector<Value>{Tensor::scalar(v)}; };
  const std::vector<Argument> same = {{"pad_type", one(std::string("same"))}};
  const std::vector<Argument> halved = {{"pad_type", one(std::string("same"))}, {"strides", ints({2, 2})}};
  constexpr double winograd = 6;  // of elements a thousandth of the largest: its error follows the largest
  const std::int64_t many = std::int64_t{1} << 20;
  std::vector<Large> rows = {
      {"conv", "3x3, 64 channels, 56 x 56", {{"x", {1, 64, 56, 56}}, {"weight", {64, 64, 3, 3}}}, same, winograd},
      {"conv", "3x3, 256 channels, 14 x 14", {{"x", {1, 256, 14, 14}}, {"weight", {64, 256, 3, 3}}}, same, winograd},
      {"conv", "3x3, stride 2, 64 channels, 56 x 56", {{"x", {1, 64, 56, 56}}, {"weight", {64, 64, 3, 3}}}, halved},
      {"conv", "1x1, 1024 channels, 14 x 14", {{"x", {1, 1024, 14, 14}}, {"weight", {64, 1024, 1, 1}}}, {}},
      {"conv_transpose", "4x4, stride 2, 64 channels, 14 x 14", {{"x", {1, 64, 14, 14}}, {"weight", {64, 32, 4, 4}}}, halved},
      {"linear", "64 rows, 3072 to 256", {{"x", {64, 3072}}, {"weight", {256, 3072}}, {"bias", {256}}}, {}},
      {"matmul", "128 x 4096 x 128", {{"x", {128, 4096}}, {"y", {4096, 128}}}, {}},
      {"scaled_dot_product_attention",
       "2 heads, 512 x 64",
       {{"query", {1, 2, 512, 64}}, {"key", {1, 2, 512, 64}}, {"value", {1, 2, 512, 64}}},
       {}},
      {"softmax", "16 rows of 65536", {{"x", {16, 65536}}}, {{"axis", one(std::int32_t{-1})}}},
      {"softmax", "4 columns of 262144", {{"x", {262144, 4}}}, {{"axis", one(std::int32_t{0})}}},
      {"layer_norm", "64 rows of 4096", {{"x", {64, 4096}}}, {{"axes", ints({1})}}},
      {"instance_norm", "4 planes of 256 x 256", {{"x", {1, 4, 256, 256}}}, {}},
      {"l2_norm", "16 x 128 x 128", {{"x", {1, 16, 128, 128}}}, {}},
      {"avg_pool", "all of 112 x 112", {{"x", {1, 16, 112, 112}}}, {{"kernel_sizes", ints({112, 112})}}},
      {"lstm",
       "128 steps, 128 to 128",
       {{"x", {128, 1, 128}},
        {"initial_h", {1, 128}},
        {"initial_c", {1, 128}},
        {"weight_ih", {512, 128}},
        {"weight_hh", {512, 128}}},
       {{"output_sequence", one(true)}}},
      {"gru",
       "128 steps, 128 to 128",
       {{"x", {128, 1, 128}}, {"initial_h", {1, 128}}, {"weight_ih", {384, 128}}, {"weight_hh", {384, 128}}},
       {{"output_sequence", one(true)}}},
  };
  for (const char* op : {"reduce_sum", "reduce_mean", "reduce_l2_norm", "reduce_log_sum_exp"}) {
    rows.push_back({op, "a row of 1048576", {{"x", {1, many}}}, {{"axes", ints({1})}}});
    rows.push_back({op, "20 columns of 52428", {{"x", {many / 20, 20}}}, {{"axes", ints({0})}}});
  }
  return rows;
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
      add_call(op, narrow, wide, row);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Precision> measure_large_precision(unsigned seed) {
  std::vector<Precision> rows;
  for (const Large& large : large_calls()) {
    const std::string op = large.op;
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> uniform(0, 0.1F);
    std::vector<Argument> narrow = large.others, wide = large.others;
    for (const auto& [name, shape] : large.reals) {
      const bool weight = std::string(name).rfind("weight", 0) == 0;
      const double depth = weight ? static_cast<double>(element_count(shape) / shape[op == "conv_transpose" ? 1 : 0]) : 1;
      const float scale = 1 / static_cast<float>(std::sqrt(depth));
      Tensor values(DType::f32, shape);
      for (float& v : values.mutable_values<float>()) v = op.rfind("reduce", 0) == 0 ? uniform(random) : normal(random) * scale;
      narrow.emplace_back(name, std::vector<Value>{values.cast(DType::f16)});
      wide.emplace_back(name, std::vector<Value>{values.cast(DType::f16).cast(DType::f32)});
    }
    Precision row;
    row.op = fmt::format("{}: {}", op, large.what);
    row.bound = large.units;
    add_call(op, narrow, wide, row);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace tl::test
