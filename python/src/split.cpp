#include "tensorlogic/split.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace nb::literals;

namespace tl::python {
namespace {

std::string split_json(const std::string& model, const std::string& folder, std::uint64_t max_bytes, int parts,
                       std::vector<std::string> at, const std::string& function, int threads) {
  SplitOptions options;
  options.max_bytes = max_bytes;
  options.parts = parts;
  options.at = std::move(at);
  options.function = function;
  options.threads = threads;
  return to_json(split(model, folder, options));
}

}  // namespace

void bind_split(nb::module_& m) {
  m.def("split", &split_json, "model"_a, "folder"_a, "max_bytes"_a, "parts"_a, "at"_a, "function"_a, "threads"_a,
        nb::call_guard<nb::gil_scoped_release>());
  m.def("extract", &extract, "model"_a, "inputs"_a, "outputs"_a, "path"_a, "function"_a,
        nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace tl::python
