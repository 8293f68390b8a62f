#include "op/samples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tl::test {

std::int64_t Draw::number(std::int64_t low, std::int64_t high) {
  if (high < low) return low;  // of an extent of 0
  const auto span = static_cast<std::uint64_t>(high - low + 1);
  return low + static_cast<std::int64_t>(random() % span);
}

double Draw::real_number(double low, double high) { return low + (high - low) * static_cast<double>(random() % 4097) / 4096; }

Shape Draw::shape(std::int64_t low_rank, std::int64_t high_rank) {
  Shape result(uz(number(low_rank, high_rank)));
  std::int64_t elements = 1;
  for (std::int64_t& extent : result) {
    extent = std::min(number(coin(8) ? 1 : 2, most_extent), std::max<std::int64_t>(1, most_elements / elements));
    elements *= extent;
  }
  for (std::int64_t& extent : result) extent = zero_extents != 0 && coin(zero_extents) ? 0 : extent;
  return result;
}

Operand Draw::fresh(DType dtype, const Shape& shape, double low, double high) {
  Operand operand{dtype, shape, {}, nullptr, false};
  Tensor wide(DType::f64, shape);
  for (double& v : wide.mutable_values<double>()) {
    v = is_floating(dtype) ? real_number(low, high) : static_cast<double>(number(std::llround(low), std::llround(high)));
  }
  operand.value = wide.cast(dtype);
  return operand;
}

Operand Draw::weight(const Shape& shape, double low, double high) {
  Operand operand = fresh(real, shape, low, high);
  operand.constant = true;
  return operand;
}

Operand Draw::boolean(const Shape& shape) { return fresh(DType::boolean, shape, 0, 1); }

Operand Draw::any(std::int64_t low_rank, std::int64_t high_rank, bool exact) {
  ir::Var* var =
      reuse([&](DType dtype, const Shape& s) { return dtype == real && iz(s.size()) >= low_rank && iz(s.size()) <= high_rank; },
            exact);
  if (var != nullptr) return {real, *ir::shape_of(var->type.tensor()), {}, var, false};
  return fresh(real, shape(low_rank, high_rank), -2, 2);
}

Operand Draw::of(const Shape& wanted, bool exact) {
  ir::Var* var = reuse([&](DType dtype, const Shape& s) { return dtype == real && s == wanted; }, exact);
  if (var != nullptr) return {real, wanted, {}, var, false};
  Operand operand = fresh(real, wanted, -2, 2);
  operand.constant = coin(4);
  return operand;
}

void Draw::set(const std::string& name, Tensor value) {
  Operand operand{value.dtype(), value.shape(), std::move(value), nullptr, true};
  arguments.push_back({name, {std::move(operand)}});
}

void Draw::set(const std::string& name, const std::vector<std::int64_t>& values) {
  Tensor tensor(DType::i32, {iz(values.size())});
  std::transform(values.begin(), values.end(), tensor.mutable_values<std::int32_t>().begin(),
                 [](std::int64_t v) { return static_cast<std::int32_t>(v); });
  set(name, std::move(tensor));
}

namespace {

std::int64_t count(const Shape& shape) { return element_count(shape); }

// An axis, sometimes counted from the end.
std::int64_t axis_of(Draw& d, std::size_t rank) { return d.number(-iz(rank), iz(rank) - 1); }
std::size_t at(std::int64_t axis, std::size_t rank) { return uz(axis < 0 ? axis + iz(rank) : axis); }

std::vector<std::int64_t> some_axes(Draw& d, std::size_t rank) {
  std::vector<std::int64_t> axes;
  for (std::size_t i = 0; i < rank; ++i) {
    if (d.coin()) axes.push_back(d.coin(4) ? iz(i) - iz(rank) : iz(i));
  }
  if (axes.empty()) axes.push_back(iz(rank) - 1);
  return axes;
}

// A shape that broadcasts against `shape`.
Shape broadcastable(Draw& d, Shape shape) {
  if (d.coin()) return shape;
  if (!shape.empty()) shape.erase(shape.begin(), shape.begin() + d.number(0, iz(shape.size())));
  for (std::int64_t& extent : shape) extent = d.coin(3) ? 1 : extent;
  return shape;
}

Tensor number_list(DType dtype, const std::vector<double>& values) {
  return Tensor::of<double>({iz(values.size())}, values).cast(dtype);
}

void unary(Draw& d) { d.bind("x", d.any(0, 5)); }
void unary_exact(Draw& d) { d.bind("x", d.any(0, 5, true)); }
template <int Low, int High>  // in hundredths
void unary_in(Draw& d) {
  d.bind("x", d.fresh(d.real, d.shape(0, 4), Low / 100.0, High / 100.0));
}
void with_alpha(Draw& d) {
  unary(d);
  d.set("alpha", d.real_number(0.1, 1));
}
void with_alpha_beta(Draw& d) {
  with_alpha(d);
  d.set("beta", d.real_number(0.25, 1));
}
void with_alpha_exact(Draw& d) {
  unary_exact(d);
  d.set("alpha", d.real_number(0.1, 1));
}
void per_channel(Draw& d, bool beta) {
  const Operand x = d.any(3, 5);
  d.bind("x", x);
  d.bind("alpha", d.weight({x.shape[1]}, 0.1, 1));
  if (beta) d.bind("beta", d.weight({x.shape[1]}, 0.1, 1));
}

void binary(Draw& d, bool exact = false) {
  const Operand x = d.any(0, 4, exact);
  const Operand y = d.of(broadcastable(d, x.shape), exact);
  const bool swapped = d.coin();
  d.bind("x", swapped ? y : x);
  d.bind("y", swapped ? x : y);
}
void binary_exact(Draw& d) {
  if (!d.coin(3)) return binary(d, true);
  const Shape shape = d.shape(0, 4);
  d.bind("x", d.fresh(DType::i32, shape, -5, 5));
  d.bind("y", d.fresh(DType::i32, broadcastable(d, shape), 1, 5));
}
void division(Draw& d) {
  const Operand x = d.any(0, 4);
  d.bind("x", x);
  d.bind("y", d.fresh(d.real, broadcastable(d, x.shape), 0.5, 3));
}
void logical(Draw& d) {
  const Shape shape = d.shape(0, 4);
  d.bind("x", d.boolean(shape));
  d.bind("y", d.boolean(broadcastable(d, shape)));
}

void reduction(Draw& d) {
  const Operand x = d.any(1, 5);
  d.bind("x", x);
  if (!d.coin(4)) d.set("axes", some_axes(d, x.shape.size()));
  d.set("keep_dims", d.coin());
}
void positive_reduction(Draw& d) {
  const Shape shape = d.shape(1, 4);
  d.bind("x", d.fresh(d.real, shape, 0.5, 1.5));
  d.set("axes", some_axes(d, shape.size()));
  d.set("keep_dims", d.coin());
}
void arg_reduction(Draw& d) {
  const Operand x = d.any(1, 4, true);
  d.bind("x", x);
  d.set("axis", axis_of(d, x.shape.size()));
  d.set("keep_dims", d.coin());
}

// Strides, dilations and padding of windows of `kernel` on `x` [N, C, spatial...].
void windows(Draw& d, const Shape& x, const std::vector<std::int64_t>& kernel, bool dilated, bool same_allowed = true) {
  std::vector<std::int64_t> strides, dilations, pad;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    strides.push_back(d.number(1, 3));
    dilations.push_back(dilated && d.coin(3) && (kernel[i] - 1) * 2 + 1 <= x[i + 2] ? 2 : 1);
    pad.push_back(d.number(0, kernel[i] / 2));
    pad.push_back(d.number(0, kernel[i] / 2));
  }
  if (!d.coin(3)) d.set("strides", strides);
  if (dilated && !d.coin(3)) d.set("dilations", dilations);
  const std::string type =
      d.one_of<std::string>(same_allowed ? std::vector<std::string>{"valid", "same", "same_lower", "custom"}
                                         : std::vector<std::string>{"valid", "custom"});
  d.set("pad_type", type);
  if (type == "custom") d.set("pad", pad);
}

