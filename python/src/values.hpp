#pragma once

#include <nanobind/nanobind.h>

#include "tensorlogic/value.hpp"

namespace tl::python {

// NumPy arrays (C-contiguous), str, int, float, bool, list of str or numbers (a sequence), dict (a dictionary) -> Value.
// Arrays are borrowed for as long as the Value lives. Throws tl::Error for anything else.
Value to_value(nanobind::handle object);

// Tensors -> NumPy arrays that own or share the tensor's bytes, string scalars -> str, lists and dictionaries likewise.
nanobind::object to_python(const Value& value);

}  // namespace tl::python
