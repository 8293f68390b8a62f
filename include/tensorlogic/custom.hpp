#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensorlogic/model.hpp"

namespace tl {

// What a model file says about one use of a custom layer or custom model.
struct CustomInfo {
  std::string class_name;
  std::string op;               // its name in the model
  NamedValues parameters;       // numbers, flags and text as scalars; bytes as uint8
  std::vector<Tensor> weights;  // as stored: float32, float16, int8, or uint8 for raw bytes
};

// One use of a layer in a loaded model; `evaluate` may run on several threads at once.
class CustomLayer {
 public:
  virtual ~CustomLayer() = default;
  // The shapes of the outputs for those of the inputs; none: the model's own, or those of what `evaluate` gives.
  virtual std::vector<Shape> output_shapes(const std::vector<Shape>& /*inputs*/) const { return {}; }
  // Inputs in the order of the file; as many outputs as the model names. Elements are converted to the type that it declares.
  virtual std::vector<Tensor> evaluate(const std::vector<Tensor>& inputs) const = 0;
};

// A whole model that is written by hand: inputs by name -> outputs by name.
class CustomModel {
 public:
  virtual ~CustomModel() = default;
  virtual NamedValues predict(const NamedValues& inputs) const = 0;
};

using CustomLayerFactory = std::function<std::shared_ptr<const CustomLayer>(const CustomInfo&)>;
using CustomLayerFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>&, const CustomInfo&)>;
using CustomModelFactory = std::function<std::shared_ptr<const CustomModel>(const CustomInfo&)>;
using CustomModelFunction = std::function<NamedValues(const NamedValues&, const CustomInfo&)>;

// Says what a class name stands for, for every model, from the next prediction on; a later call for the same name replaces it.
// Whatever the code throws comes out of `predict` as Error{script} with the op in its path. Thread-safe.
void register_custom_layer(const std::string& class_name, CustomLayerFactory factory);
void register_custom_layer(const std::string& class_name, CustomLayerFunction function);
void register_custom_model(const std::string& class_name, CustomModelFactory factory);
void register_custom_model(const std::string& class_name, CustomModelFunction function);
// True when there was one.
bool unregister_custom_layer(const std::string& class_name);
bool unregister_custom_model(const std::string& class_name);

}  // namespace tl