Operand image(Draw& d, std::int64_t low_rank = 3, std::int64_t high_rank = 5) {
  Operand x = d.any(low_rank, high_rank);
  const bool small = std::any_of(x.shape.begin() + 2, x.shape.end(), [](std::int64_t e) { return e < 2; });
  if (!small && (x.shape[1] > 1 || d.coin(3))) return x;
  Shape shape = d.shape(low_rank, high_rank);
  for (std::size_t i = 2; i < shape.size(); ++i) shape[i] = d.number(3, std::max<std::int64_t>(4, d.most_extent + 2));
  shape[1] = d.one_of<std::int64_t>({1, 2, 4, 8});
  return d.fresh(d.real, shape, -2, 2);
}

std::vector<std::int64_t> kernel_for(Draw& d, const Shape& x) {
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < x.size(); ++i) kernel.push_back(d.number(1, std::min<std::int64_t>(3, x[i])));
  return kernel;
}

void pool(Draw& d) {
  const Operand x = image(d);
  d.bind("x", x);
  const auto kernel = kernel_for(d, x.shape);
  d.set("kernel_sizes", kernel);
  windows(d, x.shape, kernel, false);
}
void average(Draw& d) {
  pool(d);
  d.set("exclude_padding_from_average", d.coin());
}

// 1 of 0 too.
std::int64_t divisor(Draw& d, std::int64_t value) {
  std::vector<std::int64_t> divisors{1};
  for (std::int64_t i = 2; i <= value; ++i) {
    if (value % i == 0) divisors.push_back(i);
  }
  return d.one_of(divisors);
}

void convolution(Draw& d) {
  const Operand x = image(d);
  const std::int64_t groups = d.coin() ? 1 : divisor(d, x.shape[1]);
  Shape weight{groups * d.number(1, 5), x.shape[1] / groups};
  const auto kernel = kernel_for(d, x.shape);
  weight.insert(weight.end(), kernel.begin(), kernel.end());
  d.bind("x", x);
  d.bind("weight", d.coin(5) ? d.of(weight) : d.weight(weight));
  if (d.coin()) d.bind("bias", d.weight({weight[0]}));
  windows(d, x.shape, kernel, true);
  d.set("groups", groups);
}

void quantized_convolution(Draw& d) {
  const Operand x = image(d, 4, 4);
  const auto kernel = kernel_for(d, x.shape);
  const std::int64_t out = d.number(1, 4);
  Shape weight{out, x.shape[1]};
  weight.insert(weight.end(), kernel.begin(), kernel.end());
  d.bind("x", x);
  Operand codes = d.fresh(DType::u8, weight, 0, 255);
  codes.constant = true;
  d.bind("weight", codes);
  windows(d, x.shape, kernel, true);
  d.set("quantization_type", "linear");
  d.bind("quant_scale", d.weight({out}, 0.001, 0.01));
  d.bind("quant_bias", d.weight({out}));
}

void transposed_convolution(Draw& d) {
  const Operand x = image(d);
  const std::int64_t groups = d.coin() ? 1 : divisor(d, x.shape[1]);
  Shape weight{x.shape[1], d.number(1, 4)};
  const auto kernel = kernel_for(d, x.shape);
  weight.insert(weight.end(), kernel.begin(), kernel.end());
  d.bind("x", x);
  d.bind("weight", d.weight(weight));
  if (d.coin()) d.bind("bias", d.weight({weight[1] * groups}));
  windows(d, x.shape, kernel, false, d.coin(4));
  d.set("groups", groups);
}

void linear(Draw& d) {
  const Operand x = d.any(1, 4);
  const std::int64_t out = d.number(1, d.coin(4) ? 70 : 6);
  d.bind("x", x);
  d.bind("weight", d.weight({out, x.shape.back()}));
  if (d.coin()) d.bind("bias", d.weight({out}));
}

void matrix_product(Draw& d) {
  const Operand x = d.any(2, 4);
  const bool tx = d.coin(4), ty = d.coin();
  const std::size_t rank = x.shape.size();
  const std::int64_t depth = tx ? x.shape[rank - 2] : x.shape[rank - 1];
  Shape y(x.shape.begin(), x.shape.end() - 2);
  if (d.coin(3)) y.clear();
  for (std::int64_t& extent : y) extent = d.coin(4) ? 1 : extent;
  const std::int64_t columns = d.number(1, 7);
  y.push_back(ty ? columns : depth);
  y.push_back(ty ? depth : columns);
  d.bind("x", x);
  d.bind("y", d.of(y));
  d.set("transpose_x", tx);
  d.set("transpose_y", ty);
}

void einstein(Draw& d) {
  const std::int64_t a = d.number(1, 4), b = d.number(1, 5), c = d.number(1, 5), e = d.number(1, 4), f = d.number(1, 4);
  struct Form {
    const char* equation;
    Shape x, y;
  };
  const std::vector<Form> forms = {
      {"abc,acd->abd", {a, b, c}, {a, c, e}}, {"nchw,nwhu->nchu", {a, b, c, e}, {a, e, c, f}}, {"ab,bc->ac", {a, b}, {b, c}},
      {"ab,ab->a", {a, b}, {a, b}},           {"bhqd,bhkd->bhqk", {a, b, c, e}, {a, b, f, e}}, {"a,b->ab", {a}, {b}}};
  const Form form = d.one_of(forms);
  d.bind("values", {d.of(form.x), d.of(form.y)});
  d.set("equation", form.equation);
}

