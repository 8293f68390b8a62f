#include <algorithm>
#include <cmath>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

TensorPtr generate(Call& c, DType dtype, const Shape& shape, const std::function<double(std::int64_t)>& value) {
  TensorPtr result = c.ops().fill(dtype, shape, 0);
  visit_dtype(dtype, [&](auto element) {
    using T = decltype(element);
    auto values = result->data.mutable_values<T>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = convert_element<T>(value(iz(i)));
  });
  return result;
}

struct Steps {
  std::int64_t first = 0, step = 1, count = 0;
};

Steps steps(Call& c) {
  Steps s;
  s.first = c.args.size() > 1 ? c.integer(0) : 0;
  const std::int64_t last = c.integer(c.args.size() > 1 ? 1 : 0);
  s.step = c.integer(2, 1);
  if (s.step == 0) fail(ErrorKind::invalid_argument, "a step of zero");
  const auto gap = static_cast<__int128>(last) - s.first;
  const __int128 count = s.step > 0 ? (gap + s.step - 1) / s.step : (gap + s.step + 1) / s.step;
  if (count > (std::int64_t{1} << 31)) fail(ErrorKind::limit, "a range of more than 2^31 numbers");
  s.count = count < 0 ? 0 : static_cast<std::int64_t>(count);
  return s;
}

}  // namespace

Datum builtin_zeros(Call& c) { return c.ops().fill(DType::f16, c.shape(0), 0); }
Datum builtin_ones(Call& c) { return c.ops().fill(DType::f16, c.shape(0), 1); }
Datum builtin_full(Call& c) { return c.ops().fill(DType::f16, c.shape(0), c.number(1)); }
Datum builtin_arange(Call& c) {
  const Steps s = steps(c);
  return generate(c, DType::f16, {s.count}, [&](std::int64_t i) { return static_cast<double>(s.first + i * s.step); });
}
Datum builtin_range(Call& c) {
  const Steps s = steps(c);
  c.ops().budget().reserve(static_cast<std::uint64_t>(s.count) * sizeof(Datum));
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < s.count; ++i) values.push_back(s.first + i * s.step);
  return c.session.integers(values);
}
Datum builtin_range_i(Call& c) { return builtin_range(c); }
Datum builtin_eye(Call& c) {
  const std::int64_t n = c.integer(0);
  return generate(c, DType::f16, {n, n}, [&](std::int64_t i) { return i / n == i % n ? 1.0 : 0.0; });
}
Datum builtin_rand(Call& c) {
  std::uniform_real_distribution<double> uniform(0, 1);
  return generate(c, DType::f16, c.shape(0), [&](std::int64_t) { return std::min(uniform(c.session.random), 0.9995); });
}
Datum builtin_randn(Call& c) {
  std::normal_distribution<double> normal;
  return generate(c, DType::f16, c.shape(0), [&](std::int64_t) { return normal(c.session.random); });
}
Datum builtin_random_normal(Call& c) {
  std::normal_distribution<double> normal;
  const double mean = c.number(0);
  const double deviation = c.number(1);
  if (!c.has(2)) return mean + deviation * normal(c.session.random);
  return generate(c, DType::f16, c.shape(2), [&](std::int64_t) { return mean + deviation * normal(c.session.random); });
}
Datum builtin_seed(Call& c) {
  c.session.random.seed(static_cast<std::uint64_t>(c.integer(0)));
  return {};
}
Datum builtin_learnable(Call& c) {
  TensorPtr fresh = c.ops().box(c.floats(0)->data);
  fresh->learnable = true;
  return fresh;
}
Datum builtin_positional_encoding(Call& c) {
  const std::int64_t d = c.integer(1);
  return generate(c, DType::f16, {c.integer(0), d}, [&](std::int64_t i) {
    const std::int64_t column = i % d;
    const double angle =
        static_cast<double>(i / d) / std::pow(10000.0, 2.0 * static_cast<double>(column / 2) / static_cast<double>(d));
    return column % 2 == 0 ? std::sin(angle) : std::cos(angle);
  });
}
Datum builtin_causal_mask(Call& c) {
  const std::int64_t n = c.integer(0);
  return generate(c, DType::f16, {n, n}, [&](std::int64_t i) { return i % n <= i / n ? 1.0 : 0.0; });
}
Datum builtin_padding_mask(Call& c) {
  const Shape lengths = c.shape(0);
  const std::int64_t width = c.integer(1);
  return generate(c, DType::f16, {iz(lengths.size()), width},
                  [&](std::int64_t i) { return i % width < lengths[uz(i / width)] ? 1.0 : 0.0; });
}

