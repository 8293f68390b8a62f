#include <algorithm>

#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

// Sets output 0 to the bytes of `x` under its inferred shape.
void evaluate_view(Eval& c) { c.set(0, c.in("x").reshaped(c.out_shape())); }

std::int64_t product(const Dims& dims) {
  std::int64_t count = 1;
  for (const Dim dim : dims) count = checked_mul(count, dim.extent(), "element count");
  return count;
}

}  // namespace

// Extents of 0 take the input's extent at the same place from the right (1 beyond its rank), one -1 takes what is left.
TL_OP(reshape) {
  op.view = true;
  op.in("x", dt::any);
  op.in("shape", dt::ints);
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const auto wanted = c.maybe_ints("shape");
    if (!wanted) {
      const Dims given = c.dims("shape");
      if (given.size() != 1) c.reject("shape", "expected a list of extents");
      if (given[0] == Dim(0) && all_known(dims) && product(dims) != 1)
        c.reject("shape", "{} elements of {} do not fit []", product(dims), to_string(dims));
      c.out(given[0].known() ? Type(c.dtype("x"), Dims(uz(std::min<std::int64_t>(given[0].extent(), 64)), Dim::unknown()))
                             : Type(TensorType{c.dtype("x"), std::nullopt}));
      return;
    }
    Dims result;
    std::optional<std::size_t> rest;
    for (std::size_t i = 0; i < wanted->size(); ++i) {
      const std::int64_t extent = (*wanted)[i];
      if (extent < -1) c.reject("shape", "extent {} is negative", extent);
      if (extent == -1) {
        if (rest) c.reject("shape", "more than one extent is -1");
        rest = i;
        result.push_back(Dim::unknown());
      } else if (extent == 0) {
        // Where the input is empty itself, 0 means 0.
        const bool empty = all_known(dims) && product(dims) == 0;
        const std::size_t from_right = wanted->size() - i;
        result.push_back(from_right <= dims.size() ? dims[dims.size() - from_right] : Dim(empty ? 0 : 1));
      } else {
        result.emplace_back(extent);
      }
    }
    if (all_known(dims)) {
      const std::int64_t count = product(dims);
      if (rest) {
        std::int64_t others = 1;
        for (std::size_t i = 0; i < result.size(); ++i)
          others = i == *rest ? others : checked_mul(others, result[i].extent(), "element count");
        if (others == 0 ? count != 0 : count % others != 0)
          c.reject("shape", "{} elements of {} do not fit", count, to_string(dims));
        result[*rest] = others == 0 ? 0 : count / others;
      } else if (product(result) != count) {
        c.reject("shape", "{} elements of {} do not fit {}", count, to_string(dims), to_string(result));
      }
    }
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = evaluate_view;
}

// The extents of `x`, with [begins[i], ends[i]) of each reference put in the place of the same span.
TL_OP(reshape_like) {
  op.view = true;
  op.in("x", dt::any);
  op.in("ref_tensors", dt::any).variadic();
  op.in("begins", dt::ints).variadic().constant();
  op.in("ends", dt::ints).variadic().constant();
  op.in("end_masks", dt::boolean).variadic().constant();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    Dims result;
    for (std::size_t i = 0; i < c.count("ref_tensors"); ++i) {
      const Dims reference = c.dims("ref_tensors", i);
      const std::int64_t rank = iz(reference.size());
      const auto value = [&](std::string_view param) {
        const Tensor given = i < c.count(param) ? c.known(param, i) : Tensor();
        if (!given.defined() || given.size() != 1) c.reject(param, "expected a constant number per reference");
        return given.integer_at(0);
      };
      std::int64_t begin = value("begins");
      std::int64_t end = value("end_masks") != 0 ? rank : value("ends");
      begin = begin < 0 ? begin + rank : begin;
      end = end < 0 ? end + rank : end;
      if (begin < 0 || end > rank || begin > end) c.reject("begins", "[{}, {}) is outside rank {}", begin, end, rank);
      for (std::int64_t k = begin; k < end; ++k) result.push_back(reference[uz(k)]);
    }
    if (all_known(dims) && all_known(result) && product(dims) != product(result)) {
      c.reject("x", "{} does not fit {}", to_string(dims), to_string(result));
    }
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = evaluate_view;
}

