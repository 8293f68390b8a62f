#include <algorithm>

#include "op/slice_view.hpp"
#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

// What a slice takes along one axis: count elements from `begin` in steps of `stride`.
struct Span {
  std::int64_t begin = 0;
  std::int64_t stride = 1;
  std::int64_t count = 0;
  bool squeezed = false;
};

std::vector<bool> flags(const OpView& c, std::string_view param, std::size_t rank) {
  std::vector<bool> result(rank, false);
  if (!c.has(param)) return result;
  const auto values = c.ints(param);
  if (values.size() != rank) c.reject(param, "{} values are given for rank {}", values.size(), rank);
  for (std::size_t i = 0; i < rank; ++i) result[i] = values[i] != 0;
  return result;
}

// Python's rules: indices count from the end when negative and are clamped; a stride may be negative.
Span slice_axis(const OpView& c, std::int64_t extent, std::int64_t begin, std::int64_t end, std::int64_t stride,
                bool from_start, bool to_end, bool squeezed) {
  if (stride == 0) c.reject("stride", "a stride of 0");
  if (squeezed) {
    const std::int64_t at = begin < 0 ? begin + extent : begin;
    if (at < 0 || at >= extent) c.reject("begin", "index {} is outside an axis of {}", begin, extent);
    return {at, 1, 1, true};
  }
  const std::int64_t low = stride > 0 ? 0 : -1;
  const std::int64_t high = stride > 0 ? extent : extent - 1;
  const auto bound = [&](std::int64_t index) { return std::clamp(index < 0 ? index + extent : index, low, high); };
  const std::int64_t first = from_start ? (stride > 0 ? 0 : extent - 1) : bound(begin);
  const std::int64_t last = to_end ? (stride > 0 ? extent : -1) : bound(end);
  const std::int64_t distance = stride > 0 ? last - first : first - last;
  const std::int64_t step = stride > 0 ? stride : (stride == INT64_MIN ? INT64_MAX : -stride);
  return {first, stride, distance <= 0 ? 0 : (distance - 1) / step + 1, false};
}

// The spans of a slice by index, each when everything that it depends on is known.
std::vector<std::optional<Span>> spans(const OpView& c, const Dims& dims) {
  const auto begin = c.maybe_ints("begin");
  const auto end = c.maybe_ints("end");
  const std::size_t rank = dims.size();
  std::vector<std::int64_t> stride(rank, 1);
  bool stepped = true;  // by strides that are known
  if (c.has("stride")) {
    const auto given = c.maybe_ints("stride");
    stepped = given.has_value();
    if (given) stride = *given;
  }
  if (stride.size() != rank) c.reject("stride", "{} values are given for rank {}", stride.size(), rank);
  if (begin && begin->size() != rank) c.reject("begin", "{} values are given for rank {}", begin->size(), rank);
  if (end && end->size() != rank) c.reject("end", "{} values are given for rank {}", end->size(), rank);
  const auto from_start = flags(c, "begin_mask", rank);
  const auto to_end = flags(c, "end_mask", rank);
  const auto squeezed = flags(c, "squeeze_mask", rank);
  std::vector<std::optional<Span>> result(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    if (squeezed[i] && !(stepped && begin && dims[i].known())) {
      result[i] = Span{0, 1, 1, true};
      continue;
    }
    const bool known = stepped && dims[i].known() && (begin || from_start[i]) && (end || to_end[i]);
    if (known) {
      result[i] = slice_axis(c, dims[i].extent(), begin ? (*begin)[i] : 0, end ? (*end)[i] : 0, stride[i], from_start[i],
                             to_end[i], squeezed[i]);
    }
  }
  return result;
}

struct Box {
  std::int64_t offset = 0;
  std::vector<std::int64_t> strides;
  Shape shape;
};

Box box_of(const std::vector<std::optional<Span>>& spans, const Shape& shape) {
  Box box;
  const auto strides = strides_of(shape);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const Span& span = *spans[i];
    box.offset += span.count == 0 ? 0 : span.begin * strides[i];
    box.strides.push_back(strides[i] * span.stride);
    box.shape.push_back(span.count);
  }
  return box;
}

void add_slice_params(OpDef& op) {
  op.in("begin", dt::ints);
  op.in("end", dt::ints);
  op.in("stride", dt::ints).optional();
  op.in("begin_mask", dt::boolean).constant().optional();
  op.in("end_mask", dt::boolean).constant().optional();
  op.in("squeeze_mask", dt::boolean).constant().optional();
}

// The shape of an update of x fits the slice as far as both are known.
void check_slice_update(const Infer& c, const Dims& dims, DType dtype) {
  if (c.dtype("update") != dtype)
    c.reject("update", "dtype {} does not match x, which is {}", name(c.dtype("update")), name(dtype));
  const Dims update = c.dims("update");
  const auto found = spans(c, dims);
  Dims wanted;
  for (const auto& span : found) {
    if (!span) {
      wanted.push_back(Dim::unknown());
    } else if (!span->squeezed) {
      wanted.emplace_back(span->count);
    }
  }
  if (!compatible(Type(DType::f32, wanted), Type(DType::f32, update))) {
    c.reject("update", "shape {} does not match the slice, which is {}", to_string(update), to_string(wanted));
  }
}