void attention(Draw& d) {
  const Shape lead = d.shape(1, 2);
  const std::int64_t queries = d.number(1, 6), keys = d.number(1, 9), width = d.number(1, 8), out = d.number(1, 8);
  const auto with = [&](std::int64_t rows, std::int64_t columns) {
    Shape shape = lead;
    shape.insert(shape.end(), {rows, columns});
    return shape;
  };
  d.bind("query", d.of(with(queries, width)));
  d.bind("key", d.of(with(keys, width)));
  d.bind("value", d.of(with(keys, out)));
  if (d.coin(3)) d.bind("attn_mask", d.coin() ? d.of({queries, keys}) : d.of(with(queries, keys)));
}

void tl_attention(Draw& d) {
  const std::int64_t b = d.number(1, 2), h = d.number(1, 3), l = d.number(1, 6), s = d.number(1, 9), e = d.number(1, 8),
                     f = d.number(1, 8);
  const bool last = d.coin();
  const auto heads = [&](std::int64_t rows, std::int64_t columns) {
    return last ? Shape{b, rows, h, columns} : Shape{b, h, rows, columns};
  };
  d.bind("query", d.fresh(d.real, heads(l, e), -2, 2));
  d.bind("key", d.fresh(d.real, heads(s, e), -2, 2));
  d.bind("value", d.fresh(d.real, heads(s, f), -2, 2));
  if (d.coin()) d.bind("attn_mask", d.fresh(d.real, d.coin() ? Shape{l, s} : Shape{b, 1, l, s}, -2, 2));
  d.set("scale", 0.5);
  d.set("heads_last", last);
}

void epilogue(Draw& d, const Shape& out) {
  if (d.coin()) d.bind("residual", d.fresh(d.real, out, -2, 2));
  if (d.coin()) {
    const auto kind = d.one_of<std::string>({"clamp", "gelu", "hard_swish", "leaky_relu", "sigmoid", "silu", "tanh"});
    d.set("activation", kind);
    if (kind == "hard_swish" && d.coin()) d.set("threshold", -0.5);
    d.set("alpha", 0.25);
    d.set("beta", 0.75);
  }
}

void tl_linear(Draw& d) {
  const Shape x = d.shape(2, 3);
  const std::int64_t out = d.number(1, 40);
  d.bind("x", d.fresh(d.real, x, -2, 2));
  d.bind("weight", d.weight({out, x.back()}));
  if (d.coin()) d.bind("bias", d.weight({out}));
  if (d.coin()) d.bind("scale", d.weight({out}));
  Shape shape = x;
  shape.back() = out;
  epilogue(d, shape);
}

void tl_conv(Draw& d) {
  const std::int64_t n = d.number(1, 2), h = d.number(3, 8), w = d.number(3, 8), c = d.one_of<std::int64_t>({1, 3, 4, 16});
  const bool depthwise = d.coin(3);
  const std::int64_t groups = depthwise ? c : 1, out = depthwise ? c : d.number(1, 20), k = d.one_of<std::int64_t>({1, 3});
  d.bind("x", d.fresh(d.real, {n, h, w, c}, -2, 2));
  d.bind("weight", d.weight({out, c / groups, k, k}));
  if (d.coin()) d.bind("bias", d.weight({out}));
  d.set("pad_type", "same");
  d.set("groups", groups);
  epilogue(d, {n, h, w, out});
}

void tl_pool(Draw& d) {
  d.bind("x", d.fresh(d.real, {d.number(1, 2), d.number(3, 8), d.number(3, 8), d.number(1, 20)}, -2, 2));
  d.set("kernel_sizes", {d.number(1, 3), d.number(1, 3)});
  d.set("strides", {d.number(1, 2), d.number(1, 2)});
  d.set("pad_type", d.one_of<std::string>({"valid", "same"}));
}

void norm(Draw& d, std::vector<const char*> params) {
  const Operand x = d.any(3, 5);
  d.bind("x", x);
  for (const char* param : params) {
    const bool needed = std::string(param) == "mean" || std::string(param) == "variance";
    if (needed || d.coin()) d.bind(param, d.weight({x.shape[1]}, 0.25, 1));
  }
  d.set("epsilon", 1e-3);
}

void layer_norm(Draw& d) {
  const Operand x = d.any(1, 4);
  const std::size_t first = uz(d.number(0, iz(x.shape.size()) - 1));
  std::vector<std::int64_t> axes(x.shape.size() - first);
  std::iota(axes.begin(), axes.end(), iz(first));
  d.bind("x", x);
  d.set("axes", axes);
  const Shape tail(x.shape.begin() + iz(first), x.shape.end());
  if (d.coin()) d.bind("gamma", d.weight(tail));
  if (d.coin()) d.bind("beta", d.weight(tail));
  d.set("epsilon", 1e-3);
}

void recurrent(Draw& d, std::int64_t gates, bool lstm) {
  const std::int64_t steps = d.number(1, 4), batch = d.number(1, 3), in = d.number(1, 5), hidden = d.number(1, 5);
  const bool both = lstm && d.coin(3);
  const std::int64_t width = both ? 2 * hidden : hidden;
  d.bind("x", d.of({steps, batch, in}));
  d.bind("initial_h", d.of({batch, width}));
  if (lstm) d.bind("initial_c", d.of({batch, width}));
  d.bind("weight_ih", d.weight({gates * hidden, in}));
  d.bind("weight_hh", d.weight({gates * hidden, hidden}));
  if (d.coin()) d.bind("bias", d.weight({gates * hidden}));
  if (both) {
    d.bind("weight_ih_back", d.weight({gates * hidden, in}));
    d.bind("weight_hh_back", d.weight({gates * hidden, hidden}));
  }
  d.set("direction", both ? "bidirectional" : d.coin() ? "forward" : "reverse");
  d.set("output_sequence", d.coin());
}

void moves(Draw& d) { d.bind("x", d.any(1, 5)); }

void reshaped(Draw& d) {
  const Operand x = d.any(0, 5);
  Shape flat{count(x.shape)};
  while (d.coin() && flat.size() < 5) {
    const std::int64_t part = divisor(d, flat.back());
    flat.back() /= part;
    flat.push_back(part);
  }
  std::vector<std::int64_t> shape(flat.begin(), flat.end());
  if (d.coin(3) && count(x.shape) != 0) shape[uz(d.number(0, iz(shape.size()) - 1))] = -1;
  d.bind("x", x);
  d.set("shape", shape);
}

