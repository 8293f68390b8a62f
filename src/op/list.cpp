#include <cstring>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

const ListType& list_type(const Infer& c, const Type& type) {
  const auto* list = type.as<ListType>();
  if (list == nullptr) c.reject("ls", "expected a list, got {}", to_string(type));
  return *list;
}

// What is written must be what is read as.
void expect_element(const Infer& c, const Type& element, const Type& value) {
  if (!compatible(element, value)) c.reject("value", "{} does not fit a list of {}", to_string(value), to_string(element));
}

// Element of a list; places that were never written are zeros of the element type.
Value element(const Eval& c, const List& list, std::int64_t index) {
  if (index < 0) index += iz(list.items.size());
  if (index < 0 || index >= iz(list.items.size())) c.reject("index", "index {} of a list of {}", index, list.items.size());
  const Value& item = list.items[uz(index)];
  if (!item.empty()) return item;
  const Type list_type = c.type("ls");
  const auto* type = list_type.as<ListType>();
  const auto shape = type == nullptr ? std::nullopt : shape_of(type->element->tensor());
  if (shape) return Tensor::zeros(type->element->tensor().dtype, *shape);
  for (const Value& other : list.items) {
    if (!other.empty()) return Tensor::zeros(other.tensor().dtype(), other.tensor().shape());
  }
  c.reject("index", "element {} was never written and the list does not tell its shape", index);
}

constexpr std::int64_t max_length = std::int64_t{1} << 24;

void write(const Eval& c, List& list, std::int64_t index, Value value) {
  if (index < 0 || index >= max_length) c.reject("index", "index {} of a list", index);
  if (index >= iz(list.items.size())) list.items.resize(uz(index) + 1);
  list.items[uz(index)] = std::move(value);
}

}  // namespace

// A list of `init_length` zero tensors of `elem_shape` (0 where the shape is not fixed).
TL_OP(make_list) {
  op.pure = false;
  op.in("init_length", dt::ints).def(1);
  op.in("dynamic_length", dt::boolean).constant().def(true);
  op.in("elem_shape", dt::any).variadic();
  op.in("dtype", dt::string).constant().def("fp32");
  op.infer = [](Infer& c) {
    const auto dtype = dtype_from_name(c.text("dtype"));
    if (!dtype) c.reject("dtype", "unknown type '{}'", c.text("dtype"));
    Dims dims;
    for (std::size_t i = 0; i < c.count("elem_shape"); ++i) {
      const Tensor extents = c.known("elem_shape", i);
      if (!extents.defined() || extents.dtype() == DType::string) {
        const Dims shape = c.dims("elem_shape", i);
        const std::size_t count = shape.size() == 1 && shape[0].known() ? uz(shape[0].extent()) : 1;
        for (std::size_t k = 0; k < count; ++k) dims.push_back(Dim::unknown());
        continue;
      }
      for (std::int64_t k = 0; k < extents.size(); ++k) {
        const std::int64_t extent = extents.integer_at(k);
        dims.push_back(extent < 0 ? Dim::unknown() : Dim(extent));
      }
    }
    const bool fixed = c.known("init_length").defined() && !c.boolean("dynamic_length");
    c.out(ListType{std::make_shared<const Type>(*dtype, std::move(dims)),
                   fixed ? Dim(c.integer("init_length")) : Dim::unknown()});
  };
  op.eval = [](Eval& c) {
    List list;
    const std::int64_t length = c.integer("init_length");
    if (length < 0 || length > max_length) c.reject("init_length", "a list of {}", length);
    const auto& type = c.out_type().as<ListType>()->element->tensor();
    const auto shape = shape_of(type);
    list.items.assign(uz(length), shape ? Value(Tensor::zeros(type.dtype, *shape)) : Value());
    c.set(0, std::move(list));
  };
}

