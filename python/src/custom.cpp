#include "custom.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "tensorlogic/custom.hpp"
#include "tensorlogic/error.hpp"
#include "values.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace tl::python {
namespace {

// A Python object that C++ threads may drop.
using Held = std::shared_ptr<nb::object>;

Held hold(nb::object object) {
  return {new nb::object(std::move(object)), [](nb::object* held) {
            const nb::gil_scoped_acquire gil;
            delete held;
          }};
}

// Runs `body` under the GIL; an exception becomes Error{script} with its type and text.
template <class Body>
auto with_gil(Body&& body) {
  const nb::gil_scoped_acquire gil;
  try {
    return body();
  } catch (const nb::python_error& error) {
    const std::string type = nb::cast<std::string>(error.type().attr("__name__"));
    const std::string text = nb::cast<std::string>(nb::str(error.value()));
    throw Error(ErrorKind::script, text.empty() ? type : type + ": " + text);
  } catch (const nb::cast_error&) {
    throw Error(ErrorKind::script, "the result is of a type that is not taken");
  }
}

// Arrays are copied: those of the runtime end with the call, those of the user may change after it.
nb::object copy_out(const Value& value) {
  return value.is_tensor() && value.tensor().dtype() != DType::string ? to_python(value.tensor().clone()) : to_python(value);
}
Value copy_in(nb::handle object) {
  const Value value = to_value(object);
  return value.is_tensor() ? Value(value.tensor().clone()) : value;
}

nb::dict info_dict(const CustomInfo& info) {
  nb::dict parameters, result;
  for (const auto& [name, value] : info.parameters) parameters[name.c_str()] = copy_out(value);
  nb::list weights;
  for (const Tensor& weight : info.weights) weights.append(copy_out(weight));
  result["class_name"] = info.class_name;
  result["op"] = info.op;
  result["parameters"] = parameters;
  result["weights"] = weights;
  return result;
}

class Layer : public CustomLayer {
 public:
  explicit Layer(Held object) : object_(std::move(object)) {}

  std::vector<Shape> output_shapes(const std::vector<Shape>& inputs) const override {
    return with_gil([&] { return nb::cast<std::vector<Shape>>(object_->attr("output_shapes")(inputs)); });
  }
  std::vector<Tensor> evaluate(const std::vector<Tensor>& inputs) const override {
    return with_gil([&] {
      nb::list arrays;
      for (const Tensor& input : inputs) arrays.append(copy_out(input));
      std::vector<Tensor> results;
      for (const nb::handle result : nb::list(object_->attr("evaluate")(arrays))) results.push_back(copy_in(result).tensor());
      return results;
    });
  }

 private:
  Held object_;
};

class PythonModel : public CustomModel {
 public:
  explicit PythonModel(Held object) : object_(std::move(object)) {}

  NamedValues predict(const NamedValues& inputs) const override {
    return with_gil([&] {
      nb::dict features;
      for (const auto& [name, value] : inputs) features[name.c_str()] = copy_out(value);
      NamedValues results;
      for (const auto [name, value] : nb::cast<nb::dict>(object_->attr("predict")(features)))
        results[nb::cast<std::string>(name)] = copy_in(value);
      return results;
    });
  }

 private:
  Held object_;
};

// factory({"class_name", "op", "parameters", "weights"}) gives the Python object behind an Object.
template <class Object, class Base>
std::function<std::shared_ptr<const Base>(const CustomInfo&)> factory_of(nb::object factory) {
  return [held = hold(std::move(factory))](const CustomInfo& info) -> std::shared_ptr<const Base> {
    return with_gil([&] { return std::make_shared<const Object>(hold((*held)(info_dict(info)))); });
  };
}

}  // namespace

void add_custom(nb::module_& m) {
  m.def(
      "register_custom_layer",
      [](const std::string& name, nb::object factory) {
        register_custom_layer(name, CustomLayerFactory(factory_of<Layer, CustomLayer>(std::move(factory))));
      },
      "class_name"_a, "factory"_a);
  m.def(
      "register_custom_model",
      [](const std::string& name, nb::object factory) {
        register_custom_model(name, CustomModelFactory(factory_of<PythonModel, CustomModel>(std::move(factory))));
      },
      "class_name"_a, "factory"_a);
  m.def("unregister_custom_layer", &unregister_custom_layer, "class_name"_a);
  m.def("unregister_custom_model", &unregister_custom_model, "class_name"_a);
}

}  // namespace tl::python
