#include <algorithm>
#include <cmath>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

TensorPtr constant_like(Call& c, const TensorPtr& x, double value) { return c.ops().fill(x->data.dtype(), {}, value); }

TensorPtr reduce_last(Call& c, const char* op, const TensorPtr& x, std::size_t axes) {
  std::vector<std::int64_t> list;
  for (std::size_t i = 0; i < axes; ++i) list.push_back(-1 - iz(i));
  return c.ops().run(op, {in("x", x), in("axes", list), in("keep_dims", true)});
}

// The rows of a square matrix after elimination: determinant and rank.
std::pair<double, std::int64_t> eliminate(const Tensor& x) {
  if (x.rank() != 2) fail(ErrorKind::invalid_argument, "a matrix is needed, this is {}", to_string(x.shape()));
  const std::int64_t rows = x.dim(0), columns = x.dim(1);
  std::vector<double> m(uz(x.size()));
  double scale = 0;
  for (std::size_t i = 0; i < m.size(); ++i) scale = std::max(scale, std::abs(m[i] = x.number_at(iz(i))));
  const auto at = [&](std::int64_t r, std::int64_t k) -> double& { return m[uz(r * columns + k)]; };
  double determinant = 1;
  std::int64_t rank = 0;
  for (std::int64_t k = 0; k < columns && rank < rows; ++k) {
    std::int64_t best = rank;
    for (std::int64_t r = rank; r < rows; ++r) best = std::abs(at(r, k)) > std::abs(at(best, k)) ? r : best;
    if (std::abs(at(best, k)) <= scale * 1e-9) continue;
    if (best != rank) {
      determinant = -determinant;
      for (std::int64_t j = 0; j < columns; ++j) std::swap(at(best, j), at(rank, j));
    }
    determinant *= at(rank, k);
    for (std::int64_t r = rank + 1; r < rows; ++r) {
      const double factor = at(r, k) / at(rank, k);
      for (std::int64_t j = k; j < columns; ++j) at(r, j) -= factor * at(rank, j);
    }
    ++rank;
  }
  return {rank < rows || rows != columns ? 0 : determinant, rank};
}

TensorPtr pooled(Call& c, const char* op) {
  const Shape size = c.shape(1);
  const std::vector<std::int64_t> window = size.size() == 1 ? std::vector<std::int64_t>{size[0], size[0]} : size;
  const std::int64_t step = c.integer(2, window.at(0));
  const std::int64_t pad = c.integer(3, 0);
  std::vector<OpInput> inputs = {in("x", c.floats(0)), in("kernel_sizes", window),
                                 in("strides", std::vector<std::int64_t>{step, step}),
                                 in("pad_type", pad == 0 ? "valid" : "custom")};
  if (pad != 0) inputs.push_back(in("pad", std::vector<std::int64_t>{pad, pad, pad, pad}));
  return c.ops().run(op, std::move(inputs));
}

}  // namespace

