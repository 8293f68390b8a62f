#include <algorithm>
#include <numeric>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

std::size_t axis_of(const TensorPtr& x, std::int64_t axis) {
  const std::int64_t rank = iz(x->data.rank());
  if (axis < -rank || axis >= rank) fail(ErrorKind::invalid_argument, "axis {} of a tensor of {} axes", axis, rank);
  return uz(axis < 0 ? axis + rank : axis);
}

TensorPtr part_of(Call& c, const TensorPtr& x, std::size_t axis, std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> begin(x->data.rank(), 0), end(x->data.shape());
  if (first < 0 || last > end[axis] || first >= last)
    fail(ErrorKind::invalid_argument, "the part {} to {} of an axis of {}", first, last, end[axis]);
  begin[axis] = first;
  end[axis] = last;
  return c.ops().run("slice_by_index", {in("x", x), in("begin", begin), in("end", end)});
}

TensorPtr indices(Call& c, std::size_t i) {
  return c.ops().cast(c.session.tensor(c.args[i], "indices", DType::i32), DType::i32);
}

Datum pieces(Call& c, std::int64_t size, std::size_t axis) {
  TensorPtr x = c.tensor(0);
  std::vector<Datum> list;
  for (std::int64_t at = 0; at < x->data.dim(axis); at += size) {
    list.emplace_back(part_of(c, x, axis, at, std::min(at + size, x->data.dim(axis))));
  }
  return c.session.array(std::move(list), "list");
}

}  // namespace

