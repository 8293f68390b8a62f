#include "plan/memory.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <numeric>

#include "base/checked.hpp"

namespace tl::plan {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t page = 4096;
constexpr std::size_t huge_page = std::size_t{2} << 20;

}  // namespace

std::size_t rounded_bytes(std::size_t bytes) {
  return checked_add<std::size_t>(bytes, alignment - 1, "buffer size") / alignment * alignment;
}

AlignedBytes allocate_aligned(std::size_t bytes) {
  const std::size_t size = std::max(rounded_bytes(bytes), alignment);
  auto* memory = static_cast<std::byte*>(
      std::aligned_alloc(size >= huge_page ? page : alignment, size >= huge_page ? (size + page - 1) / page * page : size));
  if (memory == nullptr) fail(ErrorKind::limit, "no memory for {} bytes of activations", bytes);
#ifdef __linux__
  if (size >= huge_page) ::madvise(memory, size, MADV_HUGEPAGE);  // fewer faults on the first pass; a hint only
#endif
  return AlignedBytes(memory);
}

std::size_t plan_memory(std::vector<Lifetime>& buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<const Lifetime*> placed;  // by offset
  std::size_t total = 0;
  for (const std::size_t index : order) {
    Lifetime& buffer = buffers[index];
    const std::size_t size = rounded_bytes(buffer.bytes);
    std::size_t offset = 0;
    for (const Lifetime* other : placed) {
      if (other->last < buffer.first || buffer.last < other->first) continue;
      if (other->offset >= checked_add(offset, size, "arena size")) break;
      offset = std::max(offset, other->offset + rounded_bytes(other->bytes));
    }
    buffer.offset = offset;
    const auto position = std::upper_bound(placed.begin(), placed.end(), offset,
                                           [](std::size_t value, const Lifetime* other) { return value < other->offset; });
    placed.insert(position, &buffer);
    total = std::max(total, checked_add(offset, size, "arena size"));
  }
  return total;
}

LoneWorkspace::LoneWorkspace(const Workspace& needed, int threads)
    : threads_(static_cast<std::size_t>(threads)),
      stride_(rounded_bytes(needed.worker)),
      memory_(allocate_aligned(needed.shared + threads_ * stride_)) {}

}  // namespace tl::plan
