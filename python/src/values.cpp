#include "values.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <array>
#include <limits>
#include <optional>

#include "tensorlogic/error.hpp"

namespace nb = nanobind;

namespace tl::python {
namespace {

constexpr std::uint8_t kind_of(nb::dlpack::dtype_code code) { return static_cast<std::uint8_t>(code); }
constexpr std::uint8_t brain_float = 4;  // kDLBfloat

struct Row {
  DType dtype;
  nb::dlpack::dtype dlpack;
};

constexpr std::array rows = {
    Row{DType::f16, {kind_of(nb::dlpack::dtype_code::Float), 16, 1}},
    Row{DType::f32, {kind_of(nb::dlpack::dtype_code::Float), 32, 1}},
    Row{DType::f64, {kind_of(nb::dlpack::dtype_code::Float), 64, 1}},
    Row{DType::bf16, {brain_float, 16, 1}},
    Row{DType::i8, {kind_of(nb::dlpack::dtype_code::Int), 8, 1}},
    Row{DType::i16, {kind_of(nb::dlpack::dtype_code::Int), 16, 1}},
    Row{DType::i32, {kind_of(nb::dlpack::dtype_code::Int), 32, 1}},
    Row{DType::i64, {kind_of(nb::dlpack::dtype_code::Int), 64, 1}},
    Row{DType::u8, {kind_of(nb::dlpack::dtype_code::UInt), 8, 1}},
    Row{DType::u16, {kind_of(nb::dlpack::dtype_code::UInt), 16, 1}},
    Row{DType::u32, {kind_of(nb::dlpack::dtype_code::UInt), 32, 1}},
    Row{DType::u64, {kind_of(nb::dlpack::dtype_code::UInt), 64, 1}},
    Row{DType::boolean, {kind_of(nb::dlpack::dtype_code::Bool), 8, 1}},
};

std::optional<DType> dtype_of_dlpack(nb::dlpack::dtype dtype) {
  for (const Row& row : rows) {
    if (row.dlpack == dtype) return row.dtype;
  }
  return std::nullopt;
}

std::optional<nb::dlpack::dtype> dlpack_of(DType dtype) {
  for (const Row& row : rows) {
    if (row.dtype == dtype) return row.dlpack;
  }
  return std::nullopt;
}

// Keeps a Python object alive from C++ threads: the reference is dropped under the GIL.
std::shared_ptr<const void> keep(nb::object object) {
  return {object.release().ptr(), [](PyObject* held) {
            const nb::gil_scoped_acquire gil;
            Py_DECREF(held);
          }};
}

Tensor borrow(const nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>& array, nb::handle object) {
  const auto dtype = dtype_of_dlpack(array.dtype());
  if (!dtype) throw Error(ErrorKind::invalid_argument, "arrays of this dtype are not taken");
  Shape shape;
  for (std::size_t i = 0; i < array.ndim(); ++i) shape.push_back(static_cast<std::int64_t>(array.shape(i)));
  return Tensor::view(*dtype, std::move(shape), array.data(), keep(nb::borrow(object)));
}

Value sequence(const nb::sequence& items) {
  List list;
  for (const nb::handle item : items) list.items.push_back(to_value(item));
  return list;
}

}  // namespace

Value to_value(nb::handle object) {
  if (nb::isinstance<nb::str>(object)) return Tensor::scalar(nb::cast<std::string>(object));
  if (nb::isinstance<nb::bool_>(object)) return Tensor::scalar(nb::cast<bool>(object));
  if (nb::isinstance<nb::int_>(object)) return Tensor::scalar(nb::cast<std::int64_t>(object));
  if (nb::isinstance<nb::float_>(object)) return Tensor::scalar(nb::cast<double>(object));
  nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu> array;
  if (nb::try_cast(object, array)) return borrow(array, object);
  if (nb::isinstance<nb::dict>(object)) {
    Dict dict;
    for (const auto [key, value] : nb::borrow<nb::dict>(object)) dict.items.emplace_back(to_value(key), to_value(value));
    return dict;
  }
  if (nb::isinstance<nb::list>(object) || nb::isinstance<nb::tuple>(object)) return sequence(nb::borrow<nb::sequence>(object));
  throw Error(ErrorKind::invalid_argument,
              "expected an array, number, text, list or dict, got " + nb::cast<std::string>(nb::str(object.type())));
}

nb::object to_python(const Value& value) {
  if (value.is_list()) {
    nb::list list;
    for (const Value& item : value.list().items) list.append(to_python(item));
    return list;
  }
  if (value.is_dict()) {
    nb::dict dict;
    for (const auto& [key, item] : value.dict().items) {
      const nb::object name = to_python(key);
      // Keys and numbers of a dictionary are Python scalars.
      const auto scalar = [](const nb::object& o) { return nb::hasattr(o, "item") ? nb::object(o.attr("item")()) : o; };
      dict[scalar(name)] = scalar(to_python(item));
    }
    return dict;
  }
  if (value.empty()) return nb::none();
  Tensor tensor = value.tensor();
  if (tensor.dtype() == DType::string) {
    if (tensor.rank() == 0) return nb::cast(tensor.strings()[0]);
    nb::list list;
    for (const std::string& text : tensor.strings()) list.append(nb::cast(text));
    return list;
  }
  if (is_sub_byte(tensor.dtype())) tensor = tensor.cast(tensor.dtype() == DType::i4 ? DType::i8 : DType::u8);
  if (!dlpack_of(tensor.dtype()) || tensor.dtype() == DType::bf16) tensor = tensor.cast(DType::f32);
  std::vector<std::size_t> shape(tensor.shape().begin(), tensor.shape().end());
  auto* owner = new Tensor(tensor);
  const nb::capsule capsule(owner, [](void* held) noexcept { delete static_cast<Tensor*>(held); });
  return nb::ndarray<nb::numpy>(const_cast<std::byte*>(tensor.data()), shape.size(), shape.data(), capsule, nullptr,
                                *dlpack_of(tensor.dtype()))
      .cast();
}

}  // namespace tl::python
