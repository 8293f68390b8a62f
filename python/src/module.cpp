#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "custom.hpp"
#include "tensorlogic/tensorlogic.hpp"
#include "values.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace tl::python {

void bind_compare(nb::module_& m);
void bind_split(nb::module_& m);

namespace {

nb::dict feature_dict(const Feature& feature) {
  nb::dict d;
  d["name"] = feature.name;
  d["doc"] = feature.doc;
  d["optional"] = feature.optional;
  d["type"] = std::string(type_name(feature));
  d["description"] = describe(feature);
  const ArrayFeature* array = std::get_if<ArrayFeature>(&feature.kind);
  if (const auto* state = std::get_if<StateFeature>(&feature.kind)) array = &state->array;
  if (array != nullptr) {
    d["dtype"] = std::string(name(array->dtype));
    d["shape"] = array->shape;
    d["enumerated"] = array->enumerated;
    nb::list ranges;
    for (const Range& range : array->ranges) ranges.append(nb::make_tuple(range.lower, range.upper));
    d["ranges"] = ranges;
  }
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
    d["width"] = image->width;
    d["height"] = image->height;
    d["gray"] = image->color == ColorSpace::grayscale || image->color == ColorSpace::grayscale_f16;
    d["half"] = image->color == ColorSpace::grayscale_f16;
  }
  return d;
}

nb::list feature_list(const std::vector<Feature>& features) {
  nb::list list;
  for (const Feature& feature : features) list.append(feature_dict(feature));
  return list;
}

nb::dict info_dict(const Model& model) {
  const ModelInfo& info = model.info();
  nb::dict d;
  d["format"] = std::string(to_string(info.format));
  d["path"] = info.path;
  d["name"] = info.name;
  d["container"] = info.container;
  d["model_type"] = info.model_type;
  d["specification_version"] = info.specification_version;
  d["author"] = info.author;
  d["license"] = info.license;
  d["version"] = info.version;
  d["short_description"] = info.short_description;
  d["user"] = info.user_metadata;
  d["quantization"] = info.quantization;
  nb::list functions;
  for (const Interface& interface : info.interfaces) functions.append(interface.function);
  d["functions"] = functions;
  nb::list labels;
  for (const std::string& label : info.string_labels) labels.append(label);
  for (const std::int64_t label : info.integer_labels) labels.append(label);
  d["labels"] = labels;
  if (!info.interfaces.empty()) {
    // A model that is refused still describes itself.
    const Interface& interface = model.options().function.empty() ? info.interfaces.front() : model.interface();
    d["function"] = interface.function;
    d["inputs"] = feature_list(interface.inputs);
    d["outputs"] = feature_list(interface.outputs);
    d["states"] = feature_list(interface.states);
    d["predicted_feature"] = interface.predicted_feature;
    d["predicted_probabilities"] = interface.predicted_probabilities;
  }
  return d;
}

NamedValues values_of(const nb::dict& given) {
  NamedValues inputs;
  for (const auto [name, value] : given) {
    const std::string key = nb::cast<std::string>(name);
    try {
      inputs[key] = to_value(value);
    } catch (const Error& error) {
      throw error.within("input '" + key + "'");
    }
  }
  return inputs;
}

nb::dict predict(const Model& model, const nb::dict& given, State* state) {
  NamedValues inputs = values_of(given);
  NamedValues outputs;
  {
    const nb::gil_scoped_release released;
    outputs = model.predict(inputs, state);
  }
  inputs.clear();
  nb::dict result;
  for (const auto& [name, value] : outputs) result[name.c_str()] = to_python(value);
  return result;
}

Profile profile_of(const Model& model, const nb::dict& given, int iterations, State* state) {
  NamedValues inputs = values_of(given);
  ProfileOptions options;
  options.iterations = iterations;
  Profile result;
  {
    const nb::gil_scoped_release released;
    result = profile(model, inputs, options, state);
  }
  return result;
}

ComputeUnits units_named(const std::string& name) {
  const auto units = compute_units_from_name(name);
  if (!units)
    throw Error(ErrorKind::invalid_argument,
                "no compute units '" + name + "'; there are: all, cpuOnly, cpuAndGPU, cpuAndNeuralEngine");
  return *units;
}

