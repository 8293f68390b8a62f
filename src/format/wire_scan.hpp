#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tl::format {

struct WireLimits {
  int depth = 100;
  std::uint64_t nodes = std::uint64_t{1} << 24;  // strings, messages and packed lists: each costs an allocation
};

// Walks the wire form of a protobuf message without building anything, each byte once. What no message can be is taken for a
// string or bytes. Throws Error{bad_file} when the outermost message is broken, Error{limit} past the limits.
void scan_wire(std::span<const std::byte> bytes, const WireLimits& limits = {});

}  // namespace tl::format
