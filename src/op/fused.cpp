// The dialect `tl.`: what passes make of MIL ops for kernels. Images are channels-last here, [N, H, W, C].
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "op/elementwise.hpp"
#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr std::array<std::size_t, 4> to_first = {0, 3, 1, 2};
constexpr std::array<std::size_t, 4> to_last = {0, 2, 3, 1};

Dims permuted(const Dims& dims, const std::array<std::size_t, 4>& order) {
  return {dims[order[0]], dims[order[1]], dims[order[2]], dims[order[3]]};
}

Tensor permuted(const Tensor& x, const std::array<std::size_t, 4>& order) {
  Shape shape;
  std::vector<std::int64_t> from;
  const auto strides = strides_of(x.shape());
  for (const std::size_t axis : order) {
    shape.push_back(x.shape()[axis]);
    from.push_back(strides[axis]);
  }
  Tensor out(x.dtype(), shape);
  copy_strided(x.data(), from, out.mutable_data(), strides_of(shape), shape, uz(bits(x.dtype()) / 8));
  return out;
}

bool fused_param(std::string_view name) {
  return name.substr(0, 8) == "residual" || name == "activation" || name == "alpha" || name == "beta" || name == "threshold" ||
         name.substr(0, 2) == "y_" || name.substr(0, 4) == "mid_";
}

// The MIL op behind a channels-last one, on `x` as it would stand in MIL.
Op base_of(const OpView& c, Var& x) {
  Op base;
  base.type = c.op().type.substr(3);
  base.def = find_op(base.type);
  for (const Argument& argument : c.op().inputs) {
    if (fused_param(argument.name)) continue;
    base.inputs.push_back(argument.name == "x" ? Argument{"x", {&x}} : argument);
  }
  return base;
}

Dims base_dims(Infer& c) {
  const Dims dims = c.dims("x");
  if (dims.size() != 4) c.reject("x", "expected rank 4, got {}", dims.size());
  Var x;
  x.type = Type(c.dtype("x"), permuted(dims, to_first));
  const std::vector<Type> types = infer_types(base_of(c, x));
  return permuted(*types[0].tensor().dims, to_last);
}

// The result of the MIL op in float32, channels-last.
Tensor base_value(Eval& c) {
  std::vector<std::pair<std::string, Value>> inputs;
  for (const Argument& argument : c.op().inputs) {
    if (fused_param(argument.name)) continue;
    Tensor value = c.in(argument.name);
    if (argument.name == "x") value = permuted(value, to_first);
    if (argument.name == "x" || argument.name == "weight" || argument.name == "bias") value = value.cast(DType::f32);
    inputs.emplace_back(argument.name, value);
  }
  return permuted(eager(c.op().type.substr(3), std::move(inputs)).front().tensor(), to_last);
}

double activated(const std::string& kind, double alpha, double beta, double x) {
  const auto gate = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto limited = [](double v) { return v < 0 ? 0 : v > 1 ? 1 : v; };
  if (kind == "clamp") {  // as clip: beta where alpha is larger
    const double raised = x < alpha ? alpha : x;
    return raised > beta ? beta : raised;
  }
  if (kind == "leaky_relu") return x < 0 ? alpha * x : x;
  if (kind == "sigmoid") return gate(x);
  if (kind == "tanh") return std::tanh(x);
  if (kind == "thresholded_relu") return x < alpha ? 0 : x;
  if (kind == "silu") return x * gate(x);
  if (kind == "gelu") return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  if (kind == "gelu_tanh") return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  if (kind == "gelu_sigmoid") return x * gate(1.702 * x);
  if (kind == "hard_sigmoid") return limited(alpha * x + beta);
  if (kind == "hard_swish") return x * limited(alpha * x + beta);
  return x < 0 ? alpha * std::expm1(x) : x;
}

constexpr std::array<std::string_view, 12> activations = {"clamp",     "elu",          "gelu",       "gelu_sigmoid",
                                                          "gelu_tanh", "hard_sigmoid", "hard_swish", "leaky_relu",
                                                          "sigmoid",   "silu",         "tanh",       "thresholded_relu"};