void reshaped_like(Draw& d) {
  const Operand x = d.any(1, 3);
  d.bind("x", x);
  d.bind("ref_tensors", {d.fresh(d.real, x.shape, -1, 1)});
  const auto list = [&](const char* name, Tensor value) { d.set(name, std::move(value)); };
  list("begins", Tensor::scalar(std::int32_t{0}));
  list("ends", Tensor::scalar(static_cast<std::int32_t>(x.shape.size())));
  list("end_masks", Tensor::scalar(false));
}

void expanded(Draw& d) {
  const Operand x = d.any(0, 3);
  d.bind("x", x);
  d.set("axes", std::vector<std::int64_t>{d.number(0, iz(x.shape.size()))});
}

void squeezed(Draw& d) {
  Shape shape = d.shape(1, 4);
  const std::size_t axis = uz(d.number(0, iz(shape.size()) - 1));
  shape[axis] = 1;
  d.bind("x", d.of(shape));
  d.set("axes", std::vector<std::int64_t>{iz(axis)});
}

void transposed(Draw& d) {
  const Operand x = d.any(1, 5);
  std::vector<std::int64_t> perm(x.shape.size());
  std::iota(perm.begin(), perm.end(), std::int64_t{0});
  std::shuffle(perm.begin(), perm.end(), d.random);
  d.bind("x", x);
  d.set("perm", perm);
}

void joined(Draw& d, bool stacked) {
  const Operand x = d.any(1, 4);
  const std::int64_t axis = axis_of(d, x.shape.size());
  std::vector<Operand> values{x};
  for (std::int64_t i = d.number(0, 2); i > 0; --i) {
    Shape shape = x.shape;
    if (!stacked && d.coin()) shape[at(axis, shape.size())] = d.number(1, 4);
    values.push_back(d.of(shape));
  }
  d.bind("values", std::move(values));
  d.set("axis", axis);
}

void split(Draw& d) {
  const Operand x = d.any(1, 4);
  const std::int64_t axis = axis_of(d, x.shape.size());
  const std::int64_t extent = x.shape[at(axis, x.shape.size())];
  d.bind("x", x);
  if (d.coin()) {
    d.set("num_splits", divisor(d, extent));
  } else {
    const std::int64_t first = d.number(0, extent);
    d.set("split_sizes", {first, extent - first});
  }
  d.set("axis", axis);
}

void tiled(Draw& d) {
  const Operand x = d.any(1, 3);
  std::vector<std::int64_t> reps;
  for (std::size_t i = 0; i < x.shape.size(); ++i) reps.push_back(d.number(1, 2));
  d.bind("x", x);
  d.set("reps", reps);
}

void reversed_sequence(Draw& d) {
  const Operand x = d.any(2, 4);
  d.bind("x", x);
  d.bind("lengths", d.indices({x.shape[0]}, 0, x.shape[1]));
  d.set("seq_axis", 1);
  d.set("batch_axis", 0);
}

void slice_bounds(Draw& d, const Shape& shape, Shape* taken) {
  std::vector<std::int64_t> begin, end, stride;
  for (const std::int64_t extent : shape) {
    const std::int64_t first = d.number(0, extent - 1);
    const std::int64_t last = d.number(first + 1, extent);
    const std::int64_t step = d.coin() ? 1 : d.number(1, 3);
    begin.push_back(d.coin(4) ? first - extent : first);
    end.push_back(d.coin(4) && last < extent ? last - extent : last);
    stride.push_back(step);
    taken->push_back((last - first + step - 1) / step);
  }
  d.set("begin", begin);
  d.set("end", end);
  d.set("stride", stride);
}

void sliced(Draw& d) {
  const Operand x = d.any(1, 5);
  Shape taken;
  d.bind("x", x);
  slice_bounds(d, x.shape, &taken);
  if (d.coin(3)) {
    Tensor mask(DType::boolean, {iz(x.shape.size())});
    for (bool& m : mask.mutable_values<bool>()) m = d.coin(3);
    d.set(d.one_of<std::string>({"begin_mask", "end_mask", "squeeze_mask"}), mask);
  }
}

void updated(Draw& d) {
  const Operand x = d.any(1, 4);
  Shape taken;
  d.bind("x", x);
  slice_bounds(d, x.shape, &taken);
  d.bind("update", d.of(taken));
}

void sized_slice(Draw& d) {
  const Operand x = d.any(1, 4);
  std::vector<std::int64_t> begin, size;
  for (const std::int64_t extent : x.shape) {
    begin.push_back(d.number(0, extent - 1));
    size.push_back(d.coin(4) ? -1 : d.number(1, extent - begin.back()));
  }
  d.bind("x", x);
  d.set("begin", begin);
  d.set("size", size);
}

void padded(Draw& d) {
  const Operand x = d.any(1, 5);
  const std::string mode = d.one_of<std::string>({"constant", "reflect", "replicate"});
  std::vector<std::int64_t> pad;
  for (const std::int64_t extent : x.shape) {
    const std::int64_t most = mode == "reflect" ? std::min<std::int64_t>(2, extent - 1) : 2;
    pad.insert(pad.end(), {d.number(0, most), d.number(0, most)});
  }
  const std::size_t axes = uz(d.number(1, std::min<std::int64_t>(mode == "constant" ? 5 : 2, iz(x.shape.size()))));
  pad.erase(pad.begin(), pad.end() - iz(2 * axes));
  d.bind("x", x);
  d.set("pad", pad);
  d.set("mode", mode);
  if (mode == "constant") d.set("constant_val", d.coin() ? 0.0 : 1.5);
}

void gathered(Draw& d) {
  const Operand x = d.any(1, 4);
  const std::int64_t axis = axis_of(d, x.shape.size());
  const std::int64_t extent = x.shape[at(axis, x.shape.size())];
  d.bind("x", x);
  d.bind("indices", d.indices(d.shape(0, 2), -extent, extent - 1));
  d.set("axis", axis);
}

void gathered_along(Draw& d) {
  const Operand x = d.any(1, 4);
  const std::int64_t axis = axis_of(d, x.shape.size());
  const std::int64_t extent = x.shape[at(axis, x.shape.size())];
  Shape shape = x.shape;
  shape[at(axis, shape.size())] = d.number(1, 4);
  d.bind("x", x);
  d.bind("indices", d.indices(shape, -extent, extent - 1));
  d.set("axis", axis);
}

