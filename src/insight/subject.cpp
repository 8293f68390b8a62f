#include "insight/subject.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/error.hpp"
#include "format/format.hpp"
#include "insight/made_inputs.hpp"
#include "ir/op_def.hpp"
#include "ir/verify.hpp"
#include "plan/features.hpp"

namespace tl::insight {

using namespace ir;

namespace {

void decode_weights(Block& block) {
  for (const auto& op : block.ops) {
    for (const auto& inner : op->blocks) decode_weights(*inner);
    if (!op->def->constexpr_op || op->outputs.front()->constant != nullptr) continue;
    std::vector<std::vector<Value>> values;
    bool constant = true;
    for (const Argument& argument : op->inputs) {
      auto& bound = values.emplace_back();
      for (const Binding& binding : argument.bindings) {
        const ConstantPtr value = constant_of(binding);
        constant = constant && value != nullptr;
        bound.push_back(value == nullptr ? Value() : value->value);
      }
    }
    if (!constant) continue;
    const std::vector<Value> results = evaluate(*op, std::move(values));
    for (std::size_t i = 0; i < results.size(); ++i) op->outputs[i]->constant = make_constant(results[i].tensor());
  }
}

// Each run draws the same numbers, so that runs can be compared.
void seed_random_ops(Subject& subject, Block& block) {
  for (const auto& op : block.ops) {
    for (const auto& inner : op->blocks) seed_random_ops(subject, *inner);
    if (op->def->param("seed") == nullptr || op->type.rfind("random_", 0) != 0) continue;
    const std::vector<Argument> before = op->inputs;
    Argument* found = nullptr;
    for (Argument& argument : op->inputs) {
      if (argument.name == "seed") found = &argument;
    }
    if (found == nullptr) found = &op->inputs.emplace_back(Argument{"seed", {make_constant(Tensor::scalar(std::int32_t{-1}))}});
    const ConstantPtr seed = constant_of(found->bindings.front());
    if (seed == nullptr || seed->value.tensor().integer_at(0) >= 0) continue;
    subject.seeded.emplace_back(op.get(), before);
    found->bindings = {make_constant(Tensor::scalar(static_cast<std::int32_t>(subject.seeded.size())))};
  }
}

}  // namespace

Subject load_subject(const std::string& path, const std::string& function) {
  Subject subject;
  subject.path = path;
  subject.model = format::read_model(path);
  return within([&] { return path; },
                [&] {
                  const ModelInfo& info = subject.model.info;
                  if (subject.model.program == nullptr)
                    fail(ErrorKind::unsupported, "holds tensors, not a program that could be run");
                  subject.interface = function.empty() ? (info.interfaces.empty() ? nullptr : &info.interfaces.front())
                                                       : info.interface(function);
                  if (subject.interface == nullptr) fail(ErrorKind::not_found, "no function '{}'", function);
                  subject.function = subject.model.program->function(subject.interface->function);
                  if (subject.function == nullptr)
                    fail(ErrorKind::bad_model, "the program has no function '{}'", subject.interface->function);
                  verify(*subject.function);
                  within([&] { return fmt::format("function '{}'", subject.function->name); },
                         [&] { decode_weights(subject.function->body); });
                  seed_random_ops(subject, subject.function->body);
                  return std::move(subject);
                });
}

void Subject::restore() {
  for (auto& [op, arguments] : seeded) op->inputs = arguments;
  seeded.clear();
}

std::vector<Value> Subject::inputs(const NamedValues& given) const {
  const auto feature_of = [&](const std::string& name) -> const Feature* {
    const auto found =
        std::find_if(interface->inputs.begin(), interface->inputs.end(), [&](const Feature& f) { return f.name == name; });
    return found == interface->inputs.end() ? nullptr : &*found;
  };
  for (const auto& [name, value] : given) {
    if (feature_of(name) == nullptr) throw Error(ErrorKind::invalid_argument, fmt::format("no input '{}'", name), path);
  }
  std::vector<Value> values(function->inputs.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Var& input = *function->inputs[i];
    if (input.type.as<StateType>() != nullptr) continue;
    const Feature* feature = feature_of(input.name);
    if (feature == nullptr)
      throw Error(ErrorKind::bad_model, fmt::format("the program's input '{}' is not in the interface", input.name), path);
    const auto found = given.find(input.name);
    if (found != given.end()) {
      values[i] = plan::to_input(*feature, found->second, input.type);
      continue;
    }
    const auto* array = std::get_if<ArrayFeature>(&feature->kind);
    if (array == nullptr || !array->default_value)
      throw Error(ErrorKind::invalid_argument, "is missing", fmt::format("input '{}'", input.name));
    Tensor defaults(DType::f64, array->shape);
    auto numbers = defaults.mutable_values<double>();
    std::fill(numbers.begin(), numbers.end(), *array->default_value);
    values[i] = plan::to_input(*feature, defaults, input.type);
  }
  return values;
}

std::vector<NamedValues> runs_of(const CompareOptions& options, const Interface& interface, bool& made_up) {
  std::vector<NamedValues> runs = options.inputs;
  if (runs.empty()) runs.resize(static_cast<std::size_t>(std::max(1, options.samples)));
  std::uint64_t seed = options.seed;
  for (NamedValues& run : runs) {
    const std::size_t given = run.size();
    fill_inputs(run, interface, seed++);
    made_up = made_up || run.size() != given;
  }
  return runs;
}

std::optional<Tensor> numbers_of(const Value& value) {
  if (value.is_tensor()) return value.tensor();
  if (!value.is_dict()) return std::nullopt;
  const auto& items = value.dict().items;
  Tensor result(DType::f64, {iz(items.size())});
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].second.is_tensor() || items[i].second.tensor().size() != 1) return std::nullopt;
    result.mutable_values<double>()[i] = items[i].second.tensor().number_at(0);
  }
  return result;
}

}  // namespace tl::insight