Model load(const std::string& path, const std::string& units, const std::string& function, const std::string& precision,
           const std::string& device, int threads, double time_limit, const nb::object& log) {
  LoadOptions options;
  options.compute_units = units_named(units);
  options.function = function;
  options.precision = precision;
  options.device = device;
  options.threads = threads;
  options.time_limit = time_limit;
  if (!log.is_none()) {
    options.log = [&log](std::string_view line) {
      const nb::gil_scoped_acquire gil;
      log(line);
    };
  }
  const nb::gil_scoped_release released;
  Model model = Model::load(path, options);
  return model;
}

CheckReport check_model(const std::string& path, const std::string& chip, const std::string& os, const std::string& units,
                        const std::string& function, bool infrequent_reshape) {
  CheckOptions options;
  options.chip = chip;
  options.os = os;
  options.compute_units = units_named(units);
  options.function = function;
  options.infrequent_reshape = infrequent_reshape;
  return check(path, options);
}

// tensorlogic.Error(message, kind, where)
void translate(const std::exception_ptr& pointer, void* /*payload*/) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    const nb::object type = nb::module_::import_("tensorlogic._error").attr("Error");
    const nb::object instance = type(error.what(), std::string(to_string(error.kind())), error.where());
    PyErr_SetObject(type.ptr(), instance.ptr());
  }
}

}  // namespace
}  // namespace tl::python

NB_MODULE(_core, m) {
  using namespace tl;
  using namespace tl::python;
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate);

  m.def("version", &version);
  m.def("structure_json", &structure_json, "path"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def("compile_model", &compile_model, "source"_a, "target"_a, nb::call_guard<nb::gil_scoped_release>());
  add_custom(m);

  m.def("profile", &profile_of, "model"_a, "inputs"_a, "iterations"_a, "state"_a.none());
  nb::class_<Profile>(m, "Profile")
      .def("json", &profile_json)
      .def("text", &profile_text, "sorted"_a, "top"_a)
      .def("html", &profile_html)
      .def("trace", &profile_trace);
  bind_compare(m);
  bind_split(m);

  nb::class_<CheckReport>(m, "CheckReport")
      .def("json", [](const CheckReport& report) { return to_json(report); })
      .def(
          "text", [](const CheckReport& report, std::size_t rows) { return to_text(report, rows); }, "rows"_a)
      .def("html", [](const CheckReport& report) { return to_html(report); })
      .def(
          "unmet", [](const CheckReport& report, const std::string& text) { return unmet(report, text); }, "requirements"_a);
  m.def("check", &check_model, "path"_a, "chip"_a, "os"_a, "compute_units"_a, "function"_a, "infrequent_reshape"_a,
        nb::call_guard<nb::gil_scoped_release>());

  nb::class_<State>(m, "State")
      .def("names", &State::names)
      .def(
          "read", [](const State& s, const std::string& name) { return to_python(s.read(name)); }, "name"_a)
      .def(
          "write", [](State& s, const std::string& name, nb::handle value) { s.write(name, to_value(value).tensor()); },
          "name"_a, "value"_a);

  nb::class_<Model>(m, "Model")
      .def_static("load", &load, "path"_a, "compute_units"_a, "function"_a, "precision"_a, "device"_a, "threads"_a,
                  "time_limit"_a, "log"_a.none())
      .def("predict", &predict, "inputs"_a, "state"_a.none())
      .def("make_state", &Model::make_state)
      .def("info", &info_dict)
      .def("device", [](const Model& model) { return std::string(model.device()); })
      .def("times",
           [](const Model& model) { return std::make_pair(model.times().load_seconds, model.times().last_predict_seconds); })
      .def("tensor_names",
           [](const Model& model) {
             std::vector<std::string> names;
             for (const StoredTensor& tensor : model.tensors()) names.push_back(tensor.name);
             return names;
           })
      .def("tensor_info",
           [](const Model& model) {
             nb::list rows;
             for (const StoredTensor& t : model.tensors())
               rows.append(nb::make_tuple(t.name, nb::cast(t.shape), t.storage, t.bytes));
             return rows;
           })
      .def(
          "tensor", [](const Model& model, const std::string& name) { return to_python(model.tensor(name)); }, "name"_a);
}
