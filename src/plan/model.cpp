#include "tensorlogic/model.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>

#include "base/checked.hpp"
#include "base/thread_pool.hpp"
#include "format/format.hpp"
#include "ir/verify.hpp"
#include "plan/features.hpp"
#include "plan/model_impl.hpp"
#include "plan/specialize.hpp"

namespace tl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr std::size_t max_folded_at_load = std::size_t{64} << 20;

plan::Precision precision_of(const LoadOptions& options) {
  if (options.precision.empty() || options.precision == "own") return plan::Precision::own;
  if (options.precision != "bf16")
    fail(ErrorKind::invalid_argument, "no precision '{}'; there are: own, bf16", options.precision);
  if (options.log && options.device == "reference")
    options.log("precision 'bf16': the reference computes in the model's own types");
  else if (options.log && !plan::cpu_has_bf16())
    options.log("precision 'bf16': this machine has no products in bf16, those of the model's own types stand in");
  return plan::Precision::bf16;
}

const plan::Device* choose_device(const LoadOptions& options, std::string_view& name) {
  const bool unit_is_missing = options.compute_units == ComputeUnits::cpu_and_gpu ||
                               options.compute_units == ComputeUnits::cpu_and_neural_engine ||
                               options.compute_units == ComputeUnits::all;
  if (unit_is_missing && options.log) {
    options.log(fmt::format("compute units '{}': this machine offers the CPU only, it runs everything",
                            to_string(options.compute_units)));
  }
  const plan::Precision precision = precision_of(options);
  if (options.device == "reference") {
    name = "reference";
    return nullptr;
  }
  if (!options.device.empty() && options.device != "cpu") {
    fail(ErrorKind::invalid_argument, "no device '{}'; there are: cpu, reference", options.device);
  }
  name = "cpu";
  return &plan::cpu_device(precision);
}

std::shared_ptr<ThreadPool> pool_of(int threads) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<ThreadPool>> pools;
  const int count = threads > 0 ? threads : default_threads();
  const std::lock_guard lock(mutex);
  auto pool = pools[count].lock();
  if (pool == nullptr) {
    pool = std::make_shared<ThreadPool>(count);
    pools[count] = pool;
  }
  return pool;
}

std::string known_names(const std::vector<Feature>& features) {
  std::string text;
  for (const Feature& feature : features) text += (text.empty() ? "'" : ", '") + feature.name + "'";
  return text.empty() ? "none" : text;
}

const Feature* find(const std::vector<Feature>& features, std::string_view name) {
  const auto found = std::find_if(features.begin(), features.end(), [&](const Feature& f) { return f.name == name; });
  return found == features.end() ? nullptr : &*found;
}

Value default_of(const Feature& feature) {
  // Numbers that are not given are missing values, which the models that take them know.
  const bool number = std::holds_alternative<DoubleFeature>(feature.kind) || std::holds_alternative<Int64Feature>(feature.kind);
  if (feature.optional && number) return Tensor::scalar(std::numeric_limits<double>::quiet_NaN());
  if (feature.optional && std::holds_alternative<DictFeature>(feature.kind)) return Dict{};
  const auto* array = std::get_if<ArrayFeature>(&feature.kind);
  if (array == nullptr || (!array->default_value && !feature.optional)) {
    throw Error(ErrorKind::invalid_argument, "is missing", fmt::format("input '{}'", feature.name));
  }
  Tensor values(DType::f64, array->shape);
  auto out = values.mutable_values<double>();
  std::fill(out.begin(), out.end(), array->default_value.value_or(0));
  return values.cast(array->dtype);
}

}  // namespace

std::string_view to_string(ComputeUnits units) noexcept {
  switch (units) {
    case ComputeUnits::all: return "all";
    case ComputeUnits::cpu_only: return "cpuOnly";
    case ComputeUnits::cpu_and_gpu: return "cpuAndGPU";
    case ComputeUnits::cpu_and_neural_engine: return "cpuAndNeuralEngine";
  }
  return "all";
}

