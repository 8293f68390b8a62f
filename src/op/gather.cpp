#include <algorithm>
#include <optional>

#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr DTypeSet index_types = dt::ints;

// An index brought into [0, extent); negative ones count from the end. Refuses what lies outside.
std::int64_t checked_index(const OpView& c, std::int64_t index, std::int64_t extent) {
  const std::int64_t at = index < 0 ? index + extent : index;
  if (at < 0 || at >= extent) c.reject("indices", "index {} is outside an axis of {}", index, extent);
  return at;
}

std::int64_t span(const Shape& shape, std::size_t from, std::size_t to) {
  std::int64_t count = 1;
  for (std::size_t i = from; i < to; ++i) count *= shape[i];
  return count;
}

void same_dims(const Infer& c, std::string_view param, const Dims& a, const Dims& b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (a[i].known() && b[i].known() && a[i] != b[i])
      c.reject(param, "shape {} does not match {} on axis {}", to_string(b), to_string(a), i);
  }
}

// For indices of shape [outer, picks, inner] into [outer, extent, inner]: body(i, index i, element at index 0 of its line).
template <class Body>
void for_each_pick(const std::vector<std::int64_t>& indices, std::int64_t extent, std::int64_t picks, std::int64_t inner,
                   Body&& body) {
  std::size_t i = 0;
  for (std::int64_t base = 0; i < indices.size(); base += extent * inner) {
    std::int64_t k = 0;
    for (const std::size_t end = i + uz(picks * inner); i < end; ++i) {
      body(i, indices[i], base + k);
      if (++k == inner) k = 0;
    }
  }
}

// Calls body with how an update meets what is there.
template <class Body>
void with_combination(const OpView& c, Body&& body) {
  const std::string mode = c.text("mode");
  if (mode == "update") return body([](auto, auto b) { return b; });
  if (mode == "add") return body([](auto a, auto b) { return a + b; });
  if (mode == "sub") return body([](auto a, auto b) { return a - b; });
  if (mode == "mul") return body([](auto a, auto b) { return a * b; });
  if (mode == "div") return body([](auto a, auto b) { return a / b; });
  if (mode == "max") return body([](auto a, auto b) { return a > b ? a : b; });
  if (mode == "min") return body([](auto a, auto b) { return a < b ? a : b; });
  c.reject("mode", "unknown mode '{}'", mode);
}

// Calls body(data, updates, combine) with the elements: fp32 as it is, the other types in double, rounded once.
template <class Body>
void scattered(Eval& c, Body&& body) {
  with_combination(c, [&](auto combine) {
    if (c.in("data").dtype() == DType::f32) {
      Tensor result = c.in("data").clone();
      const Tensor updates = c.in("updates");
      body(result.mutable_values<float>(), updates.values<float>(), combine);
      c.set(0, std::move(result));
    } else {
      std::vector<double> data = c.doubles("data");
      const std::vector<double> updates = c.doubles("updates");
      body(std::span<double>(data), std::span<const double>(updates), combine);
      c.store(0, c.shape("data"), data);
    }
  });
}

void add_scatter_params(OpDef& op, const char* mode) {
  op.in("data", dt::numeric);
  op.in("indices", index_types);
  op.in("updates", dt::numeric);
  op.in("mode", dt::string).constant().def(mode);
  op.in("validate_indices", dt::boolean).constant().optional();  // iOS 17; before it, negative indices count from the end
}

// Where updates go; with validate_indices false, indices outside of the axis are left out.
class Places {
 public:
  explicit Places(const OpView& c)
      : c_(c), given_(c.has("validate_indices")), refuse_(given_ && c.boolean("validate_indices")) {}
  std::optional<std::int64_t> at(std::int64_t index, std::int64_t extent) const {
    if (!given_) return checked_index(c_, index, extent);
    if (index >= 0 && index < extent) return index;
    if (refuse_) c_.reject("indices", "index {} is outside an axis of {}", index, extent);
    return std::nullopt;
  }

 private:
  const OpView& c_;
  bool given_, refuse_;
};

