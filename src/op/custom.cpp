#include "base/custom.hpp"

#include <algorithm>
#include <exception>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

void collect(const Value& value, std::vector<std::string>& texts) {
  if (value.is_list()) {
    for (const Value& item : value.list().items) collect(item, texts);
  } else if (value.is_tensor() && value.tensor().dtype() == DType::string) {
    texts.insert(texts.end(), value.tensor().strings().begin(), value.tensor().strings().end());
  } else {
    fail(ErrorKind::bad_model, "text is expected");
  }
}

std::vector<std::string> texts(const Op& op, std::string_view attribute) {
  const ConstantPtr constant = op.attribute(attribute);
  std::vector<std::string> result;
  if (constant != nullptr) within([&] { return std::string(attribute); }, [&] { collect(constant->value, result); });
  return result;
}

// The attributes of an op that a class of the user's computes.
struct Custom {
  explicit Custom(const Op& op)
      : use(op.attribute("class_name")),
        inputs(texts(op, "input_order")),
        parameters(texts(op, "parameters")),
        weights(texts(op, "weights")) {
    const std::vector<std::string> name = texts(op, "class_name");
    if (name.size() != 1 || name[0].empty()) throw Error(ErrorKind::bad_model, "a class name is expected", "class_name");
    class_name = name[0];
    if (!inputs.empty()) return;
    const auto listed = [](const std::vector<std::string>& list, const std::string& entry) {
      return std::find(list.begin(), list.end(), entry) != list.end();
    };
    for (const Argument& argument : op.inputs) {
      if (!listed(parameters, argument.name) && !listed(weights, argument.name)) inputs.push_back(argument.name);
    }
  }

  ConstantPtr use;
  std::string class_name;
  std::vector<std::string> inputs, parameters, weights;  // names of arguments; optional ones may be absent
};

CustomInfo info_of(const OpView& c, const Custom& custom) {
  CustomInfo info{custom.class_name, c.op().label(), {}, {}};
  for (const std::string& name : custom.parameters) {
    for (std::size_t i = 0; i < c.count(name); ++i) {
      const Tensor value = c.known(name, i);
      if (!value.defined()) c.reject(name, "a parameter of a custom layer must be a constant");
      info.parameters[name] = value;
    }
  }
  for (const std::string& name : custom.weights) {
    for (std::size_t i = 0; i < c.count(name); ++i) {
      info.weights.push_back(c.known(name, i));
      if (!info.weights.back().defined()) c.reject(name, "a weight of a custom layer must be a constant");
    }
  }
  return info;
}

// Runs code of the user's.
template <class Body>
auto guarded(Body&& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::limit, "not enough memory");
  } catch (const std::exception& error) {
    fail(ErrorKind::script, "{}", error.what());
  }
}

[[noreturn]] void missing(const char* kind, const std::string& class_name) {
  fail(ErrorKind::unsupported,
       "no implementation of the custom {0} class '{1}' is registered; give one with "
       "tensorlogic.register_custom_{0}(\"{1}\", ...) in Python or tl::register_custom_{0} in C++",
       kind, class_name);
}

// The extents that the class tells, where those of the inputs are known.
std::vector<Shape> told_shapes(const Infer& c, const Custom& custom) {
  std::vector<Shape> shapes;
  for (const std::string& name : custom.inputs) {
    for (std::size_t i = 0; i < c.count(name); ++i) {
      const Type type = c.type(name, i);
      const auto shape = type.is_tensor() ? shape_of(type.tensor()) : std::nullopt;
      if (!shape) return {};
      shapes.push_back(*shape);
    }
  }
  const auto layer = find_custom_layer(custom.use, custom.class_name, [&] { return info_of(c, custom); });
  if (layer == nullptr) return {};
  std::vector<Shape> result = guarded([&] { return layer->output_shapes(shapes); });
  if (!result.empty() && result.size() != c.op().outputs.size())
    fail(ErrorKind::script, "class '{}' tells {} output shapes, the model names {} outputs", custom.class_name, result.size(),
         c.op().outputs.size());
  for (const Shape& shape : result) element_count(shape);
  return result;
}

