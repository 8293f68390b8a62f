#pragma once

#include <array>
#include <cstddef>

#include "cpu/gemm.hpp"

namespace tl::cpu {

// out[3 * i + c] = planes[c][i] for i < count, widened to float and, with `as_half`, rounded to float16 before.
using InterleavePlanes = void (*)(const std::array<const void*, 3>& planes, Storage storage, bool as_half, float* out,
                                  std::size_t count);
InterleavePlanes interleave_planes_kernel();

}  // namespace tl::cpu
