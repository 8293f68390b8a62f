#pragma once

#include <nanobind/nanobind.h>

namespace tl::python {

// register_custom_layer, register_custom_model and their opposites, for tensorlogic._custom.
void add_custom(nanobind::module_& m);

}  // namespace tl::python