void infer_scatter(Infer& c) {
  with_combination(c, [](auto) {});
  if (c.dtype("updates") != c.dtype("data"))
    c.reject("updates", "dtype {} does not match data, which is {}", name(c.dtype("updates")), name(c.dtype("data")));
  c.out(c.type("data"));
}

}  // namespace

TL_OP(gather) {
  op.in("x", dt::any);
  op.in("indices", index_types);
  op.in("axis", dt::ints).constant().def(0);
  op.in("batch_dims", dt::ints).constant().def(0);
  op.in("validate_indices", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    const Dims x = c.dims("x");
    const Dims indices = c.dims("indices");
    const std::size_t axis = uz(c.axis("axis", iz(x.size())));
    const std::int64_t batch = c.integer("batch_dims");
    if (batch < 0 || uz(batch) > axis || uz(batch) > indices.size())
      c.reject("batch_dims", "{} batch axes for axis {} and indices of rank {}", batch, axis, indices.size());
    same_dims(c, "indices", x, indices, uz(batch));
    Dims result(x.begin(), x.begin() + iz(axis));
    result.insert(result.end(), indices.begin() + batch, indices.end());
    result.insert(result.end(), x.begin() + iz(axis) + 1, x.end());
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto indices = c.integers("indices");
    const Shape& index_shape = c.shape("indices");
    const std::int64_t rank = iz(x.rank());
    const std::size_t axis = uz(c.axis("axis", rank));
    const std::size_t batch_dims = uz(c.integer("batch_dims"));
    Tensor result(x.dtype(), c.out_shape());
    const std::int64_t batch = span(x.shape(), 0, batch_dims);
    const std::int64_t outer = span(x.shape(), batch_dims, axis);
    const std::int64_t extent = x.dim(axis);
    const std::size_t row = uz(span(x.shape(), axis + 1, x.rank())) * element_bytes(c, "x", x.dtype());
    const std::int64_t picks = span(index_shape, batch_dims, index_shape.size());
    std::byte* to = result.size() == 0 ? nullptr : result.mutable_data();
    if (to == nullptr) return c.set(0, std::move(result));
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t o = 0; o < outer; ++o) {
        const std::byte* from = x.data() + uz((b * outer + o) * extent) * row;
        for (std::int64_t i = 0; i < picks; ++i, to += row) {
          std::memcpy(to, from + uz(checked_index(c, indices[uz(b * picks + i)], extent)) * row, row);
        }
      }
    }
    c.set(0, std::move(result));
  };
}

TL_OP(gather_along_axis) {
  op.in("x", dt::any);
  op.in("indices", index_types);
  op.in("axis", dt::ints).constant().def(0);
  op.in("validate_indices", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    const Dims x = c.dims("x");
    const Dims indices = c.dims("indices");
    const std::size_t axis = uz(c.axis("axis", iz(x.size())));
    if (indices.size() != x.size()) c.reject("indices", "rank {} does not match x, which has {}", indices.size(), x.size());
    Dims others = x;
    others[axis] = indices[axis];
    same_dims(c, "indices", others, indices, x.size());
    c.out(c.dtype("x"), indices);
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto indices = c.integers("indices");
    const std::int64_t rank = iz(x.rank());
    const std::size_t axis = uz(c.axis("axis", rank));
    Tensor result(x.dtype(), c.out_shape());
    const std::int64_t inner = span(x.shape(), axis + 1, x.rank());
    const std::int64_t picks = result.dim(axis);
    const std::size_t element = element_bytes(c, "x", x.dtype());
    const std::int64_t extent = x.dim(axis);
    const auto move = [&](auto tag) {
      using Element = decltype(tag);
      std::byte* to = result.mutable_data();
      for_each_pick(indices, extent, picks, inner, [&](std::size_t i, std::int64_t place, std::int64_t row) {
        const std::int64_t at = row + checked_index(c, place, extent) * inner;
        std::memcpy(to + i * sizeof(Element), x.data() + uz(at) * sizeof(Element), sizeof(Element));
      });
    };
    switch (element) {
      case 1: move(std::uint8_t{}); break;
      case 2: move(std::uint16_t{}); break;
      case 4: move(std::uint32_t{}); break;
      default: move(std::uint64_t{}); break;
    }
    c.set(0, std::move(result));
  };
}