namespace {

Datum rope_table(Call& c, double (*wave)(double)) {
  const std::int64_t dim = c.integer(0);
  const double base = c.number(2, 10000.0);
  if (dim < 2 || dim % 2 != 0) fail(ErrorKind::invalid_argument, "rope needs an even dimension, this is {}", dim);
  return generate(c, DType::f16, {c.integer(1), dim}, [&](std::int64_t i) {
    const auto pair = static_cast<double>(i % dim / 2);
    return wave(static_cast<double>(i / dim) * std::pow(base, -2.0 * pair / static_cast<double>(dim)));
  });
}

}  // namespace

Datum builtin_precompute_rope_cos(Call& c) {
  return rope_table(c, [](double x) { return std::cos(x); });
}
Datum builtin_precompute_rope_sin(Call& c) {
  return rope_table(c, [](double x) { return std::sin(x); });
}

Datum builtin_rope(Call& c) {
  TensorPtr x = c.floats(0);
  const Shape& shape = x->data.shape();
  if (shape.size() != 3 || shape[2] % 2 != 0)
    fail(ErrorKind::invalid_argument, "rope takes [seq, heads, dim] with an even dim, this is {}", to_string(shape));
  const DType dtype = x->data.dtype();
  const std::int64_t dim = shape[2];
  TensorPtr cosine, sine;
  if (c.args.size() == 3) {
    const auto rows = [&](std::size_t i) {
      TensorPtr table = c.ops().cast(c.floats(i), dtype);
      if (table->data.rank() != 2 || table->data.dim(0) < shape[0] || table->data.dim(1) != dim) {
        fail(ErrorKind::invalid_argument, "a rope table must be [{} or more, {}]", shape[0], dim);
      }
      table = c.ops().run("slice_by_index",
                          {in("x", table), in("begin", std::vector<std::int64_t>{0, 0}), in("end", Shape{shape[0], dim})});
      return c.ops().reshape(table, {shape[0], 1, dim});
    };
    cosine = rows(1);
    sine = rows(2);
  } else {
    const std::int64_t start = c.integer(1, 0);
    const auto angle = [&](std::int64_t i) {
      return static_cast<double>(start + i / dim) *
             std::pow(10000.0, -2.0 * static_cast<double>(i % dim / 2) / static_cast<double>(dim));
    };
    cosine = generate(c, dtype, {shape[0], 1, dim}, [&](std::int64_t i) { return std::cos(angle(i)); });
    sine = generate(c, dtype, {shape[0], 1, dim}, [&](std::int64_t i) { return std::sin(angle(i)); });
  }
  // The other half of each pair, negated for even columns: x times a constant matrix.
  TensorPtr turn = generate(c, dtype, {dim, dim}, [&](std::int64_t i) {
    const std::int64_t from = i / dim, to = i % dim;
    return to % 2 == 0 ? (from == to + 1 ? -1.0 : 0.0) : (from == to - 1 ? 1.0 : 0.0);
  });
  return c.ops().binary("add", c.ops().binary("mul", x, cosine), c.ops().binary("mul", c.ops().matmul(x, turn), sine));
}

}  // namespace tl::lang
