#include <algorithm>
#include <cmath>

#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

// The extents that `param` lists; absent when even their number is not known yet.
std::optional<Dims> dims_from_values(const Infer& c, std::string_view param) {
  if (const auto extents = c.maybe_ints(param)) {
    Dims dims;
    for (const std::int64_t extent : *extents) {
      if (extent < 0) c.reject(param, "extent {} is negative", extent);
      dims.emplace_back(extent);
    }
    element_count(Shape(extents->begin(), extents->end()));
    return dims;
  }
  const Dims given = c.dims(param);
  if (given.size() == 1 && !given[0].known()) return std::nullopt;
  if (given.size() != 1 || given[0].extent() > 64) c.reject(param, "expected a list of extents");
  return Dims(uz(given[0].extent()), Dim::unknown());
}

Tensor filled(const Eval& c, std::string_view param, const Shape& shape) {
  const Tensor value = c.in(param);
  Tensor result(value.dtype(), shape);
  const std::size_t element = element_bytes(c, param, value.dtype());
  std::byte* to = result.mutable_data();
  const std::size_t total = uz(result.size()) * element;
  // One element, then copies of what is there, of blocks that stay in cache.
  if (total != 0) std::memcpy(to, value.data(), element);
  for (std::size_t done = element; done < total;) {
    const std::size_t more = std::min({done, total - done, std::size_t{1} << 14});
    std::memcpy(to + done, to, more);
    done += more;
  }
  return result;
}

enum class PadMode { constant, reflect, replicate };

PadMode pad_mode(const OpView& c) {
  const std::string mode = c.text("mode");
  if (mode == "constant") return PadMode::constant;
  if (mode == "reflect") return PadMode::reflect;
  if (mode == "replicate") return PadMode::replicate;
  c.reject("mode", "unknown mode '{}'", mode);
}

}  // namespace

TL_OP(fill) {
  op.in("shape", dt::ints);
  op.in("value", dt::numeric | dt::boolean).constant().def(0.0);
  op.infer = [](Infer& c) {
    if (c.known("value").size() != 1) c.reject("value", "expected one value");
    if (c.rank("shape") != 1) c.reject("shape", "expected a list of extents, got rank {}", c.rank("shape"));
    c.out(TensorType{c.dtype("value"), dims_from_values(c, "shape")});
  };
  op.eval = [](Eval& c) { c.set(0, filled(c, "value", c.out_shape())); };
}

TL_OP(fill_like) {
  op.in("ref_tensor", dt::any);
  op.in("value", dt::numeric | dt::boolean).constant().def(0.0);
  op.infer = [](Infer& c) {
    if (c.known("value").size() != 1) c.reject("value", "expected one value");
    c.out(c.dtype("value"), c.dims("ref_tensor"));
  };
  op.eval = [](Eval& c) { c.set(0, filled(c, "value", c.out_shape())); };
}

TL_OP(range_1d) {
  op.in("end", dt::numeric);
  op.in("start", dt::numeric);
  op.in("step", dt::numeric);
  op.infer = [](Infer& c) {
    for (const char* param : {"start", "step"}) {
      if (c.dtype(param) != c.dtype("end"))
        c.reject(param, "dtype {} does not match end, which is {}", name(c.dtype(param)), name(c.dtype("end")));
    }
    Dim count = Dim::unknown();
    if (c.known("end").defined() && c.known("start").defined() && c.known("step").defined()) {
      const double step = c.number("step");
      if (step == 0 || !std::isfinite(step)) c.reject("step", "a step of {}", step);
      const double length = std::ceil((c.number("end") - c.number("start")) / step);
      if (!(length < 0x1p34)) c.reject("end", "a range of {} elements", length);
      count = Dim(length > 0 ? static_cast<std::int64_t>(length) : 0);
    }
    c.out(c.dtype("end"), {count});
  };
  op.eval = [](Eval& c) {
    std::vector<double> values(uz(c.out_shape()[0]));
    const double start = c.number("start");
    const double step = c.number("step");
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = start + static_cast<double>(i) * step;
    c.store(0, values);
  };
}

TL_OP(one_hot) {
  op.in("indices", dt::ints);
  op.in("one_hot_vector_size", dt::ints);
  op.in("axis", dt::ints).constant().def(-1);
  op.in("on_value", dt::numeric | dt::boolean).constant().def(1);
  op.in("off_value", dt::numeric | dt::boolean).constant().def(0);
  op.infer = [](Infer& c) {
    Dims dims = c.dims("indices");
    const std::int64_t axis = c.axis("axis", iz(dims.size()) + 1);
    const bool known = c.known("one_hot_vector_size").defined();
    if (known && c.integer("one_hot_vector_size") < 0)
      c.reject("one_hot_vector_size", "a size of {}", c.integer("one_hot_vector_size"));
    dims.insert(dims.begin() + axis, known ? Dim(c.integer("one_hot_vector_size")) : Dim::unknown());
    c.out(c.dtype("on_value"), std::move(dims));
  };
  op.eval = [](Eval& c) {
    // Indices outside the vector give no hot element; negative ones count from the end.
    const auto indices = c.integers("indices");
    const Shape shape = c.out_shape();
    const std::int64_t rank = iz(shape.size());
    const std::size_t axis = uz(c.axis("axis", rank));
    const std::int64_t size = shape[axis];
    std::int64_t inner = 1;
    for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
    std::vector<double> values(uz(element_count(shape)), c.number("off_value"));
    const double on = c.number("on_value");
    for (std::int64_t i = 0; i < iz(indices.size()); ++i) {
      const std::int64_t at = indices[uz(i)] < 0 ? indices[uz(i)] + size : indices[uz(i)];
      if (at >= 0 && at < size) values[uz((i / inner * size + at) * inner + i % inner)] = on;
    }
    c.store(0, shape, values);
  };
}

