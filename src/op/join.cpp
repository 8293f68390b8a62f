#include <algorithm>
#include <limits>
#include <numeric>

#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

std::vector<std::int64_t> split_lengths(const OpView& c, Dim extent) {
  std::vector<std::int64_t> lengths;
  if (c.has("split_sizes")) {
    lengths = c.ints("split_sizes");
    for (const std::int64_t length : lengths) {
      if (length < 0) c.reject("split_sizes", "a size of {}", length);
    }
    if (c.has("num_splits") && c.integer("num_splits") != iz(lengths.size()))
      c.reject("num_splits", "does not match {} sizes", lengths.size());
    if (extent.known() && std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}) != extent.extent()) {
      c.reject("split_sizes", "the sizes do not add up to {}", extent.extent());
    }
    return lengths;
  }
  if (!c.has("num_splits")) c.reject("num_splits", "neither a number of pieces nor their sizes are given");
  const std::int64_t pieces = c.integer("num_splits");
  if (pieces < 1 || pieces > (std::int64_t{1} << 20)) c.reject("num_splits", "{} pieces", pieces);
  if (extent.known() && extent.extent() % pieces != 0)
    c.reject("num_splits", "an axis of {} does not split into {} equal pieces", extent.extent(), pieces);
  lengths.assign(uz(pieces), extent.known() ? extent.extent() / pieces : -1);
  return lengths;
}

}  // namespace

TL_OP(concat) {
  op.in("values", dt::any).variadic();
  op.in("axis", dt::ints).constant();
  op.in("interleave", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    // Scalars make a vector.
    const auto dims_of = [&](std::size_t k) {
      const Dims dims = c.dims("values", k);
      return dims.empty() ? Dims{1} : dims;
    };
    Dims result = dims_of(0);
    const std::size_t axis = c.rank("values") == 0 ? 0 : uz(c.axis("axis", iz(result.size())));
    for (std::size_t k = 1; k < c.count("values"); ++k) {
      const Dims dims = dims_of(k);
      if (c.dtype("values", k) != c.dtype("values"))
        c.reject("values", "value {} is {}, the first is {}", k, name(c.dtype("values", k)), name(c.dtype("values")));
      const std::size_t rank = c.dims("values", k).size();
      if (iz(rank) != c.rank("values")) c.reject("values", "value {} has rank {}, the first {}", k, rank, c.rank("values"));
      for (std::size_t i = 0; i < dims.size(); ++i) {
        if (i == axis) {
          result[i] = result[i].known() && dims[i].known() ? Dim(checked_add(result[i].extent(), dims[i].extent(), "extent"))
                                                           : Dim::unknown();
        } else if (!result[i].known()) {
          result[i] = dims[i];
        } else if (dims[i].known() && dims[i] != result[i]) {
          c.reject("values", "value {} is {}, the first {}", k, to_string(dims), to_string(c.dims("values")));
        }
      }
      const Dim first = dims_of(0)[axis];
      if (c.boolean("interleave") && dims[axis].known() && first.known() && dims[axis] != first) {
        c.reject("values", "interleaved values need equal extents on axis {}", axis);
      }
    }
    c.out(c.dtype("values"), std::move(result));
  };
  op.eval = [](Eval& c) {
    Tensor result(c.out_dtype(), c.out_shape());
    const bool scalars = c.shape("values").empty();
    const std::size_t axis = scalars ? 0 : uz(c.axis("axis", iz(result.rank())));
    const std::size_t element = element_bytes(c, "values", result.dtype());
    const auto to = strides_of(result.shape());
    auto strides = to;
    const bool interleave = c.boolean("interleave");
    if (interleave) strides[axis] *= iz(c.count("values"));
    std::int64_t offset = 0;
    for (std::size_t k = 0; k < c.count("values"); ++k) {
      const Tensor value = c.in("values", k);
      copy_strided(value.data(), strides_of(value.shape()), result.mutable_data() + offset * iz(element), strides,
                   value.shape(), element);
      offset += to[axis] * (interleave || scalars ? 1 : value.dim(axis));
    }
    c.set(0, std::move(result));
  };
}

TL_OP(stack) {
  op.in("values", dt::any).variadic();
  op.in("axis", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims result = c.dims("values");
    for (std::size_t k = 1; k < c.count("values"); ++k) {
      if (!compatible(Type(c.dtype("values"), result), Type(c.dtype("values", k), c.dims("values", k)))) {
        c.reject("values", "value {} is {}, the first {}", k, to_string(c.type("values", k)), to_string(c.type("values")));
      }
    }
    const std::int64_t axis = c.axis("axis", iz(result.size()) + 1);
    result.insert(result.begin() + axis, Dim(iz(c.count("values"))));
    c.out(c.dtype("values"), std::move(result));
  };
  op.eval = [](Eval& c) {
    Tensor result(c.out_dtype(), c.out_shape());
    const std::int64_t rank = iz(result.rank());
    const std::size_t axis = uz(c.axis("axis", rank));
    const std::size_t element = element_bytes(c, "values", result.dtype());
    auto strides = strides_of(result.shape());
    const std::int64_t step = strides[axis];
    strides.erase(strides.begin() + iz(axis));
    for (std::size_t k = 0; k < c.count("values"); ++k) {
      const Tensor value = c.in("values", k);
      copy_strided(value.data(), strides_of(value.shape()), result.mutable_data() + iz(k) * step * iz(element), strides,
                   value.shape(), element);
    }
    c.set(0, std::move(result));
  };
}

