#include "insight/evaluator.hpp"

#include <algorithm>

#include "base/thread_pool.hpp"
#include "pass/pass.hpp"
#include "plan/specialize.hpp"

namespace tl::insight {

using namespace ir;

namespace {

constexpr std::int64_t small = 4096;                          // elements that the reference does at once
constexpr std::size_t max_held_bytes = std::size_t{1} << 30;  // of packed weights

Type type_of_value(const Value& value, const Type& declared) {
  if (!value.is_tensor()) return declared;
  return {value.tensor().dtype(), dims_of(value.tensor().shape())};
}

}  // namespace

struct Evaluator::Compiled {
  std::unique_ptr<plan::Executable> executable;
  std::vector<std::pair<std::size_t, std::size_t>> inputs;  // argument and binding
};

Evaluator::Evaluator(std::shared_ptr<ThreadPool> pool, bool kernels) : pool_(std::move(pool)), kernels_(kernels) {}
Evaluator::~Evaluator() = default;

bool Evaluator::worthwhile(const Op& op, const Arguments& arguments) const {
  if (!kernels_ || !op.def->pure || op.def->view || op.def->constexpr_op || !op.blocks.empty()) return false;
  std::int64_t elements = 0;
  for (const auto& bound : arguments) {
    for (const Value& value : bound) {
      if (!value.is_tensor()) return false;
      if (value.tensor().dtype() != DType::string) elements = std::max(elements, value.tensor().size());
    }
  }
  for (const auto& output : op.outputs) {
    const auto* type = output->type.as<TensorType>();
    if (type == nullptr || type->dtype == DType::string) return false;
    if (const auto shape = shape_of(*type)) elements = std::max(elements, element_count(*shape));
  }
  return elements >= small;
}

std::unique_ptr<Evaluator::Compiled> Evaluator::compile(const Op& op, const Arguments& arguments) const {
  auto compiled = std::make_unique<Compiled>();
  auto function = std::make_unique<Function>();
  auto copy = std::make_unique<Op>();
  copy->type = op.type;
  copy->def = op.def;
  copy->attributes = op.attributes;
  std::vector<Type> types;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    Argument& argument = copy->inputs.emplace_back();
    argument.name = op.inputs[i].name;
    for (std::size_t k = 0; k < arguments[i].size(); ++k) {
      const Value& value = arguments[i][k];
      if (constant_of(op.inputs[i].bindings[k]) != nullptr) {
        argument.bindings.emplace_back(make_constant(value.tensor()));
        continue;
      }
      auto var = std::make_unique<Var>();
      var->name = fmt::format("in_{}", types.size());
      var->type = type_of_value(value, type_of(op.inputs[i].bindings[k]));
      types.push_back(var->type);
      argument.bindings.emplace_back(var.get());
      compiled->inputs.emplace_back(i, k);
      function->inputs.push_back(std::move(var));
    }
  }
  const std::vector<Type> results = infer_types(*copy);
  for (std::size_t i = 0; i < results.size(); ++i) {
    auto var = std::make_unique<Var>();
    var->name = fmt::format("out_{}", i);
    var->type = results[i];
    var->producer = copy.get();
    function->body.outputs.push_back(var.get());
    copy->outputs.push_back(std::move(var));
  }
  function->body.ops.push_back(std::move(copy));
  auto special = plan::specialize(*function, types);
  pass::optimize(*special);
  compiled->executable = std::make_unique<plan::Executable>(std::move(special), &plan::cpu_device(), *pool_);
  return compiled;
}

std::vector<Value> Evaluator::run(const Op& op, const Precision& precision, Arguments arguments, const plan::StateCells& states,
                                  BlockRunner run_block, bool once) {
  const bool large = run_block == nullptr && worthwhile(op, arguments);
  // Weights are converted only when the compiled form is new, so that the key tells the wanted types.
  const auto convert = [&](bool constants) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const std::string& param = op.inputs[i].name;
      if (names_float(op, param, arguments[i].front()) && precision.raised(op)) {
        arguments[i].front() = Tensor::scalar(std::string("fp32"));
        continue;
      }
      for (std::size_t k = 0; k < arguments[i].size(); ++k) {
        const Type& declared = type_of(op.inputs[i].bindings[k]);
        const bool constant = constant_of(op.inputs[i].bindings[k]) != nullptr;
        Value& value = arguments[i][k];
        if (constant != constants || !is_float(declared) || !value.is_tensor()) continue;
        value = in_precision(value.tensor(), precision.wanted(op, param, declared.tensor().dtype), constant);
      }
    }
  };
  convert(false);
  if (!large) {
    convert(true);
    const auto state = [&](std::string_view param) -> StateCell& { return plan::state_cell(op, param, states); };
    return evaluate(op, std::move(arguments), std::move(run_block), state);
  }
  if (once) {
    convert(true);
    const auto fresh = compile(op, arguments);
    std::vector<Value> inputs;
    for (const auto& [i, k] : fresh->inputs) inputs.push_back(arguments[i][k]);
    return fresh->executable->run(inputs, {});
  }
  Key key{&op, precision.raised(op) ? "fp32" : ""};
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    for (std::size_t k = 0; k < arguments[i].size(); ++k) {
      const Type& declared = type_of(op.inputs[i].bindings[k]);
      if (constant_of(op.inputs[i].bindings[k]) == nullptr) {
        key.second += to_string(type_of_value(arguments[i][k], declared));
      } else if (is_float(declared)) {
        key.second += name(precision.wanted(op, op.inputs[i].name, declared.tensor().dtype));
      }
    }
  }
  auto found = compiled_.find(key);
  if (found == compiled_.end()) {
    convert(true);
    auto fresh = compile(op, arguments);
    const std::size_t bytes = fresh->executable->statistics().packed_bytes;
    if (held_bytes_ + bytes > max_held_bytes) {
      compiled_.clear();
      held_bytes_ = 0;
    }
    held_bytes_ += bytes;
    found = compiled_.emplace(std::move(key), std::move(fresh)).first;
  }
  std::vector<Value> inputs;
  for (const auto& [i, k] : found->second->inputs) inputs.push_back(std::move(arguments[i][k]));
  return found->second->executable->run(inputs, {});
}

}  // namespace tl::insight
