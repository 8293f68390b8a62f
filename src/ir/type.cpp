#include "ir/type.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace tl::ir {

const TensorType& Type::tensor() const {
  if (const auto* tensor = as<TensorType>()) return *tensor;
  if (const auto* buffer = as<BufferType>()) return buffer->tensor;
  if (const auto* state = as<StateType>()) return state->wrapped->tensor();
  fail(ErrorKind::bad_model, "expected a tensor, got {}", to_string(*this));
}

bool operator==(const TensorType& a, const TensorType& b) { return a.dtype == b.dtype && a.dims == b.dims; }

bool operator==(const Type& a, const Type& b) {
  if (const auto* x = a.as<TensorType>()) {
    const auto* y = b.as<TensorType>();
    return y != nullptr && *x == *y;
  }
  if (const auto* x = a.as<ListType>()) {
    const auto* y = b.as<ListType>();
    return y != nullptr && *x->element == *y->element && x->length == y->length;
  }
  if (const auto* x = a.as<TupleType>()) {
    const auto* y = b.as<TupleType>();
    return y != nullptr && x->elements == y->elements;
  }
  if (const auto* x = a.as<DictType>()) {
    const auto* y = b.as<DictType>();
    return y != nullptr && *x->key == *y->key && *x->value == *y->value;
  }
  if (const auto* x = a.as<StateType>()) {
    const auto* y = b.as<StateType>();
    return y != nullptr && *x->wrapped == *y->wrapped;
  }
  const auto* x = a.as<BufferType>();
  const auto* y = b.as<BufferType>();
  return x != nullptr && y != nullptr && x->tensor == y->tensor && x->strides == y->strides &&
         x->interleave_factors == y->interleave_factors;
}

namespace {
std::string text(Dim dim) {
  if (dim.known()) return std::to_string(dim.extent());
  return dim.symbol_id() == 0 ? "?" : "?" + std::to_string(dim.symbol_id());
}

std::string text(const TensorType& type) {
  return fmt::format("tensor<{}, {}>", name(type.dtype), type.dims ? to_string(*type.dims) : std::string("[...]"));
}
}  // namespace

std::string to_string(const Dims& dims) {
  std::string result = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) result += (i == 0 ? "" : ", ") + text(dims[i]);
  return result + "]";
}

std::string to_string(const Type& type) {
  if (const auto* tensor = type.as<TensorType>()) return text(*tensor);
  if (const auto* list = type.as<ListType>()) return fmt::format("list<{}, {}>", to_string(*list->element), text(list->length));
  if (const auto* dict = type.as<DictType>())
    return fmt::format("dict<{}, {}>", to_string(*dict->key), to_string(*dict->value));
  if (const auto* state = type.as<StateType>()) return fmt::format("state<{}>", to_string(*state->wrapped));
  if (const auto* buffer = type.as<BufferType>()) return fmt::format("tensor_buffer<{}>", text(buffer->tensor));
  std::string result = "tuple<";
  const auto& elements = type.as<TupleType>()->elements;
  for (std::size_t i = 0; i < elements.size(); ++i) result += (i == 0 ? "" : ", ") + to_string(elements[i]);
  return result + ">";
}

Dims dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

bool all_known(const Dims& dims) noexcept {
  for (const Dim dim : dims) {
    if (!dim.known()) return false;
  }
  return true;
}

std::optional<Shape> shape_of(const TensorType& type) {
  if (!type.dims || !all_known(*type.dims)) return std::nullopt;
  Shape shape;
  for (const Dim dim : *type.dims) shape.push_back(dim.extent());
  return shape;
}

namespace {
// Whether extents are equal wherever both are known.
template <class Extents>
bool agree(const std::optional<Dims>& declared, const Extents& actual) noexcept {
  return !declared || std::equal(declared->begin(), declared->end(), actual.begin(), actual.end(),
                                 [](Dim a, Dim b) { return !a.known() || !b.known() || a.extent() == b.extent(); });
}
}  // namespace

bool compatible(const TensorType& declared, const Tensor& value) noexcept {
  return declared.dtype == value.dtype() && agree(declared.dims, value.shape());
}

bool compatible(const Type& declared, const Type& actual) {
  const auto* a = declared.as<TensorType>();
  const auto* b = actual.as<TensorType>();
  if (a != nullptr && b != nullptr) {
    return a->dtype == b->dtype && (!b->dims || agree(a->dims, *b->dims));
  }
  const auto* list_a = declared.as<ListType>();
  const auto* list_b = actual.as<ListType>();
  if (list_a != nullptr && list_b != nullptr) return compatible(*list_a->element, *list_b->element);
  const auto* state_a = declared.as<StateType>();
  const auto* state_b = actual.as<StateType>();
  if (state_a != nullptr && state_b != nullptr) return compatible(*state_a->wrapped, *state_b->wrapped);
  return declared == actual;
}

}  // namespace tl::ir
