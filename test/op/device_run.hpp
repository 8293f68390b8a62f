#pragma once

#include "base/thread_pool.hpp"
#include "ir/verify.hpp"
#include "op/op_case.hpp"
#include "plan/session.hpp"

namespace tl::test {

// Runs an op as a model's only one, on the CPU device with all passes: what may vary is an input of the function.
// Empty when an argument must be constant and is text, or the op keeps a state.
inline std::vector<Value> run_on_device(const std::string& op_name, const std::vector<Argument>& arguments,
                                        const plan::Device& device = plan::cpu_device()) {
  static const auto pool = std::make_shared<ThreadPool>(2);
  auto function = std::make_shared<ir::Function>();
  auto op = std::make_unique<ir::Op>();
  op->type = op_name;
  op->def = ir::find_op(op_name);
  std::vector<Value> inputs;
  for (const auto& [key, values] : arguments) {
    ir::Argument& argument = op->inputs.emplace_back();
    argument.name = key;
    for (const Value& value : values) {
      const Tensor& tensor = value.tensor();
      const bool parameter = key == "weight" || key == "bias" || key == "gamma" || key == "beta";
      if (op->def->param(key)->must_be_constant || tensor.dtype() == DType::string || parameter) {
        argument.bindings.emplace_back(ir::make_constant(tensor));
        continue;
      }
      auto var = std::make_unique<ir::Var>();
      var->name = fmt::format("in{}", inputs.size());
      var->type = {tensor.dtype(), ir::dims_of(tensor.shape())};
      argument.bindings.emplace_back(var.get());
      inputs.push_back(value);
      function->inputs.push_back(std::move(var));
    }
  }
  const auto types = ir::infer_types(*op);
  for (std::size_t i = 0; i < types.size(); ++i) {
    auto var = std::make_unique<ir::Var>();
    var->name = fmt::format("out{}", i);
    var->type = types[i];
    var->producer = op.get();
    function->body.outputs.push_back(var.get());
    op->outputs.push_back(std::move(var));
  }
  function->body.ops.push_back(std::move(op));
  ir::verify(*function);
  return plan::Session(function, &device, pool).run(inputs, {});
}

}  // namespace tl::test
