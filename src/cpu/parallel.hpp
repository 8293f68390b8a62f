#pragma once

#include <cstddef>

namespace tl::cpu {

// Elements of a simple op below which a second thread costs more than it brings.
constexpr std::size_t parallel_elements = 32768;

}  // namespace tl::cpu
