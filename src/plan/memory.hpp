#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "plan/device.hpp"

namespace tl::plan {

struct FreeBytes {
  void operator()(std::byte* bytes) const noexcept { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeBytes>;
// 64-byte aligned; throws Error{limit}.
AlignedBytes allocate_aligned(std::size_t bytes);
// To whole multiples of 64.
std::size_t rounded_bytes(std::size_t bytes);

// A buffer that is written at step `first` and read last at step `last`.
struct Lifetime {
  std::size_t bytes = 0;
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t offset = 0;  // the answer: a multiple of 64
};

// Places buffers so that those alive at the same step do not overlap: largest first, each at the lowest free offset.
// Returns the size of the arena.
std::size_t plan_memory(std::vector<Lifetime>& buffers);

// What kernels work in when they run outside an executable. `threads`: of the pool.
class LoneWorkspace {
 public:
  LoneWorkspace(const Workspace& needed, int threads);
  KernelArgs args(const std::byte* const* inputs, std::byte* const* outputs, ThreadPool& pool) const noexcept {
    return {inputs, outputs, memory_.get() + threads_ * stride_, memory_.get(), stride_, &pool};
  }

 private:
  std::size_t threads_, stride_;
  AlignedBytes memory_;
};

}  // namespace tl::plan