// The last axis of indices names the place in x's axes after the batch ones.
TL_OP(gather_nd) {
  op.in("x", dt::any);
  op.in("indices", index_types);
  op.in("batch_dims", dt::ints).constant().def(0);
  op.in("validate_indices", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    const Dims x = c.dims("x");
    const Dims indices = c.dims("indices");
    const std::int64_t batch = c.integer("batch_dims");
    if (indices.empty()) c.reject("indices", "a scalar names no place");
    if (batch < 0 || uz(batch) >= indices.size() || uz(batch) > x.size())
      c.reject("batch_dims", "{} batch axes for ranks {} and {}", batch, x.size(), indices.size());
    same_dims(c, "indices", x, indices, uz(batch));
    if (!indices.back().known()) {
      c.out(TensorType{c.dtype("x"), std::nullopt});
      return;
    }
    const std::int64_t depth = indices.back().extent();
    if (depth > iz(x.size()) - batch) c.reject("indices", "{} coordinates for {} axes", depth, iz(x.size()) - batch);
    Dims result(indices.begin(), indices.end() - 1);
    result.insert(result.end(), x.begin() + batch + depth, x.end());
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto indices = c.integers("indices");
    const Shape& index_shape = c.shape("indices");
    const std::size_t batch_dims = uz(c.integer("batch_dims"));
    const std::size_t depth = uz(index_shape.back());
    Tensor result(x.dtype(), c.out_shape());
    const std::int64_t batch = span(x.shape(), 0, batch_dims);
    const std::int64_t picks = span(index_shape, batch_dims, index_shape.size() - 1);
    const std::size_t row = uz(span(x.shape(), batch_dims + depth, x.rank())) * element_bytes(c, "x", x.dtype());
    const std::int64_t places = span(x.shape(), batch_dims, batch_dims + depth);
    if (result.size() == 0) return c.set(0, std::move(result));
    std::byte* to = result.mutable_data();
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t i = 0; i < picks; ++i, to += row) {
        std::int64_t at = 0;
        for (std::size_t k = 0; k < depth; ++k) {
          const std::int64_t extent = x.dim(batch_dims + k);
          at = at * extent + checked_index(c, indices[uz(b * picks + i) * depth + k], extent);
        }
        std::memcpy(to, x.data() + uz(b * places + at) * row, row);
      }
    }
    c.set(0, std::move(result));
  };
}

// data with rows along `axis` met by updates, whose shape is data's with the axis replaced by the indices' shape.
TL_OP(scatter) {
  add_scatter_params(op, "add");
  op.in("axis", dt::ints).constant().def(0);
  op.infer = [](Infer& c) {
    const Dims data = c.dims("data");
    const Dims indices = c.dims("indices");
    const Dims updates = c.dims("updates");
    const std::size_t axis = uz(c.axis("axis", iz(data.size())));
    Dims wanted(data.begin(), data.begin() + iz(axis));
    wanted.insert(wanted.end(), indices.begin(), indices.end());
    wanted.insert(wanted.end(), data.begin() + iz(axis) + 1, data.end());
    if (wanted.size() != updates.size())
      c.reject("updates", "shape {} does not match {}", to_string(updates), to_string(wanted));
    same_dims(c, "updates", wanted, updates, wanted.size());
    infer_scatter(c);
  };
  op.eval = [](Eval& c) {
    const auto indices = c.integers("indices");
    const Places places(c);
    const Shape& shape = c.shape("data");
    const std::int64_t rank = iz(shape.size());
    const std::size_t axis = uz(c.axis("axis", rank));
    const std::int64_t outer = span(shape, 0, axis);
    const std::int64_t inner = span(shape, axis + 1, shape.size());
    const std::int64_t picks = iz(indices.size());
    scattered(c, [&](auto data, auto updates, auto combine) {
      for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t p = 0; p < picks; ++p) {
          const auto index = places.at(indices[uz(p)], shape[axis]);
          if (!index) continue;
          const std::int64_t row = (o * shape[axis] + *index) * inner;
          for (std::int64_t i = 0; i < inner; ++i)
            data[uz(row + i)] = combine(data[uz(row + i)], updates[uz((o * picks + p) * inner + i)]);
        }
      }
    });
  };
}

