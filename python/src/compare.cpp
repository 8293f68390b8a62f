#include "tensorlogic/compare.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "values.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace tl::python {
namespace {

// The report as JSON, as text, and as a page.
nb::tuple compare_json(const std::string& model, const std::optional<std::string>& other, const nb::list& runs,
                       const nb::dict& settings) {
  CompareOptions options;
  for (const nb::handle run : runs) {
    NamedValues& values = options.inputs.emplace_back();
    for (const auto [name, value] : nb::cast<nb::dict>(run)) values[nb::cast<std::string>(name)] = to_value(value);
  }
  const auto set = [&](const char* name, auto& field) {
    if (settings.contains(name) && !settings[name].is_none()) field = nb::cast<std::decay_t<decltype(field)>>(settings[name]);
  };
  const auto set_number = [&](const char* name, std::optional<double>& field) {
    if (settings.contains(name) && !settings[name].is_none()) field = nb::cast<double>(settings[name]);
  };
  set("function", options.function);
  set("precision", options.precision);
  set("device", options.device);
  set("fix", options.fix);
  set("samples", options.samples);
  set("seed", options.seed);
  set("search", options.search);
  set("search_seconds", options.search_seconds);
  set("threads", options.threads);
  set_number("target_psnr", options.target_psnr);
  set_number("target_cosine", options.target_cosine);
  CompareReport report;
  {
    const nb::gil_scoped_release released;
    report = other ? compare(model, *other, options) : compare(model, options);
  }
  return nb::make_tuple(to_json(report), to_text(report), to_html(report));
}

}  // namespace

void bind_compare(nb::module_& m) { m.def("compare", &compare_json, "model"_a, "other"_a.none(), "runs"_a, "settings"_a); }

}  // namespace tl::python
