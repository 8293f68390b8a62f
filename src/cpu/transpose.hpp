#pragma once

#include <cstddef>
#include <cstdint>

namespace tl::cpu {

// out[r * out_step + c] = in[r + c * in_step] for r < rows, c < columns.
using SwapHalves = void (*)(const std::uint16_t* in, std::size_t in_step, std::uint16_t* out, std::size_t out_step,
                            std::size_t rows, std::size_t columns);
SwapHalves swap_halves_kernel();

}  // namespace tl::cpu
