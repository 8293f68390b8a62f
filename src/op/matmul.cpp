#include <algorithm>

#include "op/broadcast.hpp"
#include "op/gemm.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr DTypeSet operands = dt::floats | dt::i32;

bool is_constant(const OpView& c, std::string_view param) {
  const Argument* argument = c.op().argument(param);
  return argument != nullptr && constant_of(argument->bindings[0]) != nullptr;
}

// The dtype of the operand that is not constant, where they differ.
DType matmul_dtype(const Infer& c) {
  const DType x = c.dtype("x");
  const DType y = c.dtype("y");
  if (x == y || is_constant(c, "y")) return x;
  if (is_constant(c, "x")) return y;
  c.reject("y", "dtype {} against {} of x, and neither is a constant", name(y), name(x));
}

// Batch extents, rows and columns of an operand after its transpose; a vector is a row (`x`) or a column (`y`).
struct Operand {
  Dims batch;
  Dim rows = 1, columns = 1;
  bool vector = false, transposed = false;
};
Operand operand(const OpView& c, std::string_view param, const Dims& dims, bool transpose) {
  Operand o;
  if (dims.empty()) c.reject(param, "a scalar, expected rank 1 or more");
  o.vector = dims.size() == 1;
  if (o.vector) {
    (param == "x" ? o.columns : o.rows) = dims[0];
    return o;
  }
  o.transposed = transpose;
  o.batch.assign(dims.begin(), dims.end() - 2);
  o.rows = dims[dims.size() - (transpose ? 1 : 2)];
  o.columns = dims[dims.size() - (transpose ? 2 : 1)];
  return o;
}

struct Product {
  Operand x, y;
  Dims batch;
  Dims out;
};
Product product(const OpView& c, const Dims& x, const Dims& y) {
  Product p{operand(c, "x", x, c.boolean("transpose_x")), operand(c, "y", y, c.boolean("transpose_y")), {}, {}};
  if (p.x.columns.known() && p.y.rows.known() && p.x.columns != p.y.rows) {
    c.reject("y", "{} rows against {} columns of x", p.y.rows.extent(), p.x.columns.extent());
  }
  p.batch = broadcast_dims(c, "y", p.x.batch, p.y.batch);
  p.out = p.batch;
  if (!p.x.vector) p.out.push_back(p.x.rows);
  if (!p.y.vector) p.out.push_back(p.y.columns);
  return p;
}

Shape extents(const Dims& dims) {
  Shape shape;
  for (const Dim d : dims) shape.push_back(d.extent());
  return shape;
}

// A copy of `count` matrices of `rows` by `columns`, each transposed.
template <class T>
std::vector<T> transposed(const std::vector<T>& values, std::int64_t rows, std::int64_t columns) {
  std::vector<T> result(values.size());
  const std::int64_t size = rows * columns;
  if (size == 0) return result;
  for (std::int64_t m = 0; m < iz(values.size()) / size; ++m) {
    const T* in = values.data() + m * size;
    T* out = result.data() + m * size;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) out[j * rows + i] = in[i * columns + j];
    }
  }
  return result;
}

template <class T>
std::vector<T> elements(const Eval& c, std::string_view param) {
  const Tensor t = c.in(param).cast(dtype_of<T>::value);
  const auto values = t.template values<T>();
  return {values.begin(), values.end()};
}

template <class T>
void set_cast(Eval& c, std::vector<T> values) {
  c.set(0, Tensor::of<T>(c.out_shape(), values).cast(c.out_dtype()));
}

template <class T>
void matmul(Eval& c) {
  const Product p = product(c, dims_of(c.shape("x")), dims_of(c.shape("y")));
  const std::int64_t m = p.x.rows.extent();
  const std::int64_t n = p.y.columns.extent();
  const std::int64_t depth = p.x.columns.extent();
  std::vector<T> x = elements<T>(c, "x");
  std::vector<T> y = elements<T>(c, "y");
  if (p.x.transposed) x = transposed(x, depth, m);
  if (!p.y.transposed && !p.y.vector) y = transposed(y, depth, n);
  std::vector<T> out(uz(element_count(c.out_shape())));
  const Shape batch = extents(p.batch);
  const Shape x_batch = extents(p.x.batch);
  const Shape y_batch = extents(p.y.batch);
  for_each_broadcast<2>(batch, {&x_batch, &y_batch}, [&](std::size_t i, const std::array<std::int64_t, 2>& at) {
    gemm_rows(x.data() + at[0] * m * depth, y.data() + at[1] * n * depth, nullptr, out.data() + iz(i) * m * n, m, n, depth);
  });
  set_cast(c, std::move(out));
}

template <class T>
void linear(Eval& c) {
  const std::int64_t n = c.shape("weight")[0];
  const std::int64_t depth = c.shape("weight")[1];
  std::int64_t m = 1;
  for (std::size_t i = 0; i + 1 < c.shape("x").size(); ++i) m *= c.shape("x")[i];
  const std::vector<T> x = elements<T>(c, "x");
  const std::vector<T> weight = elements<T>(c, "weight");
  const std::vector<T> bias = c.has("bias") ? elements<T>(c, "bias") : std::vector<T>{};
  std::vector<T> out(uz(m * n));
  gemm_rows(x.data(), weight.data(), bias.empty() ? nullptr : bias.data(), out.data(), m, n, depth);
  set_cast(c, std::move(out));
}

}  // namespace

TL_OP(matmul) {
  op.in("x", operands);
  op.in("y", operands);
  op.in("transpose_x", dt::boolean).constant().def(false);
  op.in("transpose_y", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) { c.out(matmul_dtype(c), product(c, c.dims("x"), c.dims("y")).out); };
  op.eval = [](Eval& c) {
    const bool integer = is_integer(c.in("x").dtype()) && is_integer(c.in("y").dtype());
    integer ? matmul<std::int32_t>(c) : matmul<float>(c);
  };
}

TL_OP(linear) {
  op.in("x", operands);
  op.in("weight", operands);
  op.in("bias", operands).optional();
  op.infer = [](Infer& c) {
    Dims x = c.dims("x");
    const Dims weight = c.dims("weight");
    if (x.empty()) c.reject("x", "a scalar, expected rank 1 or more");
    if (weight.size() != 2) c.reject("weight", "rank {}, expected 2", weight.size());
    if (x.back().known() && weight[1].known() && x.back() != weight[1]) {
      c.reject("weight", "made for {} inputs, x has {}", weight[1].extent(), x.back().extent());
    }
    if (c.has("bias")) {
      const Dims bias = c.dims("bias");
      if (bias.size() != 1 || (bias[0].known() && weight[0].known() && bias[0] != weight[0])) {
        c.reject("bias", "shape {} for {} outputs", to_string(bias), to_string(Dims{weight[0]}));
      }
    }
    x.back() = weight[0];
    c.out(c.dtype("x"), std::move(x));
  };
  op.eval = [](Eval& c) {
    const bool integer = is_integer(c.in("x").dtype()) && is_integer(c.in("weight").dtype());
    integer ? linear<std::int32_t>(c) : linear<float>(c);
  };
}

}  // namespace tl::op