Datum builtin_shape(Call& c) {
  if (const auto* image = c.args[0].as<std::shared_ptr<ImageBox>>()) return c.session.integers((*image)->image.pixels.shape());
  if (const auto* a = c.args[0].as<ArrayPtr>()) return c.session.integers({iz((*a)->items.size())});
  return c.session.integers(c.tensor(0)->data.shape());
}
Datum builtin_len(Call& c) {
  if (const auto* a = c.args[0].as<ArrayPtr>()) return iz((*a)->items.size());
  if (const auto* s = c.args[0].as<std::string>()) return iz(s->size());
  if (const auto* e = c.args[0].as<EntityType>()) return iz(c.session.knowledge.entities[e->name].size());
  TensorPtr x = c.tensor(0);
  if (x->data.rank() == 0) fail(ErrorKind::invalid_argument, "a number has no length");
  return x->data.dim(0);
}
Datum builtin_reshape(Call& c) {
  TensorPtr x = c.tensor(0);
  Shape shape = c.shape(1);
  std::int64_t known = 1;
  std::size_t open = shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && open == shape.size()) {
      open = i;
    } else if (shape[i] < 0) {
      fail(ErrorKind::invalid_argument, "the shape {} has more than one -1 or a negative extent", to_string(shape));
    } else {
      known = checked_mul(known, shape[i], "the shape");
    }
  }
  if (open < shape.size() && known > 0) shape[open] = x->data.size() / known;
  if (element_count(shape) != x->data.size()) {
    fail(ErrorKind::invalid_argument, "reshape: {} elements of {} do not fill {}", x->data.size(), to_string(x->data.shape()),
         to_string(c.shape(1)));
  }
  return c.ops().reshape(x, shape);
}
Datum builtin_flatten(Call& c) {
  TensorPtr x = c.tensor(0);
  return c.ops().reshape(x, {x->data.size()});
}
Datum builtin_transpose(Call& c) {
  TensorPtr x = c.tensor(0);
  if (x->data.rank() < 2) return x;
  std::vector<std::int64_t> perm(x->data.rank());
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[axis_of(x, c.integer(1, -2))], perm[axis_of(x, c.integer(2, -1))]);
  return c.ops().run("transpose", {in("x", x), in("perm", perm)});
}
Datum builtin_permute(Call& c) { return c.ops().run("transpose", {in("x", c.tensor(0)), in("perm", c.shape(1))}); }
Datum builtin_squeeze(Call& c) {
  TensorPtr x = c.tensor(0);
  std::vector<std::int64_t> axes;
  if (c.has(1)) {
    const std::size_t axis = axis_of(x, c.integer(1));
    if (x->data.dim(axis) != 1) return x;
    axes.push_back(iz(axis));
  } else {
    for (std::size_t i = 0; i < x->data.rank(); ++i) {
      if (x->data.dim(i) == 1) axes.push_back(iz(i));
    }
  }
  return axes.empty() ? x : c.ops().run("squeeze", {in("x", x), in("axes", axes)});
}
Datum builtin_unsqueeze(Call& c) {
  return c.ops().run("expand_dims", {in("x", c.tensor(0)), in("axes", std::vector<std::int64_t>{c.integer(1)})});
}
Datum builtin_broadcast_to(Call& c) {
  TensorPtr x = c.tensor(0);
  const Shape shape = c.shape(1);
  Shape own = x->data.shape();
  if (own.size() > shape.size())
    fail(ErrorKind::invalid_argument, "{} does not broadcast to {}", to_string(own), to_string(shape));
  own.insert(own.begin(), shape.size() - own.size(), 1);
  std::vector<std::int64_t> reps(shape.size(), 1);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (own[i] == shape[i]) continue;
    if (own[i] != 1)
      fail(ErrorKind::invalid_argument, "{} does not broadcast to {}", to_string(x->data.shape()), to_string(shape));
    reps[i] = shape[i];
  }
  return c.ops().run("tile", {in("x", c.ops().reshape(x, own)), in("reps", reps)});
}
Datum builtin_concat(Call& c) {
  std::vector<TensorPtr> values;
  if (c.args.size() == 2 && c.args[0].as<ArrayPtr>() != nullptr && c.args[1].is_number() &&
      !c.session.is_tensor_like(c.args[0])) {
    for (const Datum& item : c.session.elements(c.args[0], "concat")) values.push_back(c.session.tensor(item));
  } else {
    const bool arrays =
        std::all_of(c.args.begin(), c.args.end() - 1, [](const Datum& d) { return d.as<ArrayPtr>() != nullptr; });
    if (arrays) {
      std::vector<Datum> items;
      for (std::size_t i = 0; i + 1 < c.args.size(); ++i) {
        for (Datum& item : c.session.elements(c.args[i], "concat")) items.push_back(std::move(item));
      }
      return c.session.array(std::move(items));
    }
    for (std::size_t i = 0; i + 1 < c.args.size(); ++i) values.push_back(c.tensor(i));
  }
  if (values.empty()) fail(ErrorKind::invalid_argument, "concat of nothing");
  DType dtype = values[0]->data.dtype();
  for (const TensorPtr& value : values) dtype = TensorOps::common(dtype, value->data.dtype());
  for (TensorPtr& value : values) value = c.ops().cast(value, dtype);
  return c.ops().run("concat", {in("values", values), in("axis", c.integer(c.args.size() - 1))});
}
Datum builtin_stack(Call& c) {
  std::vector<TensorPtr> values;
  for (const Datum& item : c.session.elements(c.args[0], "stack")) values.push_back(c.session.tensor(item));
  if (values.empty()) fail(ErrorKind::invalid_argument, "stack of nothing");
  DType dtype = values[0]->data.dtype();
  for (const TensorPtr& value : values) dtype = TensorOps::common(dtype, value->data.dtype());
  for (TensorPtr& value : values) value = c.ops().cast(value, dtype);
  return c.ops().run("stack", {in("values", values), in("axis", c.integer(1, 0))});
}
Datum builtin_split(Call& c) {
  const std::int64_t size = c.integer(1);
  if (size < 1) fail(ErrorKind::invalid_argument, "pieces of {} entries", size);
  return pieces(c, size, axis_of(c.tensor(0), c.integer(2, 0)));
}
Datum builtin_chunk(Call& c) {
  const std::int64_t n = c.integer(1);
  if (n < 1) fail(ErrorKind::invalid_argument, "{} pieces", n);
  TensorPtr x = c.tensor(0);
  const std::size_t axis = axis_of(x, c.integer(2, 0));
  return pieces(c, std::max<std::int64_t>(1, x->data.dim(axis) / n + (x->data.dim(axis) % n != 0 ? 1 : 0)), axis);
}
Datum builtin_slice(Call& c) {
  TensorPtr x = c.tensor(0);
  if (c.args.size() == 3) return part_of(c, x, axis_of(x, 0), c.integer(1), c.integer(2));
  if (x->data.rank() != 2) fail(ErrorKind::invalid_argument, "slice(x, row, c0, c1) takes a matrix");
  TensorPtr row = part_of(c, x, 0, c.integer(1), checked_add<std::int64_t>(c.integer(1), 1, "the row"));
  TensorPtr cells = part_of(c, row, 1, c.integer(2), c.integer(3));
  return c.ops().reshape(cells, {cells->data.size()});
}
Datum builtin_slice_last(Call& c) {
  TensorPtr x = c.tensor(0);
  const std::size_t axis = axis_of(x, c.integer(1, 0));
  TensorPtr last = part_of(c, x, axis, x->data.dim(axis) - 1, x->data.dim(axis));
  return c.ops().run("squeeze", {in("x", last), in("axes", std::vector<std::int64_t>{iz(axis)})});
}
Datum builtin_gather(Call& c) {
  return c.ops().run("gather_along_axis", {in("x", c.tensor(0)), in("indices", indices(c, 2)), in("axis", c.integer(1)),
                                           in("validate_indices", true)});
}
Datum builtin_scatter(Call& c) {
  TensorPtr x = c.tensor(0);
  return c.ops().run("scatter_along_axis",
                     {in("data", x), in("indices", indices(c, 2)), in("updates", c.ops().cast(c.tensor(3), x->data.dtype())),
                      in("axis", c.integer(1)), in("mode", "update"), in("validate_indices", true)});
}
Datum builtin_index_select(Call& c) {
  return c.ops().run(
      "gather", {in("x", c.tensor(0)), in("indices", indices(c, 2)), in("axis", c.integer(1)), in("validate_indices", true)});
}
Datum builtin_embedding(Call& c) {
  return c.ops().run("gather", {in("x", c.tensor(0)), in("indices", indices(c, 1)), in("axis", std::int64_t{0}),
                                in("validate_indices", true)});
}
Datum builtin_topk(Call& c) {
  TensorPtr x = c.floats(0);
  const std::int64_t k = c.integer(1);
  const std::size_t axis = axis_of(x, c.integer(2, -1));
  if (k < 1 || k > x->data.dim(axis)) fail(ErrorKind::invalid_argument, "the {} largest of {}", k, x->data.dim(axis));
  const auto both = c.ops().run_all("topk", {in("x", x), in("k", k), in("axis", iz(axis))});
  return c.session.array({both.at(0), both.at(1)}, "list");
}

}  // namespace tl::lang
