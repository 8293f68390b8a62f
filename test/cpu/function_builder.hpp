#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/thread_pool.hpp"
#include "ir/build.hpp"
#include "ir/verify.hpp"
#include "plan/session.hpp"

namespace tl::test {

// A function made op by op, with numbers that are the same each time.
struct FunctionBuilder {
  std::shared_ptr<ir::Function> function = std::make_shared<ir::Function>();
  std::mt19937 generator{1};

  ir::Var* input(ir::Type type) {
    auto var = std::make_unique<ir::Var>();
    var->name = "x" + std::to_string(function->inputs.size());
    var->type = std::move(type);
    function->inputs.push_back(std::move(var));
    return function->inputs.back().get();
  }
  ir::Var* input(DType dtype, const Shape& shape) { return input({dtype, ir::dims_of(shape)}); }
  // Its first result; null when it has none.
  ir::Var* add(std::string_view type, std::vector<std::pair<std::string, ir::Binding>> inputs) {
    auto& ops = function->body.ops;
    ops.push_back(ir::make_op(type, std::move(inputs), "v" + std::to_string(ops.size())));
    return ops.back()->outputs.empty() ? nullptr : ops.back()->outputs[0].get();
  }
  // Whole numbers from `low` to `high`.
  Tensor integers(DType dtype, const Shape& shape, int low, int high) {
    std::uniform_int_distribution<int> pick(low, high);
    Tensor values(DType::i32, shape);
    for (auto& v : values.mutable_values<std::int32_t>()) v = pick(generator);
    return values.cast(dtype);
  }
};

struct Ran {
  std::vector<Value> outputs;
  std::vector<std::string> kernels;
};

// Without a device: the reference.
inline Ran run(const FunctionBuilder& built, const std::vector<Value>& inputs, const plan::Device* device, int threads,
               const std::vector<ir::StateCell*>& states = {}) {
  static std::map<int, std::shared_ptr<ThreadPool>> pools;
  auto& pool = pools[threads];
  if (pool == nullptr) pool = std::make_shared<ThreadPool>(threads);
  plan::Recorder recorder;
  Ran result;
  result.outputs = plan::Session(built.function, device, pool).run(inputs, states, &recorder);
  for (const auto& step : recorder.executable->steps()) result.kernels.emplace_back(step.kernel);
  return result;
}

// Runs on 1, 2 and 4 threads of the CPU device give the bits of the reference.
inline std::vector<Ran> expect_identical(const FunctionBuilder& built, const std::vector<Value>& inputs,
                                         plan::Precision precision) {
  ir::verify(*built.function);
  const Ran want = run(built, inputs, nullptr, 1);
  std::vector<Ran> runs;
  for (const int threads : {1, 2, 4}) {
    runs.push_back(run(built, inputs, &plan::cpu_device(precision), threads));
    for (std::size_t i = 0; i < want.outputs.size(); ++i)
      EXPECT_TRUE(runs.back().outputs[i].tensor().identical(want.outputs[i].tensor()))
          << "output " << i << ", " << threads << " threads, " << (precision == plan::Precision::own ? "own" : "bf16");
  }
  return runs;
}

}  // namespace tl::test
