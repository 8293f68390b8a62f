#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensorlogic/feature.hpp"
#include "tensorlogic/value.hpp"

namespace tl {

// Named as on Apple: "all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine".
enum class ComputeUnits { all, cpu_only, cpu_and_gpu, cpu_and_neural_engine };
std::string_view to_string(ComputeUnits units) noexcept;
std::optional<ComputeUnits> compute_units_from_name(std::string_view name) noexcept;

struct LoadOptions {
  ComputeUnits compute_units = ComputeUnits::all;
  std::string function;  // empty: the default function
  // "", "own": the model's own types (fp16 values, fp32 sums). "bf16": convolutions, linear ops, products and attention
  // multiply in bf16 (8 bits of mantissa) with fp32 sums where the machine can; values between ops keep their types.
  std::string precision;
  std::string device;                         // empty: the best one for `compute_units`; "reference", "cpu"
  int threads = 0;                            // 0: the knob `threads`, else all cores
  double time_limit = 0;                      // seconds of a prediction, checked before each op; 0: the knob `time_limit`
  bool copy = false;                          // read weights into memory instead of mapping the file
  std::function<void(std::string_view)> log;  // told, a line each, which unit stands in for one that this machine lacks
};

using NamedValues = std::map<std::string, Value>;

// The values of a model's state variables. Copies share the storage; one prediction at a time may use it.
class State {
 public:
  State() = default;
  bool defined() const noexcept { return impl_ != nullptr; }
  std::vector<std::string> names() const;
  Tensor read(const std::string& name) const;
  void write(const std::string& name, const Tensor& value);  // shape and dtype must agree

  struct Impl;
  std::shared_ptr<Impl> impl_;
};

struct LoadTimes {
  double load_seconds = 0;  // reading, verifying, first plan
  double last_predict_seconds = 0;
};

// A loaded model. Copies share everything; predictions may run from many threads at once.
class Model {
 public:
  static Model load(const std::string& path, const LoadOptions& options = {});

  const ModelInfo& info() const noexcept;
  const Interface& interface() const;  // of the chosen function; throws Error{unsupported} for plain tensor files
  const LoadOptions& options() const noexcept;
  // What the compute units came to on this machine: "cpu", "reference".
  std::string_view device() const noexcept;

  // Inputs by name. Arrays are cast to the declared dtype and must have a declared shape; image inputs take u8 pixels
  // [height, width, channels] or [height, width] in RGB order. Outputs by name: arrays as tensors, images as u8 pixels, labels
  // as string or int64 scalars, a classifier's probabilities as a Dict by label. Throws Error that names the feature.
  NamedValues predict(const NamedValues& inputs, State* state = nullptr) const;
  State make_state() const;
  LoadTimes times() const noexcept;

  const std::vector<StoredTensor>& tensors() const noexcept;
  // Throws Error{not_found} that names close matches.
  Tensor tensor(std::string_view name) const;

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

std::string_view version() noexcept;

// The functions, blocks and ops of a program as JSON: {"type": "mlprogram", "functions": {name: {"inputs": [{"name", "type"}],
// "block": {"inputs", "operations": [{"operator", "inputs": {param: [{"name"} or {"value"}]}, "outputs", "blocks"}],
// "outputs"}}}}.
std::string structure_json(const std::string& path);

// Writes any program model as a `.mlmodelc` folder (replaced when it exists).
void compile_model(const std::string& source, const std::string& target);

}  // namespace tl