// Indices whose last axis names a place in the first axes of `shape`.
Operand places(Draw& d, const Shape& shape, std::size_t depth, Shape lead) {
  lead.push_back(iz(depth));
  Operand operand = d.indices(lead, 0, 0);
  Tensor values = operand.value.clone();
  auto numbers = values.mutable_values<std::int32_t>();
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int32_t>(d.number(0, shape[i % depth] - 1));
  operand.value = values;
  return operand;
}

void gathered_nd(Draw& d) {
  const Operand x = d.any(1, 4);
  d.bind("x", x);
  d.bind("indices", places(d, x.shape, uz(d.number(1, iz(x.shape.size()))), d.shape(1, 2)));
}

std::string scatter_mode(Draw& d) { return d.one_of<std::string>({"add", "update", "sub", "mul", "max", "min"}); }

void scattered(Draw& d) {
  const Operand data = d.any(1, 3);
  const std::int64_t axis = axis_of(d, data.shape.size());
  const std::size_t place = at(axis, data.shape.size());
  const std::int64_t picks = d.number(1, 4);
  Shape updates = data.shape;
  updates[place] = picks;
  d.bind("data", data);
  d.bind("indices", d.indices({picks}, 0, data.shape[place] - 1));
  d.bind("updates", d.of(updates));
  d.set("axis", axis);
  d.set("mode", scatter_mode(d));
}

void scattered_along(Draw& d) {
  const Operand data = d.any(1, 3);
  const std::int64_t axis = axis_of(d, data.shape.size());
  const std::size_t place = at(axis, data.shape.size());
  Shape shape = data.shape;
  shape[place] = d.number(1, 4);
  d.bind("data", data);
  d.bind("indices", d.indices(shape, 0, data.shape[place] - 1));
  d.bind("updates", d.of(shape));
  d.set("axis", axis);
  d.set("mode", scatter_mode(d));
}

void scattered_nd(Draw& d) {
  const Operand data = d.any(1, 3);
  const std::size_t depth = uz(d.number(1, iz(data.shape.size())));
  Shape lead = d.shape(1, 1);
  d.bind("data", data);
  d.bind("indices", places(d, data.shape, depth, lead));
  lead.insert(lead.end(), data.shape.begin() + iz(depth), data.shape.end());
  d.bind("updates", d.of(lead));
  d.set("mode", scatter_mode(d));
}

void ordered(Draw& d) {
  const Operand x = d.any(1, 3, true);
  d.bind("x", x);
  d.set("axis", axis_of(d, x.shape.size()));
  d.set("ascending", d.coin());
}

void top(Draw& d) {
  const Operand x = d.any(1, 3, true);
  const std::int64_t axis = axis_of(d, x.shape.size());
  d.bind("x", x);
  d.set("k", d.number(1, x.shape[at(axis, x.shape.size())]));
  d.set("axis", axis);
  d.set("ascending", d.coin());
}

void blocks(Draw& d, const char* param, bool to_depth, bool spatial) {
  const std::int64_t b = d.number(1, 2);
  Shape shape{d.number(1, 2), d.number(1, 3), d.number(1, 4), d.number(1, 4)};
  if (to_depth) {
    shape[2] *= b;
    shape[3] *= b;
  } else {
    shape[1] *= b * b;
  }
  (void)spatial;
  d.bind("x", d.of(shape));
  d.set(param, b);
}

void space_batch(Draw& d, bool to_batch) {
  const std::int64_t b = d.number(1, 2), c = d.number(1, 2);
  Shape shape{d.number(1, 2), d.number(1, 3), d.number(1, 3), d.number(1, 3)};
  if (to_batch) {
    shape[2] *= b;
    shape[3] *= c;
  } else {
    shape[0] *= b * c;
  }
  d.bind("x", d.of(shape));
  d.set("block_shape", {b, c});
  d.set(to_batch ? "paddings" : "crops", Tensor::zeros(DType::i32, {2, 2}));
}

void scaled_size(Draw& d, bool linear) {
  const Operand x = image(d, 3, 4);
  d.bind("x", x);
  d.set("scale_factor_height", d.number(1, 3));
  d.set("scale_factor_width", d.number(1, 3));
  if (linear) d.set("align_corners", d.coin());
}