// What follows the sums: y = activation(sums + residual), which takes values below `threshold` as 0; then, with y_scale,
// clamp(round(y / y_scale) + y_zero_point), and with y_values the y before that as a second result. With mid_scale the sums are
// quantized and dequantized in that way first. With residual_scale the residual is levels.
void epilogue_parameters(OpDef& op) {
  op.in("residual", dt::floats | dt::of(DType::i8) | dt::of(DType::u8)).optional();
  op.in("activation", dt::string).constant().optional();
  op.in("alpha", dt::floats).constant().optional();
  op.in("beta", dt::floats).constant().optional();
  op.in("threshold", dt::floats).constant().optional();
  for (const char* scale : {"mid_scale", "residual_scale", "y_scale"}) op.in(scale, dt::floats).constant().optional();
  for (const char* zero : {"mid_zero_point", "residual_zero_point", "y_zero_point"})
    op.in(zero, dt::floats).constant().optional();
  for (const char* dtype : {"mid_dtype", "y_dtype"}) op.in(dtype, dt::string).constant().optional();
  op.in("y_values", dt::boolean).constant().def(false);
}

// The type of the levels that parameters of this prefix tell.
DType level_type(const OpView& c, const std::string& prefix) {
  const std::string name = c.text(prefix + "_dtype");
  if (name != "int8" && name != "uint8") c.reject(prefix + "_dtype", "expected int8 or uint8, got '{}'", name);
  if (c.number(prefix + "_scale") == 0) c.reject(prefix + "_scale", "is zero");
  c.number(prefix + "_zero_point");
  return name == "int8" ? DType::i8 : DType::u8;
}

void out_as_told(Infer& c, Dims dims) {
  if (c.has("mid_scale")) level_type(c, "mid");
  const bool both = c.boolean("y_values");
  if (both && !c.has("y_scale")) c.reject("y_values", "there are no levels beside the values");
  c.out(c.has("y_scale") ? level_type(c, "y") : c.dtype("x"), dims);
  if (both) c.out(c.dtype("x"), std::move(dims));
}

// `values`, rounded to `dtype`, as levels.
Tensor levels(const OpView& c, const std::string& prefix, const std::vector<double>& values, const Shape& shape, DType dtype) {
  Tensor wide(DType::f64, shape);
  std::copy(values.begin(), values.end(), wide.mutable_values<double>().begin());
  const Tensor zero = Tensor::scalar(static_cast<float>(c.number(prefix + "_zero_point")));
  return eager("quantize", {{"input", wide.cast(dtype)},
                            {"scale", Tensor::scalar(static_cast<float>(c.number(prefix + "_scale")))},
                            {"zero_point", zero.cast(level_type(c, prefix))},
                            {"output_dtype", Tensor::scalar(c.text(prefix + "_dtype"))}})
      .front()
      .tensor();
}

void check_epilogue(Infer& c, const Dims& dims) {
  if (c.has("residual")) {
    const DType dtype = c.dtype("residual");
    const bool levels = dtype == DType::i8 || dtype == DType::u8;
    if (!levels && dtype != c.dtype("x")) c.reject("residual", "its dtype differs from x's");
    if (levels && !c.has("residual_scale")) c.reject("residual", "levels without residual_scale");
    if (!levels && c.has("residual_scale")) c.reject("residual_scale", "the residual is no levels");
    if (levels) c.number("residual_scale"), c.number("residual_zero_point");
    if (!compatible(Type(dtype, dims), c.type("residual"))) {
      c.reject("residual", "expected shape {}, got {}", to_string(dims), to_string(c.dims("residual")));
    }
  }
  if (!c.has("activation")) return;
  const std::string kind = c.text("activation");
  if (std::find(activations.begin(), activations.end(), kind) == activations.end())
    c.reject("activation", "unknown kind '{}'", kind);
  c.number("alpha");
  c.number("beta");
  if (!c.has("threshold")) return;
  c.number("threshold");
  if (kind != "hard_swish") c.reject("threshold", "goes with hard_swish, not with '{}'", kind);
}

double threshold_of(const OpView& c) {
  return c.has("threshold") ? c.number("threshold") : -std::numeric_limits<double>::infinity();
}

// Levels as values, rounded to `dtype`.
std::vector<double> from_levels(const OpView& c, const std::string& prefix, const Tensor& levels, DType dtype) {
  const Tensor zero = Tensor::scalar(static_cast<float>(c.number(prefix + "_zero_point"))).cast(levels.dtype());
  const Tensor scale = Tensor::scalar(static_cast<float>(c.number(prefix + "_scale"))).cast(dtype);
  const Tensor back =
      eager("dequantize", {{"input", levels}, {"scale", scale}, {"zero_point", zero}}).front().tensor().cast(DType::f64);
  const auto rounded = back.values<double>();
  return {rounded.begin(), rounded.end()};
}