// A result as the model declares it; kernels that follow rely on its size.
Value checked(const Value& value, const Type& type, std::string_view output, const std::string& class_name) {
  return within([&] { return fmt::format("output '{}'", output); },
                [&]() -> Value {
                  if (!type.is_tensor()) return value;
                  const TensorType& declared = type.tensor();
                  if (!value.is_tensor() || !value.tensor().defined())
                    fail(ErrorKind::script, "class '{}' gives no array", class_name);
                  const Tensor& given = value.tensor();
                  if ((given.dtype() == DType::string) != (declared.dtype == DType::string))
                    fail(ErrorKind::script, "class '{}' gives {}, the model declares {}", class_name, name(given.dtype()),
                         name(declared.dtype));
                  const Type actual(declared.dtype, dims_of(given.shape()));
                  if (!compatible(type, actual))
                    fail(ErrorKind::script, "class '{}' gives shape {}, the model declares {}", class_name,
                         to_string(given.shape()), to_string(*declared.dims));
                  return given.dtype() == declared.dtype ? given : given.cast(declared.dtype);
                });
}

}  // namespace

// A layer that a registered class computes. Attributes: class_name, and the names of the arguments that are inputs
// (input_order), parameters and weights. The file declares the outputs.
TL_OP(custom_layer) {
  op.pure = false;
  op.unknown_arguments = true;
  op.infer = [](Infer& c) {
    const Custom custom(c.op());
    const bool open = std::any_of(c.op().outputs.begin(), c.op().outputs.end(), [](const auto& output) {
      return !output->type.is_tensor() || !shape_of(output->type.tensor());
    });
    const std::vector<Shape> told = open ? told_shapes(c, custom) : std::vector<Shape>();
    for (std::size_t i = 0; i < c.op().outputs.size(); ++i) {
      const Type& declared = c.op().outputs[i]->type;
      if (told.empty() || !declared.is_tensor()) {
        c.out(declared);
      } else {
        c.out(declared.tensor().dtype, dims_of(told[i]));
      }
    }
  };
  op.eval = [](Eval& c) {
    const Custom custom(c.op());
    const auto layer = find_custom_layer(custom.use, custom.class_name, [&] { return info_of(c, custom); });
    if (layer == nullptr) missing("layer", custom.class_name);
    std::vector<Tensor> inputs;
    for (const std::string& name : custom.inputs) {
      for (std::size_t i = 0; i < c.count(name); ++i) inputs.push_back(c.in(name, i));
    }
    const std::vector<Tensor> results = guarded([&] { return layer->evaluate(inputs); });
    const auto& outputs = c.op().outputs;
    if (results.size() != outputs.size())
      fail(ErrorKind::script, "class '{}' gives {} outputs, the model names {}", custom.class_name, results.size(),
           outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i)
      c.set(i, checked(results[i], c.out_type(i), outputs[i]->name, custom.class_name));
  };
}

// A model that a registered class computes: arguments and outputs are features, whose names stand in the attributes
// input_features (parallel to input_order) and output_features.
TL_OP(tl_custom_model) {
  op.pure = false;
  op.unknown_arguments = true;
  op.infer = [](Infer& c) {
    const Custom custom(c.op());
    if (texts(c.op(), "input_features").size() != custom.inputs.size())
      c.reject("input_features", "a name per input is expected");
    if (texts(c.op(), "output_features").size() != c.op().outputs.size())
      c.reject("output_features", "a name per output is expected");
    for (const auto& output : c.op().outputs) c.out(output->type);
  };
  op.eval = [](Eval& c) {
    const Custom custom(c.op());
    const auto model = find_custom_model(custom.use, custom.class_name, [&] { return info_of(c, custom); });
    if (model == nullptr) missing("model", custom.class_name);
    const std::vector<std::string> names = texts(c.op(), "input_features"), wanted = texts(c.op(), "output_features");
    NamedValues inputs;
    for (std::size_t i = 0; i < names.size(); ++i) inputs[names[i]] = c.value(custom.inputs[i]);
    const NamedValues results = guarded([&] { return model->predict(inputs); });
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto found = results.find(wanted[i]);
      if (found == results.end()) fail(ErrorKind::script, "class '{}' gives no '{}'", custom.class_name, wanted[i]);
      c.set(i, checked(found->second, c.out_type(i), wanted[i], custom.class_name));
    }
  };
}

}  // namespace tl::op