TL_OP(scatter_along_axis) {
  add_scatter_params(op, "add");
  op.in("axis", dt::ints).constant().def(0);
  op.infer = [](Infer& c) {
    const Dims data = c.dims("data");
    const Dims indices = c.dims("indices");
    const std::size_t axis = uz(c.axis("axis", iz(data.size())));
    if (indices.size() != data.size() || c.dims("updates").size() != data.size())
      c.reject("indices", "ranks of data, indices and updates differ");
    same_dims(c, "updates", indices, c.dims("updates"), data.size());
    Dims others = data;
    others[axis] = indices[axis];
    same_dims(c, "indices", others, indices, data.size());
    infer_scatter(c);
  };
  op.eval = [](Eval& c) {
    const auto indices = c.integers("indices");
    const Places places(c);
    const Shape& shape = c.shape("data");
    const std::int64_t rank = iz(shape.size());
    const std::size_t axis = uz(c.axis("axis", rank));
    const std::int64_t inner = span(shape, axis + 1, shape.size());
    const std::int64_t picks = c.shape("indices")[axis];
    const std::int64_t extent = shape[axis];
    scattered(c, [&](auto data, auto updates, auto combine) {
      for_each_pick(indices, extent, picks, inner, [&](std::size_t i, std::int64_t place, std::int64_t row) {
        const auto index = places.at(place, extent);
        if (!index) return;
        auto& at = data[uz(row + *index * inner)];
        at = combine(at, updates[i]);
      });
    });
  };
}

TL_OP(scatter_nd) {
  add_scatter_params(op, "add");
  op.infer = [](Infer& c) {
    const Dims data = c.dims("data");
    const Dims indices = c.dims("indices");
    const Dims updates = c.dims("updates");
    if (indices.empty()) c.reject("indices", "a scalar names no place");
    if (indices.back().known()) {
      const std::int64_t depth = indices.back().extent();
      if (depth > iz(data.size())) c.reject("indices", "{} coordinates for rank {}", depth, data.size());
      Dims wanted(indices.begin(), indices.end() - 1);
      wanted.insert(wanted.end(), data.begin() + depth, data.end());
      if (wanted.size() != updates.size())
        c.reject("updates", "shape {} does not match {}", to_string(updates), to_string(wanted));
      same_dims(c, "updates", wanted, updates, wanted.size());
    }
    infer_scatter(c);
  };
  op.eval = [](Eval& c) {
    const auto indices = c.integers("indices");
    const Places places(c);
    const Shape& shape = c.shape("data");
    const std::size_t depth = uz(c.shape("indices").back());
    const std::int64_t inner = span(shape, depth, shape.size());
    const std::size_t picks =
        depth == 0 ? uz(span(c.shape("indices"), 0, c.shape("indices").size() - 1)) : indices.size() / depth;
    scattered(c, [&](auto data, auto updates, auto combine) {
      for (std::size_t p = 0; p < picks; ++p) {
        std::int64_t row = 0;
        bool inside = true;
        for (std::size_t k = 0; k < depth; ++k) {
          const auto index = places.at(indices[p * depth + k], shape[k]);
          inside = inside && index.has_value();
          row = row * shape[k] + index.value_or(0);
        }
        if (!inside) continue;
        for (std::int64_t i = 0; i < inner; ++i) {
          auto& at = data[uz(row * inner + i)];
          at = combine(at, updates[p * uz(inner) + uz(i)]);
        }
      }
    });
  };
}

}  // namespace tl::op