TL_OP(split) {
  op.in("x", dt::any);
  op.in("num_splits", dt::ints).constant().optional();
  op.in("split_sizes", dt::ints).constant().optional();
  op.in("axis", dt::ints).constant();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const std::size_t axis = uz(c.axis("axis", iz(dims.size())));
    for (const std::int64_t length : split_lengths(c, dims[axis])) {
      Dims piece = dims;
      piece[axis] = length < 0 ? Dim::unknown() : Dim(length);
      c.out(c.dtype("x"), std::move(piece));
    }
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const std::int64_t rank = iz(x.rank());
    const std::size_t axis = uz(c.axis("axis", rank));
    const std::size_t element = element_bytes(c, "x", x.dtype());
    const auto strides = strides_of(x.shape());
    std::int64_t offset = 0;
    for (std::size_t k = 0; k < c.outputs().size(); ++k) {
      Tensor piece(x.dtype(), c.out_shape(k));
      copy_strided(x.data() + offset * iz(element), strides, piece.mutable_data(), strides_of(piece.shape()), piece.shape(),
                   element);
      offset += strides[axis] * piece.dim(axis);
      c.set(k, std::move(piece));
    }
  };
}

TL_OP(tile) {
  op.in("x", dt::any);
  op.in("reps", dt::ints);
  op.infer = [](Infer& c) {
    Dims dims = c.dims("x");
    const auto reps = c.maybe_ints("reps");
    if (reps && reps->size() != dims.size()) c.reject("reps", "{} values are given for rank {}", reps->size(), dims.size());
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (reps && (*reps)[i] < 0) c.reject("reps", "a repetition of {}", (*reps)[i]);
      dims[i] = reps && dims[i].known() ? Dim(checked_mul(dims[i].extent(), (*reps)[i], "extent")) : Dim::unknown();
    }
    c.out(c.dtype("x"), std::move(dims));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto reps = c.ints("reps");
    Tensor result(x.dtype(), c.out_shape());
    // Each axis becomes a pair: the repetition, over which the source stands still, and the axis itself.
    Shape shape;
    std::vector<std::int64_t> from, to;
    const auto in = strides_of(x.shape());
    const auto out = strides_of(result.shape());
    for (std::size_t i = 0; i < x.rank(); ++i) {
      shape.insert(shape.end(), {reps[i], x.dim(i)});
      from.insert(from.end(), {0, in[i]});
      to.insert(to.end(), {out[i] * x.dim(i), out[i]});
    }
    copy_strided(x.data(), from, result.mutable_data(), to, shape, element_bytes(c, "x", x.dtype()));
    c.set(0, std::move(result));
  };
}

TL_OP(reverse) {
  op.in("x", dt::any);
  op.in("axes", dt::ints).constant().optional();
  op.infer = [](Infer& c) {
    if (c.has("axes")) {
      for (const std::int64_t axis : c.ints("axes")) c.axis("axes", axis, c.rank("x"));
    }
    c.out(c.type("x"));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const std::int64_t rank = iz(x.rank());
    std::vector<bool> turned(x.rank(), !c.has("axes"));
    if (c.has("axes")) {
      for (const std::int64_t axis : c.ints("axes")) turned[uz((axis + rank) % rank)] = true;
    }
    auto from = strides_of(x.shape());
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (!turned[i] || x.dim(i) == 0) continue;
      offset += (x.dim(i) - 1) * from[i];
      from[i] = -from[i];
    }
    Tensor result(x.dtype(), x.shape());
    const std::size_t element = element_bytes(c, "x", x.dtype());
    if (x.size() != 0)
      copy_strided(x.data() + offset * iz(element), from, result.mutable_data(), strides_of(x.shape()), x.shape(), element);
    c.set(0, std::move(result));
  };
}

// The first lengths[b] entries along seq_axis turned round, for each b along batch_axis.
TL_OP(reverse_sequence) {
  op.in("x", dt::any);
  op.in("lengths", dt::ints);
  op.in("seq_axis", dt::ints).constant().def(0);
  op.in("batch_axis", dt::ints).constant().def(0);
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const std::int64_t seq = c.axis("seq_axis", iz(dims.size()));
    const std::int64_t batch = c.axis("batch_axis", iz(dims.size()));
    if (seq == batch && dims.size() > 1) c.reject("batch_axis", "is the sequence axis as well");
    if (const auto lengths = c.maybe_ints("lengths")) {
      if (dims[uz(batch)].known() && iz(lengths->size()) != dims[uz(batch)].extent())
        c.reject("lengths", "{} lengths for a batch of {}", lengths->size(), dims[uz(batch)].extent());
      for (const std::int64_t length : *lengths) {
        if (length < 0 || (dims[uz(seq)].known() && length > dims[uz(seq)].extent()))
          c.reject("lengths", "a length of {} on {}", length, to_string(dims));
      }
    }
    c.out(c.type("x"));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const std::int64_t rank = iz(x.rank());
    const std::size_t seq = uz(c.axis("seq_axis", rank));
    const std::size_t batch = uz(c.axis("batch_axis", rank));
    const auto lengths = c.ints("lengths");
    const auto strides = strides_of(x.shape());
    const std::size_t element = element_bytes(c, "x", x.dtype());
    Tensor result = x.clone();
    Shape slab = x.shape();
    slab[batch] = 1;
    auto backwards = strides;
    backwards[seq] = -strides[seq];
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      if (lengths[b] == 0) continue;
      slab[seq] = lengths[b];
      const std::int64_t base = iz(b) * strides[batch];
      copy_strided(x.data() + (base + (lengths[b] - 1) * strides[seq]) * iz(element), backwards,
                   result.mutable_data() + base * iz(element), strides, slab, element);
    }
    c.set(0, std::move(result));
  };
}

}  // namespace tl::op
