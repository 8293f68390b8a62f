#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "plan/executable.hpp"

namespace tl::plan {

// One function of a program on one device, with an executable per set of input types. Thread-safe.
class Session {
 public:
  // `function` is verified and stays unchanged; `device` may be null (reference).
  Session(std::shared_ptr<const ir::Function> function, const Device* device, std::shared_ptr<ThreadPool> pool);

  std::vector<Value> run(std::span<const Value> inputs, const std::vector<ir::StateCell*>& states, Recorder* recorder = nullptr,
                         double time_limit = 0) const;
  // The executable for these input types, compiled when it is new.
  std::shared_ptr<const Executable> executable(const std::vector<ir::Type>& inputs) const;

  const ir::Function& function() const noexcept { return *function_; }
  std::shared_ptr<ThreadPool> pool() const noexcept { return pool_; }

 private:
  static constexpr std::size_t max_cached = 16;

  std::shared_ptr<const ir::Function> function_;
  const Device* device_;
  std::shared_ptr<ThreadPool> pool_;
  mutable std::mutex mutex_;
  mutable std::list<std::pair<std::vector<ir::Type>, std::shared_ptr<const Executable>>> cache_;  // most recent first
};

}  // namespace tl::plan
