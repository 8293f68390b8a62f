#pragma once

#include <cstddef>

namespace tl::cpu {

constexpr std::size_t cache_line = 64;
// Bytes rounded up to whole cache lines.
constexpr std::size_t rounded(std::size_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

}  // namespace tl::cpu
