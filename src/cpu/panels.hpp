#pragma once

#include "cpu/conv.hpp"
#include "plan/memory.hpp"

namespace tl::cpu {

// Weights as GemmBlock::b has them, group after group; the depth runs over (tap, channel).
struct Panels {
  plan::AlignedBytes bytes;
  Storage storage = Storage::f16;
  std::size_t group_bytes = 0, total_bytes = 0;
};
Panels pack_panels(const ConvShape& shape, const Weights& weights, Storage storage);

}  // namespace tl::cpu