TL_OP(pad) {
  op.in("x", dt::numeric | dt::boolean);
  op.in("pad", dt::ints);
  op.in("mode", dt::string).constant().def("constant");
  op.in("constant_val", dt::numeric | dt::boolean).constant().def(0.0);
  op.infer = [](Infer& c) {
    Dims dims = c.dims("x");
    const PadMode mode = pad_mode(c);
    const auto pads = c.maybe_ints("pad");
    if (!pads) {
      c.out(c.dtype("x"), Dims(dims.size(), Dim::unknown()));
      return;
    }
    if (pads->size() % 2 != 0 || pads->size() / 2 > dims.size())
      c.reject("pad", "{} values for rank {}", pads->size(), dims.size());
    const std::size_t first = dims.size() - pads->size() / 2;
    for (std::size_t i = first; i < dims.size(); ++i) {
      const std::int64_t before = (*pads)[2 * (i - first)];
      const std::int64_t after = (*pads)[2 * (i - first) + 1];
      if (before < 0 || after < 0) c.reject("pad", "a padding of {}", std::min(before, after));
      if (!dims[i].known()) continue;
      const std::int64_t extent = dims[i].extent();
      if (mode == PadMode::reflect && std::max(before, after) >= std::max<std::int64_t>(extent, 1)) {
        c.reject("pad", "reflecting {} elements on an axis of {}", std::max(before, after), extent);
      }
      if (mode == PadMode::replicate && extent == 0 && before + after > 0) c.reject("pad", "an empty axis has no edge");
      dims[i] = checked_add(extent, checked_add(before, after, "padding"), "extent");
    }
    c.out(c.dtype("x"), std::move(dims));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const PadMode mode = pad_mode(c);
    const auto pads = c.ints("pad");
    const std::size_t first = x.rank() - pads.size() / 2;
    Tensor result(x.dtype(), c.out_shape());
    const std::size_t element = element_bytes(c, "x", x.dtype());
    const Tensor fill = c.in("constant_val").cast(x.dtype());
    const auto strides = strides_of(x.shape());
    // For each axis the source index of every output index; -1: outside.
    std::vector<std::vector<std::int64_t>> sources(x.rank());
    for (std::size_t i = 0; i < x.rank(); ++i) {
      const std::int64_t before = i < first ? 0 : pads[2 * (i - first)];
      const std::int64_t extent = x.dim(i);
      for (std::int64_t k = 0; k < result.dim(i); ++k) {
        std::int64_t at = k - before;
        if (mode == PadMode::reflect) at = at < 0 ? -at : at >= extent ? 2 * (extent - 1) - at : at;
        if (mode == PadMode::replicate) at = std::clamp<std::int64_t>(at, 0, extent - 1);
        sources[i].push_back(at < 0 || at >= extent ? -1 : at * strides[i]);
      }
    }
    if (x.rank() == 0) return c.set(0, x);
    // Lines of the last axis: what lies inside moves in one piece, the rest by elements.
    const std::size_t last = x.rank() - 1;
    const std::int64_t line = result.dim(last);
    const std::int64_t before = std::min(line, last < first ? 0 : pads[2 * (last - first)]);
    const std::int64_t inside = std::min(line - before, x.dim(last));
    const auto put = [&](std::byte* to, std::int64_t from) {
      std::memcpy(to, from < 0 ? fill.data() : x.data() + uz(from) * element, element);
    };
    std::vector<std::int64_t> position(x.rank(), 0);
    std::byte* to = result.mutable_data();
    for (std::int64_t o = 0; o < result.size(); o += line, to += uz(line) * element) {
      std::int64_t from = 0;
      for (std::size_t i = 0; i < last && from >= 0; ++i) {
        const std::int64_t part = sources[i][uz(position[i])];
        from = part < 0 ? -1 : from + part;
      }
      if (from < 0) {
        for (std::int64_t k = 0; k < line; ++k) put(to + uz(k) * element, -1);
      } else {
        const auto edge = [&](std::int64_t k) {
          const std::int64_t part = sources[last][uz(k)];
          put(to + uz(k) * element, part < 0 ? -1 : from + part);
        };
        for (std::int64_t k = 0; k < before; ++k) edge(k);
        if (inside > 0) std::memcpy(to + uz(before) * element, x.data() + uz(from) * element, uz(inside) * element);
        for (std::int64_t k = before + inside; k < line; ++k) edge(k);
      }
      for (std::size_t axis = last; axis-- > 0;) {
        if (++position[axis] < result.dim(axis)) break;
        position[axis] = 0;
      }
    }
    c.set(0, std::move(result));
  };
}

}  // namespace tl::op