std::optional<ComputeUnits> compute_units_from_name(std::string_view name) noexcept {
  for (const ComputeUnits units :
       {ComputeUnits::all, ComputeUnits::cpu_only, ComputeUnits::cpu_and_gpu, ComputeUnits::cpu_and_neural_engine}) {
    if (to_string(units) == name) return units;
  }
  return std::nullopt;
}

std::string_view version() noexcept { return TL_VERSION; }

Model Model::load(const std::string& path, const LoadOptions& options) {
  const auto start = Clock::now();
  auto impl = std::make_shared<Impl>();
  impl->options = options;
  const plan::Device* device = choose_device(options, impl->device);
  impl->model = format::read_model(path, {options.copy, true});
  within([&] { return path; },
         [&] {
           const ModelInfo& info = impl->model.info;
           if (impl->model.program != nullptr) {
             impl->interface = options.function.empty() ? (info.interfaces.empty() ? nullptr : &info.interfaces.front())
                                                        : info.interface(options.function);
             if (impl->interface == nullptr) {
               std::string names;
               for (const Interface& candidate : info.interfaces)
                 names += (names.empty() ? "'" : ", '") + candidate.function + "'";
               fail(ErrorKind::not_found, "no function '{}'; there are: {}", options.function, names.empty() ? "none" : names);
             }
             ir::Function* declared = impl->model.program->function(impl->interface->function);
             if (declared == nullptr) fail(ErrorKind::bad_model, "the program has no function '{}'", impl->interface->function);
             ir::verify(*declared);
             auto function = ir::clone(*declared);
             within([&] { return fmt::format("function '{}'", function->name); },
                    [&] { plan::fold_constants(*function, max_folded_at_load, device != nullptr); });
             impl->session = std::make_unique<plan::Session>(std::shared_ptr<const ir::Function>(std::move(function)), device,
                                                             pool_of(options.threads));
           } else if (!options.function.empty()) {
             fail(ErrorKind::not_found, "no function '{}': the file holds no program", options.function);
           }
         });
  impl->load_seconds = seconds_since(start);
  Model result;
  result.impl_ = std::move(impl);
  return result;
}

const ModelInfo& Model::info() const noexcept { return impl_->model.info; }
const LoadOptions& Model::options() const noexcept { return impl_->options; }
std::string_view Model::device() const noexcept { return impl_->device; }
const std::vector<StoredTensor>& Model::tensors() const noexcept { return impl_->model.tensors; }
LoadTimes Model::times() const noexcept { return {impl_->load_seconds, impl_->last_predict_seconds.load()}; }

const Interface& Model::interface() const {
  if (impl_->interface == nullptr) {
    throw Error(ErrorKind::unsupported,
                info().format == Format::core_ml
                    ? impl_->model.refusal
                    : fmt::format("a {} file holds tensors, not a program that predicts", to_string(info().format)),
                info().path);
  }
  return *impl_->interface;
}

NamedValues Model::predict(const NamedValues& inputs, State* state) const {
  interface();
  return run_model(*impl_, inputs, state, nullptr);
}