TL_OP(list_length) {
  op.in("ls", dt::any).any_kind();
  op.infer = [](Infer& c) {
    list_type(c, c.type("ls"));
    c.out(DType::i32, {});
  };
  op.eval = [](Eval& c) { c.set(0, Tensor::scalar(static_cast<std::int32_t>(c.value("ls").list().items.size()))); };
}

TL_OP(list_read) {
  op.in("ls", dt::any).any_kind();
  op.in("index", dt::ints);
  op.infer = [](Infer& c) { c.out(*list_type(c, c.type("ls")).element); };
  op.eval = [](Eval& c) { c.set(0, element(c, c.value("ls").list(), c.integer("index"))); };
}

TL_OP(list_write) {
  op.in("ls", dt::any).any_kind();
  op.in("index", dt::ints);
  op.in("value", dt::any);
  op.infer = [](Infer& c) {
    const Type ls = c.type("ls");
    expect_element(c, *list_type(c, ls).element, c.type("value"));
    c.out(ls);
  };
  op.eval = [](Eval& c) {
    List list = c.value("ls").list();
    write(c, list, c.integer("index"), c.value("value"));
    c.set(0, std::move(list));
  };
}

TL_OP(list_gather) {
  op.in("ls", dt::any).any_kind();
  op.in("indices", dt::ints);
  op.infer = [](Infer& c) {
    const TensorType& type = list_type(c, c.type("ls")).element->tensor();
    if (!type.dims) {
      c.out(type);
      return;
    }
    Dims dims = *type.dims;
    const Dims indices = c.dims("indices");
    dims.insert(dims.begin(), indices.size() == 1 ? indices[0] : Dim::unknown());
    c.out(type.dtype, std::move(dims));
  };
  op.eval = [](Eval& c) {
    const auto indices = c.integers("indices");
    std::vector<Tensor> rows;
    for (const std::int64_t index : indices) rows.push_back(element(c, c.value("ls").list(), index).tensor());
    if (rows.empty()) c.reject("indices", "no elements are asked for");
    Shape shape = rows[0].shape();
    shape.insert(shape.begin(), iz(rows.size()));
    Tensor result(rows[0].dtype(), shape);
    std::size_t at = 0;
    for (const Tensor& row : rows) {
      if (row.shape() != rows[0].shape())
        c.reject("ls", "elements of shapes {} and {}", to_string(row.shape()), to_string(rows[0].shape()));
      if (row.bytes() != 0) std::memcpy(result.mutable_data() + at, row.data(), row.bytes());
      at += row.bytes();
    }
    c.set(0, std::move(result));
  };
}

TL_OP(list_scatter) {
  op.in("ls", dt::any).any_kind();
  op.in("indices", dt::ints);
  op.in("value", dt::any);
  op.infer = [](Infer& c) {
    const Type ls = c.type("ls");
    const Type& element = *list_type(c, ls).element;
    const Type given = c.type("value");
    if (const auto& dims = given.tensor().dims) {
      if (dims->empty()) c.reject("value", "{} does not fit a list of {}", to_string(given), to_string(element));
      expect_element(c, element, TensorType{given.tensor().dtype, Dims(dims->begin() + 1, dims->end())});
    }
    c.out(ls);
  };
  op.eval = [](Eval& c) {
    List list = c.value("ls").list();
    const auto indices = c.integers("indices");
    const Tensor value = c.in("value");
    if (value.rank() == 0 || value.dim(0) != iz(indices.size()))
      c.reject("value", "shape {} for {} indices", to_string(value.shape()), indices.size());
    const Shape shape(value.shape().begin() + 1, value.shape().end());
    for (std::size_t i = 0; i < indices.size(); ++i) {
      Tensor row(value.dtype(), shape);
      if (row.bytes() != 0) std::memcpy(row.mutable_data(), value.data() + i * row.bytes(), row.bytes());
      write(c, list, indices[i], std::move(row));
    }
    c.set(0, std::move(list));
  };
}

}  // namespace tl::op
