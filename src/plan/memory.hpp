#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

namespace tl::plan {

struct FreeBytes {
  void operator()(std::byte* bytes) const noexcept { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeBytes>;
// 64-byte aligned; throws Error{limit}.
AlignedBytes allocate_aligned(std::size_t bytes);

// A buffer that is written at step `first` and read last at step `last`.
struct Lifetime {
  std::size_t bytes = 0;
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t offset = 0;  // the answer: a multiple of 64
  bool workspace = false;  // of one step
};

// Places buffers so that those alive at the same step do not overlap: largest first, each at the lowest free offset, but
// workspaces before all, so that steps meet in the same bytes, which stay in the caches. Returns the size of the arena.
std::size_t plan_memory(std::vector<Lifetime>& buffers);

}  // namespace tl::plan