NamedValues run_model(const Model::Impl& model, const NamedValues& inputs, State* state, plan::Recorder* recorder) {
  const auto start = Clock::now();
  const Interface& interface = *model.interface;
  return within([&] { return model.model.info.name; },
                [&] {
                  for (const auto& [name, value] : inputs) {
                    if (find(interface.inputs, name) == nullptr) {
                      fail(ErrorKind::invalid_argument, "no input '{}'; there are: {}", name, known_names(interface.inputs));
                    }
                  }
                  const ir::Function& function = model.session->function();
                  std::vector<Value> values(function.inputs.size());
                  std::vector<ir::StateCell*> cells;
                  for (std::size_t i = 0; i < values.size(); ++i) {
                    const ir::Var& input = *function.inputs[i];
                    if (input.type.as<ir::StateType>() != nullptr) {
                      if (state != nullptr && state->impl_ != nullptr) cells.push_back(state->impl_->cell(input.name));
                      continue;
                    }
                    const Feature* feature = find(interface.inputs, input.name);
                    if (feature == nullptr)
                      fail(ErrorKind::bad_model, "the program's input '{}' is not in the interface", input.name);
                    const auto given = inputs.find(input.name);
                    if (given == inputs.end() && feature->optional && std::holds_alternative<SequenceFeature>(feature->kind)) {
                      values[i] = List{};  // which ops tell from a list that is given and empty
                      continue;
                    }
                    values[i] =
                        plan::to_input(*feature, given == inputs.end() ? default_of(*feature) : given->second, input.type);
                  }
                  std::unique_lock<std::mutex> lock;
                  if (state != nullptr && state->impl_ != nullptr) lock = std::unique_lock(state->impl_->mutex);
                  const std::vector<Value> results = model.session->run(values, cells, recorder, model.options.time_limit);
                  NamedValues outputs;
                  for (const Feature& feature : interface.outputs) {
                    for (std::size_t i = 0; i < results.size(); ++i) {
                      if (function.body.outputs[i]->name == feature.name)
                        outputs[feature.name] = plan::to_output(feature, results[i]);
                    }
                    if (outputs.count(feature.name) == 0)
                      fail(ErrorKind::bad_model, "the program has no output '{}'", feature.name);
                  }
                  model.last_predict_seconds = seconds_since(start);
                  return outputs;
                });
}

State Model::make_state() const {
  State state;
  state.impl_ = std::make_shared<State::Impl>();
  interface();
  for (const auto& input : impl_->session->function().inputs) {
    const auto* type = input->type.as<ir::StateType>();
    if (type == nullptr) continue;
    const auto shape = ir::shape_of(type->wrapped->tensor());
    if (!shape) throw Error(ErrorKind::bad_model, "a state needs a fixed shape", fmt::format("state '{}'", input->name));
    state.impl_->names.push_back(input->name);
    state.impl_->cells.push_back({Tensor::zeros(type->wrapped->tensor().dtype, *shape)});
  }
  return state;
}

Tensor Model::tensor(std::string_view name) const {
  const auto& all = tensors();
  const auto found = std::lower_bound(all.begin(), all.end(), name,
                                      [](const StoredTensor& tensor, std::string_view key) { return tensor.name < key; });
  if (found != all.end() && found->name == name) return found->read();
  std::string close;
  int listed = 0;
  for (const StoredTensor& candidate : all) {
    if (listed < 5 && candidate.name.find(name.substr(0, name.rfind('.'))) != std::string::npos) {
      close += (listed++ == 0 ? "; did you mean '" : ", '") + candidate.name + "'";
    }
  }
  throw Error(ErrorKind::not_found, fmt::format("no tensor '{}' among {}{}", name, all.size(), close), info().path);
}

std::vector<std::string> State::names() const { return impl_ == nullptr ? std::vector<std::string>() : impl_->names; }

ir::StateCell* State::Impl::cell(std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return &cells[i];
  }
  fail(ErrorKind::invalid_argument, "this state has no '{}'; was it made by another model?", name);
}

Tensor State::read(const std::string& name) const {
  if (impl_ == nullptr) fail(ErrorKind::invalid_argument, "an empty state");
  const std::lock_guard lock(impl_->mutex);
  return impl_->cell(name)->value.tensor().clone();
}

void State::write(const std::string& name, const Tensor& value) {
  if (impl_ == nullptr) fail(ErrorKind::invalid_argument, "an empty state");
  const std::lock_guard lock(impl_->mutex);
  Value& held = impl_->cell(name)->value;
  if (held.tensor().dtype() != value.dtype() || held.tensor().shape() != value.shape()) {
    fail(ErrorKind::invalid_argument, "state '{}' holds {} {}, {} {} is given", name, tl::name(held.tensor().dtype()),
         to_string(held.tensor().shape()), tl::name(value.dtype()), to_string(value.shape()));
  }
  held = value.clone();
}

}  // namespace tl
