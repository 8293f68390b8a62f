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
  auto function = specialize(*function_, inputs);
  if (device_ != nullptr) pass::optimize(*function);
  auto compiled = std::make_shared<const Executable>(std::move(function), device_, *pool_);
  cache_.emplace_front(inputs, compiled);
  if (cache_.size() > max_cached) cache_.pop_back();
  return compiled;
}

std::vector<Value> Session::run(std::span<const Value> inputs, const std::vector<StateCell*>& states,
                                Recorder* recorder) const {
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
  return executable(types)->run(inputs, states, recorder);
}

}  // namespace tl::plan
