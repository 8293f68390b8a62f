#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/program.hpp"

namespace tl {
class ThreadPool;
}
namespace tl::pass {
class Uses;
}

namespace tl::plan {

// How a kernel ends. Data-dependent faults (an index out of range) come back here; `detail` is a static text.
struct Status {
  const char* detail = nullptr;
  bool ok() const noexcept { return detail == nullptr; }
};

// Bytes that a kernel needs while it runs: for all threads together, and for each worker of the pool by itself.
struct Workspace {
  std::size_t shared = 0, worker = 0;
};

struct KernelArgs {
  const std::byte* const* inputs;  // parallel to Kernel::inputs
  std::byte* const* outputs;       // parallel to the op's outputs
  std::byte* shared;               // Workspace::shared bytes, 64-byte aligned, contents undefined
  std::byte* workers;              // Workspace::worker bytes for each, `worker_stride` apart, the same
  std::size_t worker_stride;
  ThreadPool* pool;

  std::byte* own(std::size_t worker) const noexcept { return workers + worker * worker_stride; }
};

// One op compiled for concrete shapes and constants. Immutable after construction: many threads run it at once.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual std::string_view name() const noexcept = 0;  // "gemm_f32_14x32_avx512"
  virtual Workspace workspace() const noexcept { return {}; }
  virtual std::size_t packed_bytes() const noexcept { return 0; }  // weights it copied
  // True when output 0 may be the very buffer of input `i` (the planner then reuses it if the input dies here).
  virtual bool can_share(std::size_t /*input*/) const noexcept { return false; }
  // True when input 0 is a state and output 0 the same bytes, which it changes in place.
  virtual bool updates_state() const noexcept { return false; }
  virtual Status run(const KernelArgs& args) const noexcept = 0;

  // Ops before its own that it computes as well, first to last: nothing else reads what they make.
  std::vector<const ir::Op*> joined;
  // The variables it reads at run time (constants that it took in are not among them), set by the constructor.
  std::vector<const ir::Var*> inputs;
};

// What turns ops into kernels. The op's variables have concrete shapes (`shape_of` holds a value), weights are `Var::constant`.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const noexcept = 0;
  // Null: not offered here, the reference runs it. `threads` are those of the pool that will run the kernel, `uses` those of
  // the function that the op stands in; null when they are not known.
  virtual std::unique_ptr<Kernel> compile(const ir::Op& op, int threads, const pass::Uses* uses) const = 0;
};

// How exact products are: as the model's types say (fp16 values, float sums), or in bf16 with float sums.
enum class Precision : std::uint8_t { own, bf16 };

const Device& cpu_device(Precision precision = Precision::own);
// True when the device has products in bf16.
bool cpu_has_bf16();

}  // namespace tl::plan
