#include "plan/session.hpp"

#include <algorithm>

#include "base/thread_pool.hpp"
#include "pass/pass.hpp"
#include "plan/specialize.hpp"

namespace tl::plan {

using namespace ir;

Session::Session(std::shared_ptr<const Function> function, const Device* device, std::shared_ptr<ThreadPool> pool)
    : function_(std::move(function)), device_(device), pool_(std::move(pool)) {}

std::shared_ptr<const Executable> Session::executable(const std::vector<Type>& inputs) const {
  const std::lock_guard lock(mutex_);
  for (auto entry = cache_.begin(); entry != cache_.end(); ++entry) {
    if (entry->first == inputs) {
      cache_.splice(cache_.begin(), cache_, entry);
      return cache_.front().second;
    }
  }
  CompileCosts costs;
  const auto start = std::chrono::steady_clock::now();
  auto function = specialize(*function_, inputs, device_ != nullptr);
  const auto specialized = std::chrono::steady_clock::now();
  if (device_ != nullptr) costs.passes = pass::optimize(*function);
  const auto optimized = std::chrono::steady_clock::now();
  auto compiled = std::make_shared<Executable>(std::move(function), device_, *pool_);
  costs.specialize_seconds = std::chrono::duration<double>(specialized - start).count();
  costs.kernel_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - optimized).count();
  compiled->costs = std::move(costs);
  cache_.emplace_front(inputs, compiled);
  if (cache_.size() > max_cached) cache_.pop_back();
  return compiled;
}

std::vector<Value> Session::run(std::span<const Value> inputs, const std::vector<StateCell*>& states, Recorder* recorder,
                                double time_limit) const {
  std::vector<Type> types;
  types.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Type& declared = function_->inputs[i]->type;
    if (inputs[i].is_tensor() && declared.is_tensor()) {
      types.emplace_back(inputs[i].tensor().dtype(), dims_of(inputs[i].tensor().shape()));
    } else {
      types.push_back(declared);
    }
  }
  const auto compiled = executable(types);
  if (recorder != nullptr && recorder->executable != compiled) {
    *recorder = {compiled, std::chrono::steady_clock::now(), {}};
  }
  return compiled->run(inputs, states, recorder, time_limit);
}

}  // namespace tl::plan