void put_slice(const Eval& c, Tensor& target) {
  const Box box = box_of(spans(c, dims_of(target.shape())), target.shape());
  const std::size_t element = element_bytes(c, "update", target.dtype());
  if (element_count(box.shape) != c.in("update").size())
    c.reject("update", "{} elements for a slice of {}", c.in("update").size(), element_count(box.shape));
  copy_strided(c.in("update").data(), strides_of(box.shape), target.mutable_data() + box.offset * iz(element), box.strides,
               box.shape, element);
}

}  // namespace

std::optional<std::int64_t> slice_view(const Op& op) {
  const Infer c(op);
  const auto shape = c.type("x").is_tensor() ? shape_of(c.type("x").tensor()) : std::nullopt;
  if (!shape || bits(c.dtype("x")) < 8) return std::nullopt;
  const auto found = spans(c, dims_of(*shape));
  if (!c.maybe_ints("begin") || std::any_of(found.begin(), found.end(), [](const auto& span) { return !span; }))
    return std::nullopt;
  const Box box = box_of(found, *shape);
  const auto dense = strides_of(box.shape);
  for (std::size_t i = 0; i < box.shape.size(); ++i) {
    if (box.shape[i] == 0 || (box.shape[i] != 1 && box.strides[i] != dense[i])) return std::nullopt;
  }
  return box.offset;
}

TL_OP(slice_by_index) {
  op.in("x", dt::any);
  add_slice_params(op);
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const auto found = spans(c, dims);
    Dims result;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (!found[i]) {
        result.push_back(Dim::unknown());
      } else if (!found[i]->squeezed) {
        result.emplace_back(found[i]->count);
      }
    }
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const Box box = box_of(spans(c, dims_of(x.shape())), x.shape());
    Tensor result(x.dtype(), c.out_shape());
    const std::size_t element = element_bytes(c, "x", x.dtype());
    copy_strided(x.data() + box.offset * iz(element), box.strides, result.mutable_data(), strides_of(box.shape), box.shape,
                 element);
    c.set(0, std::move(result));
  };
}

// x with the sliced part replaced.
TL_OP(slice_update) {
  op.in("x", dt::any);
  op.in("update", dt::any);
  add_slice_params(op);
  op.infer = [](Infer& c) {
    check_slice_update(c, c.dims("x"), c.dtype("x"));
    c.out(c.type("x"));
  };
  op.eval = [](Eval& c) {
    Tensor result = c.in("x").clone();
    put_slice(c, result);
    c.set(0, std::move(result));
  };
}

// slice_update of a state's value, in place; gives the new value back, which shares the state's bytes.
TL_OP(tl_update_state) {
  op.pure = false;
  op.in("state", dt::any).any_kind();
  op.in("update", dt::any);
  add_slice_params(op);
  op.infer = [](Infer& c) {
    const auto* state = type_of(c.op().argument("state")->bindings.front()).as<StateType>();
    if (state == nullptr || !state->wrapped->is_tensor()) c.reject("state", "expected the state of a tensor");
    const TensorType& held = state->wrapped->tensor();
    check_slice_update(c, held.dims.value_or(Dims()), held.dtype);
    c.out(*state->wrapped);
  };
  op.eval = [](Eval& c) {
    Value& held = c.state("state").value;
    Tensor target = held.tensor();
    put_slice(c, target);
    c.set(0, std::move(target));
  };
}

TL_OP(slice_by_size) {
  op.in("x", dt::any);
  op.in("begin", dt::ints);
  op.in("size", dt::ints);
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("x");
    const auto begin = c.maybe_ints("begin");
    const auto size = c.maybe_ints("size");
    for (const auto& [param, given] : {std::pair{"begin", &begin}, std::pair{"size", &size}}) {
      if (*given && (*given)->size() != dims.size())
        c.reject(param, "{} values are given for rank {}", (*given)->size(), dims.size());
    }
    Dims result;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (!size || ((*size)[i] == -1 && (!begin || !dims[i].known()))) {
        result.push_back(Dim::unknown());
        continue;
      }
      std::int64_t count = (*size)[i];
      if (begin && dims[i].known()) {
        const std::int64_t extent = dims[i].extent();
        const std::int64_t first = (*begin)[i] < 0 ? (*begin)[i] + extent : (*begin)[i];
        if (first < 0 || first > extent) c.reject("begin", "index {} is outside an axis of {}", (*begin)[i], extent);
        count = count == -1 ? extent - first : count;
        if (count < 0 || count > extent - first)
          c.reject("size", "{} elements from {} leave an axis of {}", (*size)[i], first, extent);
      }
      if (count < 0) c.reject("size", "a size of {}", count);
      result.emplace_back(count);
    }
    c.out(c.dtype("x"), std::move(result));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto begin = c.ints("begin");
    const auto strides = strides_of(x.shape());
    Tensor result(x.dtype(), c.out_shape());
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < x.rank(); ++i) offset += (begin[i] < 0 ? begin[i] + x.dim(i) : begin[i]) * strides[i];
    const std::size_t element = element_bytes(c, "x", x.dtype());
    if (result.size() != 0) {
      copy_strided(x.data() + offset * iz(element), strides, result.mutable_data(), strides_of(result.shape()), result.shape(),
                   element);
    }
    c.set(0, std::move(result));
  };
}

}  // namespace tl::op