void finish(Eval& c, const Tensor& sums) {
  const DType dtype = c.in("x").dtype();
  const Tensor wide = sums.cast(DType::f64);
  const auto given = wide.values<double>();
  std::vector<double> values(given.begin(), given.end());
  if (c.has("mid_scale")) values = from_levels(c, "mid", levels(c, "mid", values, sums.shape(), dtype), dtype);
  if (c.has("residual")) {
    const std::vector<double> residual =
        c.has("residual_scale") ? from_levels(c, "residual", c.in("residual"), dtype) : c.doubles("residual");
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += residual[i];
  }
  if (c.has("activation")) {
    const std::string kind = c.text("activation");
    const double alpha = c.number("alpha");
    const double beta = c.number("beta");
    const double threshold = threshold_of(c);
    for (double& v : values) v = activated(kind, alpha, beta, v < threshold ? 0 : v);
  }
  if (!c.has("y_scale")) return c.store(0, sums.shape(), values);
  c.set(0, levels(c, "y", values, sums.shape(), dtype));
  if (c.boolean("y_values")) c.store(1, sums.shape(), values);
}

void define_pool(OpDef& op) {
  op.in("x", dt::floats);
  op.in("kernel_sizes", dt::ints).constant();
  op.in("strides", dt::ints).constant().optional();
  op.in("pad_type", dt::string).constant().def("valid");
  op.in("pad", dt::ints).constant().optional();
  op.in("ceil_mode", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) { c.out(c.dtype("x"), base_dims(c)); };
  op.eval = [](Eval& c) { finish(c, base_value(c)); };
}

}  // namespace

// conv on [N, H, W, C] with the weight as MIL has it, [out, in / groups, kh, kw], and an epilogue.
TL_OP(tl_conv) {
  op.in("x", dt::floats);
  op.in("weight", dt::floats).constant();
  op.in("bias", dt::floats).constant().optional();
  op.in("strides", dt::ints).constant().optional();
  op.in("pad_type", dt::string).constant().def("valid");
  op.in("pad", dt::ints).constant().optional();
  op.in("dilations", dt::ints).constant().optional();
  op.in("groups", dt::ints).constant().def(1);
  epilogue_parameters(op);
  op.infer = [](Infer& c) {
    const Dims dims = base_dims(c);
    check_epilogue(c, dims);
    out_as_told(c, dims);
  };
  op.eval = [](Eval& c) { finish(c, base_value(c)); };
}

TL_OP(tl_avg_pool) {
  define_pool(op);
  op.in("exclude_padding_from_average", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    c.boolean("exclude_padding_from_average");
    c.out(c.dtype("x"), base_dims(c));
  };
}

TL_OP(tl_max_pool) { define_pool(op); }

// linear with an epilogue: x [..., K], weight [N, K]; its result times `scale` [N] takes part in that.
TL_OP(tl_linear) {
  op.in("x", dt::floats);
  op.in("weight", dt::floats).constant();
  op.in("bias", dt::floats).constant().optional();
  op.in("scale", dt::floats).constant().optional();
  epilogue_parameters(op);
  op.infer = [](Infer& c) {
    Dims dims = c.dims("x");
    const Dims weight = c.dims("weight");
    if (weight.size() != 2) c.reject("weight", "expected rank 2, got {}", weight.size());
    if (dims.empty() || (dims.back().known() && dims.back() != weight[1]))
      c.reject("x", "expected last extent {}, got {}", to_string(Dims{weight[1]}), to_string(dims));
    for (const char* each : {"bias", "scale"}) {
      if (c.has(each) && c.dims(each) != Dims{weight[0]}) c.reject(each, "expected {}", to_string(Dims{weight[0]}));
    }
    dims.back() = weight[0];
    check_epilogue(c, dims);
    out_as_told(c, dims);
  };
  op.eval = [](Eval& c) {
    const std::vector<float> x = c.floats("x");
    const std::vector<float> weight = c.floats("weight");
    const std::vector<float> bias = c.has("bias") ? c.floats("bias") : std::vector<float>{};
    const std::vector<float> scale = c.has("scale") ? c.floats("scale") : std::vector<float>{};
    const std::size_t columns = uz(c.shape("weight")[0]);
    const std::size_t depth = uz(c.shape("weight")[1]);
    Tensor sums(DType::f64, c.out_shape());
    auto out = sums.mutable_values<double>();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t n = i % columns;
      const float* row = x.data() + i / columns * depth;
      double sum = bias.empty() ? 0 : static_cast<double>(bias[n]);
      for (std::size_t k = 0; k < depth; ++k) sum += static_cast<double>(row[k]) * static_cast<double>(weight[n * depth + k]);
      out[i] = scale.empty() ? sum : sum * static_cast<double>(scale[n]);
    }
    finish(c, sums);
  };
}

