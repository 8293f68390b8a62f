#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ir/op_def.hpp"
#include "pass/pass.hpp"
#include "plan/device.hpp"
#include "plan/interpreter.hpp"
#include "plan/memory.hpp"

namespace tl::plan {

struct PlanStatistics {
  std::size_t steps = 0;
  std::size_t reference_steps = 0;  // ops that the device does not offer
  std::size_t arena_bytes = 0;      // of results and workspaces
  std::size_t workspace_bytes = 0;  // the largest among them
  std::size_t packed_bytes = 0;
};

class Executable;

struct StepInfo {
  const ir::Op* op = nullptr;
  std::string_view kernel;  // "view" moves nothing, "reference" is the slow path
  std::size_t packed_bytes = 0;
  std::size_t live_bytes = 0;                  // of the arena that hold values while it runs
  std::span<const ir::Op* const> joined = {};  // see Kernel
};

// Times of many runs of one executable.
struct Recorder {
  std::shared_ptr<const Executable> executable;  // set by Session::run
  std::chrono::steady_clock::time_point origin;  // of the first run
  // Per run steps + 1 moments in seconds after `origin`: its beginning, then the end of each step.
  std::vector<double> moments;

  std::size_t runs() const;
  double seconds(std::size_t run, std::size_t step) const;
  double median_seconds(std::size_t step) const;
};

// What making an executable took.
struct CompileCosts {
  double specialize_seconds = 0;
  std::vector<pass::PassCost> passes;
  double kernel_seconds = 0;  // making kernels, packing weights, planning memory
};

// A function compiled for concrete input types on one device: ops in order, each a kernel or the reference, with the
// memory of all kernel results planned. Immutable; runs may overlap, each in a context of its own.
class Executable {
 public:
  // `function` is specialized. `device` may be null: the reference runs everything.
  Executable(std::unique_ptr<ir::Function> function, const Device* device, ThreadPool& pool);
  ~Executable();

  // Inputs parallel to the function's inputs (values of states are ignored); returns the function's outputs, which own their
  // bytes. `time_limit`: see Limits.
  std::vector<Value> run(std::span<const Value> inputs, const std::vector<ir::StateCell*>& states, Recorder* recorder = nullptr,
                         double time_limit = 0) const;

  const ir::Function& function() const noexcept { return *function_; }
  const PlanStatistics& statistics() const noexcept { return statistics_; }
  std::vector<StepInfo> steps() const;

  CompileCosts costs;  // set by who made it

 private:
  struct Step;
  struct Context;
  using Slot = std::size_t;

  void run_step(const Step& step, Context& context, const StateCells& states, Limits& limits) const;
  void add_steps(const Device* device);
  void make_kernels(const Device& device);
  void drop_unread();
  void plan_lifetimes();
  void find_pointers();
  std::unique_ptr<Context> acquire() const;
  void release(std::unique_ptr<Context> context) const;
  void run_kernel(const Step& step, Context& context, const StateCells& states) const;
  void take_state(const Step& step, std::string_view param, Context& context, const StateCells& states) const;
  void run_reference(const Step& step, Context& context, const StateCells& states, Limits& limits) const;
  Value value_of(const ir::Var& var, const Context& context) const;
  bool in_arena(const Tensor& tensor, const Context& context) const noexcept;

  std::unique_ptr<ir::Function> function_;
  ThreadPool& pool_;
  bool on_device_;
  PlanStatistics statistics_;
  std::vector<Step> steps_;
  std::unordered_map<const ir::Var*, Slot> slots_;
  std::vector<const ir::Var*> slot_vars_;
  std::size_t worker_stride_ = 0;        // between the workspaces of two threads
  std::vector<std::size_t> offsets_;     // per slot: place in the arena, or `unplanned`
  std::vector<bool> fresh_;              // per slot: a kernel writes it into an output tensor of its own
  std::vector<std::size_t> live_bytes_;  // per step
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Context>> idle_;
};

}  // namespace tl::plan