Datum builtin_matmul(Call& c) { return c.ops().matmul(c.tensor(0), c.tensor(1)); }
Datum builtin_linear(Call& c) {
  TensorPtr x = c.floats(0);
  TensorPtr w = c.floats(1);
  DType dtype = TensorOps::common(x->data.dtype(), w->data.dtype());
  std::vector<OpInput> inputs = {in("x", c.ops().cast(x, dtype)), in("weight", c.ops().cast(w, dtype))};
  if (c.has(2)) inputs.push_back(in("bias", c.ops().cast(c.floats(2), dtype)));
  return c.ops().run("linear", std::move(inputs));
}
Datum builtin_einsum(Call& c) {
  std::vector<TensorPtr> operands;
  for (std::size_t i = 1; i < c.args.size(); ++i) operands.push_back(c.floats(i));
  return c.ops().einsum(c.text(0), std::move(operands));
}
Datum builtin_det(Call& c) { return eliminate(c.tensor(0)->data).first; }
Datum builtin_rank(Call& c) { return eliminate(c.tensor(0)->data).second; }
Datum builtin_inv(Call& c) {
  TensorPtr x = c.floats(0);
  if (x->data.rank() != 2 || x->data.dim(0) != x->data.dim(1)) fail(ErrorKind::invalid_argument, "a square matrix is needed");
  const std::int64_t n = x->data.dim(0);
  c.ops().budget().spend(static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(x->data.size()));
  std::vector<double> m(uz(2 * n * n), 0);
  const auto at = [&](std::int64_t r, std::int64_t k) -> double& { return m[uz(r * 2 * n + k)]; };
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t k = 0; k < n; ++k) at(r, k) = x->data.number_at(r * n + k);
    at(r, n + r) = 1;
  }
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t best = k;
    for (std::int64_t r = k; r < n; ++r) best = std::abs(at(r, k)) > std::abs(at(best, k)) ? r : best;
    if (at(best, k) == 0) fail(ErrorKind::invalid_argument, "this matrix has no inverse");
    for (std::int64_t j = 0; j < 2 * n; ++j) std::swap(at(best, j), at(k, j));
    const double pivot = at(k, k);
    for (std::int64_t j = 0; j < 2 * n; ++j) at(k, j) /= pivot;
    for (std::int64_t r = 0; r < n; ++r) {
      const double factor = at(r, k);
      for (std::int64_t j = 0; r != k && j < 2 * n; ++j) at(r, j) -= factor * at(k, j);
    }
  }
  Tensor out(DType::f64, {n, n});
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t k = 0; k < n; ++k) out.mutable_values<double>()[uz(r * n + k)] = at(r, n + k);
  }
  return c.ops().box(out.cast(x->data.dtype()));
}
Datum builtin_norm(Call& c) {
  TensorPtr x = c.floats(0);
  TensorPtr flat = c.ops().reshape(x, {x->data.size()});
  return c.ops().unary("sqrt", c.ops().run("reduce_sum", {in("x", c.ops().binary("mul", flat, flat)),
                                                          in("axes", std::vector<std::int64_t>{0}), in("keep_dims", false)}));
}
Datum builtin_softmax(Call& c) { return c.ops().run("softmax", {in("x", c.floats(0)), in("axis", c.integer(1, -1))}); }
Datum builtin_log_softmax(Call& c) {
  TensorPtr x = c.floats(0);
  const std::vector<std::int64_t> axes = {c.integer(1, -1)};
  TensorPtr shifted =
      c.ops().binary("sub", x, c.ops().run("reduce_max", {in("x", x), in("axes", axes), in("keep_dims", true)}));
  TensorPtr total =
      c.ops().run("reduce_sum", {in("x", c.ops().unary("exp", shifted)), in("axes", axes), in("keep_dims", true)});
  return c.ops().binary("sub", shifted, c.ops().unary("log", total));
}
Datum builtin_layer_norm(Call& c) {
  TensorPtr x = c.floats(0);
  const std::size_t axes = c.has(1) ? c.shape(1).size() : 1;
  const bool affine = c.args.size() > 3;
  std::vector<std::int64_t> list;
  for (std::size_t i = axes; i > 0; --i) list.push_back(-iz(i));
  std::vector<OpInput> inputs = {in("x", x), in("axes", list), in("epsilon", c.number(affine ? 4 : 2, 1e-5), x->data.dtype())};
  if (affine) {
    inputs.push_back(in("gamma", c.ops().cast(c.floats(2), x->data.dtype())));
    inputs.push_back(in("beta", c.ops().cast(c.floats(3), x->data.dtype())));
  }
  return c.ops().run("layer_norm", std::move(inputs));
}
Datum builtin_rms_norm(Call& c) {
  TensorPtr x = c.floats(0);
  TensorPtr w = c.floats(1);
  TensorPtr wide = c.ops().cast(x, DType::f32);
  TensorPtr square = reduce_last(c, "reduce_mean", c.ops().binary("mul", wide, wide), w->data.rank());
  TensorPtr root = c.ops().unary("sqrt", c.ops().binary("add", square, constant_like(c, wide, c.number(2, 1e-6))));
  return c.ops().binary("mul", c.ops().cast(c.ops().binary("real_div", wide, root), x->data.dtype()), w);
}
Datum builtin_batch_norm(Call& c) {
  TensorPtr x = c.floats(0);
  if (x->data.rank() < 2) fail(ErrorKind::invalid_argument, "batch_norm needs [batch, channels, ...]");
  std::vector<std::int64_t> axes;
  Shape channels(x->data.rank(), 1);
  for (std::size_t i = 0; i < x->data.rank(); ++i) i == 1 ? channels[1] = x->data.dim(1) : (axes.push_back(iz(i)), 0);
  const auto mean = [&](const TensorPtr& t) {
    return c.ops().run("reduce_mean", {in("x", t), in("axes", axes), in("keep_dims", true)});
  };
  TensorPtr wide = c.ops().cast(x, DType::f32);
  TensorPtr centred = c.ops().binary("sub", wide, mean(wide));
  TensorPtr variance = mean(c.ops().binary("mul", centred, centred));
  TensorPtr root = c.ops().unary("sqrt", c.ops().binary("add", variance, constant_like(c, wide, c.number(3, 1e-5))));
  TensorPtr normal = c.ops().cast(c.ops().binary("real_div", centred, root), x->data.dtype());
  return c.ops().binary("add", c.ops().binary("mul", normal, c.ops().reshape(c.floats(1), channels)),
                        c.ops().reshape(c.floats(2), channels));
}
Datum builtin_dropout(Call& c) {
  TensorPtr x = c.floats(0);
  const double p = c.number(1);
  if (!c.flag(2, true) || p == 0) return x;
  if (!(p > 0 && p < 1)) fail(ErrorKind::invalid_argument, "dropout takes a probability below 1");
  Tensor mask(DType::f32, x->data.shape());
  std::bernoulli_distribution keep(1 - p);
  for (float& value : mask.mutable_values<float>()) value = keep(c.session.random) ? static_cast<float>(1 / (1 - p)) : 0;
  return c.ops().binary("mul", x, c.ops().box(mask.cast(x->data.dtype())));
}
Datum builtin_apply_attention_mask(Call& c) {
  TensorPtr s = c.floats(0);
  TensorPtr low = c.ops().fill(s->data.dtype(), {}, -10000);
  return c.ops().run("select", {in("cond", c.ops().cast(c.tensor(1), DType::boolean)), in("a", s), in("b", low)});
}
Datum builtin_apply_mask(Call& c) { return builtin_apply_attention_mask(c); }
Datum builtin_combine_masks(Call& c) { return builtin_mul(c); }
Datum builtin_fused_add_relu(Call& c) { return c.ops().unary("relu", c.ops().binary("add", c.floats(0), c.floats(1))); }
Datum builtin_fused_mul_relu(Call& c) { return c.ops().unary("relu", c.ops().binary("mul", c.floats(0), c.floats(1))); }
Datum builtin_fused_affine(Call& c) {
  return c.ops().binary("add", c.ops().binary("mul", c.floats(0), c.floats(1)), c.floats(2));
}
Datum builtin_fused_gelu_linear(Call& c) {
  TensorPtr active = c.ops().run("gelu", {in("x", c.floats(0)), in("mode", "TANH_APPROXIMATION")});
  return c.ops().binary("add", c.ops().matmul(active, c.floats(1)), c.floats(2));
}
Datum builtin_conv2d(Call& c) {
  TensorPtr x = c.floats(0);
  const std::int64_t stride = c.integer(3, 1);
  const std::int64_t pad = c.integer(4, 0);
  std::vector<OpInput> inputs = {in("x", x), in("weight", c.ops().cast(c.floats(1), x->data.dtype()))};
  if (c.has(2)) inputs.push_back(in("bias", c.ops().cast(c.floats(2), x->data.dtype())));
  inputs.push_back(in("strides", std::vector<std::int64_t>{stride, stride}));
  inputs.push_back(in("pad_type", pad == 0 ? "valid" : "custom"));
  if (pad != 0) inputs.push_back(in("pad", std::vector<std::int64_t>{pad, pad, pad, pad}));
  inputs.push_back(in("groups", c.integer(5, 1)));
  return c.ops().run("conv", std::move(inputs));
}
Datum builtin_max_pool(Call& c) { return pooled(c, "max_pool"); }
Datum builtin_avg_pool(Call& c) { return pooled(c, "avg_pool"); }

}  // namespace tl::lang