// softmax(scale * query key^T + mask) value over [B, H, L, E], or over [B, L, H, E] with `heads_last`; the mask broadcasts
// against [B, H, L, S].
TL_OP(tl_attention) {
  op.in("query", dt::floats);
  op.in("key", dt::floats);
  op.in("value", dt::floats);
  op.in("attn_mask", dt::floats).optional();
  op.in("scale", dt::floats).constant();
  op.in("heads_last", dt::boolean).constant();
  op.infer = [](Infer& c) {
    c.number("scale");
    Dims dims = c.dims("query");
    const std::size_t positions = c.boolean("heads_last") ? 1 : 2;
    const Dims key = c.dims("key");
    const Dims value = c.dims("value");
    if (dims.size() != 4 || key.size() != 4 || value.size() != 4) c.reject("query", "expected rank 4 for query, key and value");
    const auto agree = [&](const char* param, const Dim& a, const Dim& b) {
      if (a.known() && b.known() && a != b) c.reject(param, "its extents do not fit the others");
    };
    for (std::size_t axis = 0; axis < 3; ++axis) {
      agree("value", value[axis], key[axis]);
      if (axis != positions) agree("key", key[axis], dims[axis]);
    }
    agree("key", key[3], dims[3]);
    if (c.has("attn_mask")) {
      const std::size_t heads = 3 - positions;
      const Dims scores{dims[0], dims[heads], dims[positions], key[positions]};
      const Dims mask = c.dims("attn_mask");
      bool fits = mask.size() <= 4;
      for (std::size_t i = 0; fits && i < mask.size(); ++i) {
        const Dim have = mask[mask.size() - 1 - i], want = scores[3 - i];
        fits = !have.known() || !want.known() || have.extent() == 1 || have == want;
      }
      if (!fits) c.reject("attn_mask", "shape {} for scores of {}", to_string(mask), to_string(scores));
    }
    dims[3] = value[3];
    c.out(c.dtype("query"), dims);
  };
  op.eval = [](Eval& c) {
    const bool last = c.boolean("heads_last");
    constexpr std::array<std::size_t, 4> swapped = {0, 2, 1, 3};
    const auto heads = [&](const char* param) {
      const Tensor wide = c.in(param).cast(DType::f32);
      return last ? permuted(wide, swapped) : wide;
    };
    const auto one = [](std::string_view name, std::vector<std::pair<std::string, Value>> inputs) {
      return eager(name, std::move(inputs)).front().tensor();
    };
    Tensor scores = one("matmul", {{"x", heads("query")}, {"y", heads("key")}, {"transpose_y", Tensor::scalar(true)}});
    scores = one("mul", {{"x", scores}, {"y", Tensor::scalar(static_cast<float>(c.number("scale")))}});
    if (c.has("attn_mask")) scores = one("add", {{"x", scores}, {"y", c.in("attn_mask").cast(DType::f32)}});
    const Tensor shares = one("softmax", {{"x", scores}, {"axis", Tensor::scalar(std::int32_t{-1})}});
    const Tensor out = one("matmul", {{"x", shares}, {"y", heads("value")}});
    c.set(0, (last ? permuted(out, swapped) : out).cast(c.out_dtype()));
  };
}

// x * clamp(alpha * x + beta, 0, 1); 0 where x is below `threshold`.
TL_OP(tl_hard_swish) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.in("alpha", dt::floats).constant();
  op.in("beta", dt::floats).constant();
  op.in("threshold", dt::floats).constant().optional();
  op.infer = [](Infer& c) {
    c.number("alpha");
    c.number("beta");
    if (c.has("threshold")) c.number("threshold");
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const double alpha = c.number("alpha");
    const double beta = c.number("beta");
    const double threshold = threshold_of(c);
    map_elements(c, [=](double x) { return activated("hard_swish", alpha, beta, x < threshold ? 0 : x); });
  };
}

}  // namespace tl::op