TL_OP(expand_dims) {
  op.view = true;
  op.in("x", dt::any);
  op.in("axes", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims dims = c.dims("x");
    std::vector<std::int64_t> axes = c.ints("axes");
    const std::int64_t rank = iz(dims.size() + axes.size());
    for (std::int64_t& axis : axes) axis = c.axis("axes", axis, rank);
    std::sort(axes.begin(), axes.end());
    if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) c.reject("axes", "an axis stands twice");
    for (const std::int64_t axis : axes) dims.insert(dims.begin() + axis, Dim(1));
    c.out(c.dtype("x"), std::move(dims));
  };
  op.eval = evaluate_view;
}

TL_OP(squeeze) {
  op.view = true;
  op.in("x", dt::any);
  op.in("axes", dt::ints).constant().optional();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    std::vector<bool> drop(dims.size(), false);
    if (c.has("axes")) {
      for (const std::int64_t axis : c.ints("axes")) {
        const std::size_t at = uz(c.axis("axes", axis, iz(dims.size())));
        drop[at] = !dims[at].known() || dims[at].extent() == 1;  // other extents stay, as coremltools has it
      }
    } else {
      for (std::size_t i = 0; i < dims.size(); ++i) drop[i] = dims[i] == Dim(1);
    }
    Dims result;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (!drop[i]) result.push_back(dims[i]);
    }
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = evaluate_view;
}

// [product of the axes before `axis`, product of the others]
TL_OP(flatten2d) {
  op.view = true;
  op.in("x", dt::any);
  op.in("axis", dt::ints).constant().def(1);
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const std::int64_t rank = iz(dims.size());
    std::int64_t axis = c.integer("axis");
    if (axis < -rank || axis > rank) c.reject("axis", "axis {} is outside rank {}", axis, rank);
    axis = axis < 0 ? axis + rank : axis;
    const auto span = [&](std::int64_t from, std::int64_t to) {
      Dims part(dims.begin() + from, dims.begin() + to);
      return all_known(part) ? Dim(product(part)) : Dim::unknown();
    };
    c.out(c.dtype("x"), {span(0, axis), span(axis, rank)});
  };
  op.eval = evaluate_view;
}

TL_OP(shape) {
  op.in("x", dt::any);
  op.infer = [](Infer& c) { c.out(DType::i32, {c.rank("x")}); };
  op.eval = [](Eval& c) { c.store(0, std::vector<std::int64_t>(c.shape("x"))); };
}

TL_OP(transpose) {
  op.in("x", dt::any);
  op.in("perm", dt::ints).constant();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const auto perm = c.ints("perm");
    if (perm.size() != dims.size()) c.reject("perm", "{} axes are named for rank {}", perm.size(), dims.size());
    std::vector<bool> seen(dims.size(), false);
    Dims result;
    for (const std::int64_t axis : perm) {
      const std::size_t at = uz(c.axis("perm", axis, iz(dims.size())));
      if (seen[at]) c.reject("perm", "axis {} stands twice", axis);
      seen[at] = true;
      result.push_back(dims[at]);
    }
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto strides = strides_of(x.shape());
    std::vector<std::int64_t> from;
    for (const std::int64_t axis : c.ints("perm")) from.push_back(strides[uz(axis < 0 ? axis + iz(x.rank()) : axis)]);
    Tensor result(x.dtype(), c.out_shape());
    copy_strided(x.data(), from, result.mutable_data(), strides_of(result.shape()), result.shape(),
                 element_bytes(c, "x", x.dtype()));
    c.set(0, std::move(result));
  };
}

}  // namespace tl::op