std::string sampling(Draw& d) {
  return d.one_of<std::string>({"DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "UNALIGN_CORNERS", "OFFSET_CORNERS"});
}

void target_size(Draw& d, bool linear) {
  d.bind("x", image(d, 3, 4));
  d.set("target_size_height", d.number(1, 7));
  d.set("target_size_width", d.number(1, 7));
  if (linear) d.set("sampling_mode", sampling(d));
}

void resized(Draw& d) {
  d.bind("x", image(d, 3, 4));
  d.set("shape", {d.number(1, 7), d.number(1, 7)});
  d.set("resized_dims", 2);
  d.set("interpolation_mode", "LINEAR");
  d.set("sampling_mode", sampling(d));
}

void sampled(Draw& d) {
  d.set("sampling_mode", "bilinear");
  d.set("padding_mode", d.one_of<std::string>({"constant", "border", "reflection", "symmetric"}));
  d.set("padding_value", 0.5);
  d.set("coordinates_mode", "normalized_minus_one_to_one");
  d.set("align_corners", d.coin());
}

template <void (*F)(Draw&, bool), bool B>
void with(Draw& d) {
  F(d, B);
}

std::map<std::string, Sample> table() {
  std::map<std::string, Sample> rows;
  const auto add = [&](std::initializer_list<const char*> names, void (*draw)(Draw&), bool jumps = false, bool exact = false) {
    for (const char* name : names) rows[name] = Sample{draw, jumps, exact};
  };
  add({"abs", "relu", "relu6", "identity"}, unary, false, true);
  add({"atan", "cos", "erf", "exp", "exp2", "sigmoid", "silu", "sin", "sinh", "softplus", "softsign", "square", "tanh", "cosh"},
      unary);
  add({"ceil", "floor", "round", "sign"}, unary_exact, true, true);
  add({"acos", "asin", "atanh"}, unary_in<-95, 95>);
  add({"tan"}, unary_in<-100, 100>);
  add({"sqrt", "log", "rsqrt", "inverse"}, unary_in<20, 400>);
  add({"elu", "leaky_relu"}, with_alpha);
  add({"threshold"}, with_alpha, false, true);
  add({"thresholded_relu"}, with_alpha_exact, true);
  add({"clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard", "tl.hard_swish"}, with_alpha_beta);
  rows["clip"] = {[](Draw& d) {
                    unary(d);
                    d.set("alpha", -0.5);
                    d.set("beta", 0.75);
                  },
                  false, true};
  rows["gelu"] = {[](Draw& d) {
    unary(d);
    d.set("mode", d.one_of<std::string>({"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}));
  }};
  add({"prelu"}, with<per_channel, false>);
  add({"softplus_parametric"}, with<per_channel, true>);
  rows["softmax"] = {[](Draw& d) {
    const Operand x = d.any(1, 4);
    d.bind("x", x);
    d.set("axis", axis_of(d, x.shape.size()));
  }};
  add({"add", "sub", "mul", "maximum", "minimum"}, with<binary, false>);
  add({"real_div"}, division);
  rows["pow"] = {[](Draw& d) {
    const Shape shape = d.shape(0, 4);
    d.bind("x", d.fresh(d.real, shape, 0.2, 2));
    d.bind("y", d.fresh(d.real, broadcastable(d, shape), -2, 2));
  }};
  for (const char* name : {"floor_div", "mod"}) {
    rows[name] = {[](Draw& d) {
                    const Shape shape = d.shape(0, 4);
                    const DType dtype = d.coin() ? DType::i32 : d.real;
                    d.bind("x", d.fresh(dtype, shape, -9, 9));
                    d.bind("y", d.fresh(dtype, broadcastable(d, shape), 1, 5));
                  },
                  true, true};
  }
  add({"equal", "not_equal", "greater", "greater_equal", "less", "less_equal"}, binary_exact, true, true);
  add({"logical_and", "logical_or", "logical_xor"}, logical, true, true);
  rows["logical_not"] = {[](Draw& d) { d.bind("x", d.boolean(d.shape(0, 4))); }, true, true};
  rows["select"] = {[](Draw& d) {
                      const Operand a = d.any(0, 4);
                      d.bind("cond", d.boolean(broadcastable(d, a.shape)));
                      d.bind("a", a);
                      d.bind("b", d.of(broadcastable(d, a.shape)));
                    },
                    false, true};
  rows["cast"] = {[](Draw& d) {
                    const Operand x = d.any(0, 4, true);
                    d.bind("x", x);
                    d.set("dtype", d.one_of<std::string>({"fp16", "fp32", "int32", "bool"}));
                  },
                  true, true};
  add({"reduce_sum", "reduce_mean", "reduce_l1_norm", "reduce_l2_norm", "reduce_sum_square", "reduce_log_sum_exp"}, reduction);
  add({"reduce_max", "reduce_min"}, reduction, false, true);
  add({"reduce_prod", "reduce_log_sum"}, positive_reduction);
  add({"reduce_argmax", "reduce_argmin"}, arg_reduction, true, true);
  rows["cumsum"] = {[](Draw& d) {
    const Operand x = d.any(1, 4);
    d.bind("x", x);
    d.set("axis", axis_of(d, x.shape.size()));
    d.set("exclusive", d.coin());
    d.set("reverse", d.coin());
  }};
  add({"max_pool"}, pool, false, true);
  add({"l2_pool"}, pool);
  add({"avg_pool"}, average);
  add({"conv"}, convolution);
  add({"conv_quantized"}, quantized_convolution);
  add({"conv_transpose"}, transposed_convolution);
  add({"linear"}, linear);
  add({"matmul"}, matrix_product);
  add({"einsum"}, einstein);
  add({"scaled_dot_product_attention"}, attention);
  add({"tl.attention"}, tl_attention);
  add({"tl.linear"}, tl_linear);
  add({"tl.conv"}, tl_conv);
  add({"tl.max_pool"}, tl_pool, false, true);
  add({"tl.avg_pool"}, tl_pool);
  rows["batch_norm"] = {[](Draw& d) { norm(d, {"mean", "variance", "gamma", "beta"}); }};
  rows["instance_norm"] = {[](Draw& d) { norm(d, {"gamma", "beta"}); }};
  add({"layer_norm"}, layer_norm);
  rows["l2_norm"] = {[](Draw& d) { d.bind("x", d.any(3, 5)); }};
  rows["local_response_norm"] = {[](Draw& d) {
    d.bind("x", d.any(3, 5));
    d.set("size", d.number(1, 5));
    d.set("alpha", 0.5);
  }};
  rows["lstm"] = {[](Draw& d) { recurrent(d, 4, true); }};
  rows["gru"] = {[](Draw& d) { recurrent(d, 3, false); }};
  rows["rnn"] = {[](Draw& d) { recurrent(d, 1, false); }};
  add({"reshape"}, reshaped, false, true);
  add({"reshape_like"}, reshaped_like, false, true);
  add({"expand_dims"}, expanded, false, true);
  add({"squeeze"}, squeezed, false, true);
  rows["flatten2d"] = {[](Draw& d) {
                         const Operand x = d.any(1, 4);
                         d.bind("x", x);
                         d.set("axis", d.number(0, iz(x.shape.size())));
                       },
                       false, true};
  add({"shape"}, moves, false, true);
  add({"transpose"}, transposed, false, true);
  add({"concat"}, with<joined, false>, false, true);
  add({"stack"}, with<joined, true>, false, true);
  add({"split"}, split, false, true);
  add({"tile"}, tiled, false, true);
  rows["reverse"] = {[](Draw& d) {
                       const Operand x = d.any(1, 4);
                       d.bind("x", x);
                       d.set("axes", some_axes(d, x.shape.size()));
                     },
                     false, true};
  add({"reverse_sequence"}, reversed_sequence, false, true);
  add({"slice_by_index"}, sliced, false, true);
  add({"slice_update"}, updated, false, true);
  add({"slice_by_size"}, sized_slice, false, true);
  add({"pad"}, padded, false, true);
  add({"gather"}, gathered, false, true);
  add({"gather_along_axis"}, gathered_along, false, true);
  add({"gather_nd"}, gathered_nd, false, true);
  add({"scatter"}, scattered);
  add({"scatter_along_axis"}, scattered_along);
  add({"scatter_nd"}, scattered_nd);
  add({"argsort"}, ordered, true, true);
  add({"topk"}, top, true, true);
  rows["depth_to_space"] = {[](Draw& d) { blocks(d, "block_size", false, true); }, false, true};
  rows["space_to_depth"] = {[](Draw& d) { blocks(d, "block_size", true, true); }, false, true};
  rows["pixel_shuffle"] = {[](Draw& d) { blocks(d, "upscale_factor", false, true); }, false, true};
  rows["pixel_unshuffle"] = {[](Draw& d) { blocks(d, "downscale_factor", true, true); }, false, true};
  add({"space_to_batch"}, with<space_batch, true>, false, true);
  add({"batch_to_space"}, with<space_batch, false>, false, true);
  rows["sliding_windows"] = {[](Draw& d) {
                               const Operand x = d.any(1, 3);
                               const std::int64_t axis = axis_of(d, x.shape.size());
                               d.bind("x", x);
                               d.set("axis", axis);
                               d.set("size", d.number(1, x.shape[at(axis, x.shape.size())]));
                               d.set("stride", d.number(1, 2));
                             },
                             false, true};
  rows["band_part"] = {[](Draw& d) {
                         d.bind("x", d.any(2, 4));
                         d.set("lower", d.number(-1, 3));
                         d.set("upper", d.number(-1, 3));
                       },
                       false, true};
  rows["crop"] = {[](Draw& d) {
                    const Operand x = image(d, 3, 4);
                    const std::size_t rank = x.shape.size();
                    d.bind("x", x);
                    d.set("crop_height", {0, d.number(0, x.shape[rank - 2] - 1)});
                    d.set("crop_width", {d.number(0, x.shape[rank - 1] - 1), 0});
                  },
                  false, true};
  rows["crop_resize"] = {[](Draw& d) {
    const Operand x = image(d, 4, 4);
    const std::int64_t n = d.number(1, 3);
    d.bind("x", x);
    d.bind("boxes", d.fresh(d.real, {n, 4}, 0, 1));
    d.bind("box_indices", d.indices({n}, 0, x.shape[0] - 1));
    d.set("target_height", d.number(1, 5));
    d.set("target_width", d.number(1, 5));
    d.set("normalized_coordinates", true);
    d.set("sampling_mode", sampling(d));
  }};
  rows["upsample_nearest_neighbor"] = {with<scaled_size, false>, false, true};
  add({"upsample_bilinear"}, with<scaled_size, true>);
  rows["resize_nearest_neighbor"] = {with<target_size, false>, false, true};
  add({"resize_bilinear"}, with<target_size, true>);
  add({"resize"}, resized);
  rows["resample"] = {[](Draw& d) {
    const Operand x = image(d, 4, 4);
    d.bind("x", x);
    d.bind("coordinates", d.fresh(d.real, {x.shape[0], d.number(1, 4), d.number(1, 4), 2}, -1.25, 1.25));
    sampled(d);
  }};
  rows["affine"] = {[](Draw& d) {
    const Operand x = image(d, 4, 4);
    d.bind("x", x);
    d.bind("transform_matrix", d.fresh(d.real, {x.shape[0], 6}, -1, 1));
    d.set("output_height", d.number(1, 4));
    d.set("output_width", d.number(1, 4));
    sampled(d);
  }};
  rows["fill"] = {[](Draw& d) {
                    const Shape shape = d.shape(1, 4);
                    d.set("shape", std::vector<std::int64_t>(shape.begin(), shape.end()));
                    d.set("value", 1.5);
                  },
                  false, true};
  rows["fill_like"] = {[](Draw& d) {
                         d.bind("ref_tensor", d.any(0, 4));
                         d.set("value", 1.5);
                       },
                       false, true};
  rows["range_1d"] = {[](Draw& d) {
                        const DType dtype = d.coin() ? DType::i32 : d.real;
                        const auto scalar = [&](std::int64_t value) {
                          return Tensor::scalar(static_cast<double>(value)).cast(dtype);
                        };
                        d.set("end", scalar(d.number(5, 9)));
                        d.set("start", scalar(d.number(0, 4)));
                        d.set("step", scalar(d.number(1, 2)));
                      },
                      false, true};
  rows["one_hot"] = {[](Draw& d) {
                       const Shape shape = d.shape(1, 2);
                       d.bind("indices", d.indices(shape, 0, 4));
                       d.set("one_hot_vector_size", 5);
                       d.set("axis", d.number(-1, iz(shape.size())));
                       d.set("on_value", 1.0);
                       d.set("off_value", 0.0);
                     },
                     false, true};
  rows["non_zero"] = {[](Draw& d) { d.bind("x", d.fresh(DType::i32, d.shape(1, 3), 0, 1)); }, true, true};
  rows["non_maximum_suppression"] = {[](Draw& d) {
                                       const std::int64_t n = d.number(1, 2), boxes = d.number(1, 8), classes = d.number(1, 3);
                                       d.bind("boxes", d.fresh(d.real, {n, boxes, 4}, 0, 4));
                                       d.bind("scores", d.fresh(d.real, {n, boxes, classes}, 0, 1));
                                       d.set("iou_threshold", 0.5);
                                       d.set("score_threshold", 0.25);
                                       d.set("max_boxes", d.number(1, 6));
                                     },
                                     true, true};
  for (const char* name : {"random_uniform", "random_normal", "random_bernoulli"}) {
    rows[name] = {[](Draw& d) {
                    const Shape shape = d.shape(1, 3);
                    d.set("shape", std::vector<std::int64_t>(shape.begin(), shape.end()));
                    d.set("seed", 7);
                  },
                  true, true};
  }
  rows["random_categorical"] = {[](Draw& d) {
                                  d.bind("x", d.fresh(d.real, {d.number(1, 3), d.number(1, 4)}, 0, 1));
                                  d.set("size", d.number(1, 3));
                                  d.set("seed", 7);
                                },
                                true, true};
  rows["quantize"] = {[](Draw& d) {
                        const Operand x = d.any(1, 4, true);
                        d.bind("input", x);
                        d.set("scale", 0.125);
                        d.set("output_dtype", d.one_of<std::string>({"int8", "uint8"}));
                      },
                      true, true};
  rows["dequantize"] = {[](Draw& d) {
    d.bind("input", d.fresh(d.coin() ? DType::i8 : DType::u8, d.shape(1, 4), 0, 100));
    d.set("scale", 0.125);
  }};
  rows["constexpr_affine_dequantize"] = {[](Draw& d) {
    const Shape shape = d.shape(1, 3);
    d.set("quantized_data", d.fresh(DType::i8, shape, -9, 9).value);
    d.set("zero_point", d.fresh(DType::i8, {shape[0]}, -2, 2).value);
    d.set("scale", d.weight({shape[0]}, 0.1, 1).value);
    d.set("axis", 0);
  }};
  rows["constexpr_cast"] = {[](Draw& d) {
                              d.set("source_val", d.fresh(DType::f16, d.shape(1, 3), -2, 2).value);
                              d.set("output_dtype", "fp32");
                            },
                            false, true};
  rows["constexpr_lut_to_dense"] = {[](Draw& d) {
                                      Shape lut = d.shape(2, 3);
                                      d.set("indices", d.fresh(DType::u2, lut, 0, 3).value);
                                      std::fill(lut.begin(), lut.end(), 1);
                                      lut.insert(lut.end(), {4, 1});
                                      d.set("lut", d.weight(lut).value);
                                    },
                                    false, true};
  rows["constexpr_sparse_to_dense"] = {[](Draw& d) {
                                         d.set("nonzero_data", number_list(d.real, {1.5, -2, 3}));
                                         d.set("mask", number_list(DType::u1, {0, 1, 1, 0, 0, 1}).reshaped({2, 3}));
                                       },
                                       false, true};
  rows["constexpr_blockwise_shift_scale"] = {[](Draw& d) {
    d.set("data", d.fresh(DType::i4, {2, 8}, -8, 7).value);
    d.set("scale", d.weight({2, 2}, 0.1, 1).value);
    d.set("offset", d.fresh(DType::i4, {2, 2}, -2, 2).value);
  }};
  rows["constexpr_lut_to_sparse"] = {[](Draw& d) {
                                       d.set("indices_mask", number_list(DType::u1, {0, 1, 1, 0, 0, 1}).reshaped({2, 3}));
                                       d.set("indices_nonzero_data", number_list(DType::u1, {0, 1, 1}));
                                       d.set("lut", d.weight({1, 1, 2, 1}).value);
                                     },
                                     false, true};
  rows["constexpr_sparse_blockwise_shift_scale"] = {[](Draw& d) {
    d.set("data_mask", number_list(DType::u1, {0, 1, 1, 0, 0, 1}).reshaped({2, 3}));
    d.set("nonzero_data", number_list(DType::i8, {5, -3, 7}));
    d.set("scale", d.weight({2, 1}, 0.1, 1).value);
  }};
  rows["tl.one_hot_category"] = {[](Draw& d) {
                                   d.set("x", Tensor::scalar(std::string("b")));
                                   d.set("categories", Tensor::of_strings({3}, {"a", "b", "c"}));
                                 },
                                 true, true};
  rows["tl.one_hot_dictionary"] = {[](Draw& d) {
                                     d.bind("x", d.fresh(DType::i64, {}, 4, 5));
                                     d.set("categories", number_list(DType::i64, {3, 4, 5}));
                                   },
                                   true, true};
  rows["tl.map_category"] = {[](Draw& d) {
                               d.bind("x", d.fresh(DType::i64, {}, 4, 5));
                               d.set("keys", number_list(DType::i64, {3, 4, 5}));
                               d.set("values", Tensor::of_strings({3}, {"a", "b", "c"}));
                               d.set("fallback", Tensor::scalar(std::string("none")));
                             },
                             true, true};
  rows["tl.pick_boxes"] = {[](Draw& d) {
                             const std::int64_t boxes = d.number(1, 6), classes = d.number(1, 3);
                             d.bind("confidence", d.fresh(DType::f64, {boxes, classes}, 0, 1));
                             d.bind("coordinates", d.fresh(DType::f64, {boxes, 4}, 0, 2));
                             d.bind("confidence_threshold", d.fresh(DType::f64, {}, 0.25, 0.5));
                             d.bind("iou_threshold", d.fresh(DType::f64, {}, 0.25, 0.5));
                             d.set("default_confidence", Tensor::scalar(0.5));
                             d.set("default_iou", Tensor::scalar(0.5));
                             d.set("per_class", d.coin());
                           },
                           true, true};
  rows["tl.svm_classes"] = {[](Draw& d) {
                              d.bind("kernel", d.fresh(DType::f64, {5}, 0, 1));
                              d.set("counts", {2, 2, 1});
                              d.set("coefficients", d.fresh(DType::f64, {2, 5}, -1, 1).value);
                              d.set("rho", d.fresh(DType::f64, {3}, -1, 1).value);
                            },
                            true, true};
  rows["tl.nearest_neighbors"] = {[](Draw& d) {
                                    d.bind("x", d.fresh(DType::f64, {2}, -1, 1));
                                    d.set("samples", d.fresh(DType::f32, {4, 2}, -1, 1).value);
                                    d.set("labels", Tensor::of_strings({4}, {"a", "b", "a", "c"}));
                                    d.set("k", 2);
                                    d.set("inverse", d.coin());
                                  },
                                  true, true};
  rows["tl.probit_regression"] = {[](Draw& d) {
                                    d.bind("x", d.fresh(DType::f64, {2}, 0, 2));
                                    for (const char* param : {"optimism", "scale", "truncation"})
                                      d.bind(param, d.fresh(DType::f64, {}, 0.5, 1));
                                    d.set("features", number_list(DType::i64, {0, 0, 1}));
                                    d.set("values", number_list(DType::i64, {0, 1, 2}));
                                    d.set("means", number_list(DType::f64, {0.5, -0.25, 1}));
                                    d.set("variances", number_list(DType::f64, {1, 0.5, 2}));
                                    d.set("bias_mean", Tensor::scalar(0.25));
                                    d.set("bias_variance", Tensor::scalar(1.0));
                                  },
                                  true, true};
  rows["tl.tree_ensemble"] = {[](Draw& d) {
                                d.bind("x", d.fresh(DType::f64, {3}, -1, 1));
                                const auto list = [&](const char* name, std::vector<double> values, DType dtype = DType::i32) {
                                  d.set(name, number_list(dtype, values));
                                };
                                list("roots", {0});
                                list("behavior", {0, 6, 6});
                                list("feature", {1, 0, 0});
                                list("value", {0.25, 0, 0}, DType::f64);
                                list("yes", {1, 0, 0});
                                list("no", {2, 0, 0});
                                list("missing", {0, 0, 0});
                                list("leaf_begin", {0, 0, 1, 2});
                                list("leaf_index", {0, 1});
                                list("leaf_value", {1.5, -2}, DType::f64);
                                list("base", {0.5, 0.25}, DType::f64);
                              },
                              true, true};
  return rows;
}

}  // namespace

const std::map<std::string, Sample>& samples() {
  static const std::map<std::string, Sample> rows = table();
  return rows;
}

const std::vector<std::string>& program_ops() {
  static const std::vector<std::string> names = {"classify",
                                                 "cond",
                                                 "const",
                                                 "coreml_update_state",
                                                 "custom_layer",
                                                 "list_gather",
                                                 "list_length",
                                                 "list_read",
                                                 "list_scatter",
                                                 "list_write",
                                                 "make_list",
                                                 "read_state",
                                                 "tl.custom_model",
                                                 "tl.dictionary_vector",
                                                 "tl.impute_dictionary",
                                                 "tl.similar_items",
                                                 "tl.update_state",
                                                 "while_loop",
                                                 "write_state"};
  return names;
}

}  // namespace tl::test
