#pragma once

#include <array>
#include <cstddef>

#include "apple/site.hpp"

namespace tl::apple {

// What the segmenter chooses among. The CPU has two.
enum class Backend : std::size_t {
#define TL_BACKEND(id, ...) id,
#include "apple/cost.inc"
};
constexpr std::size_t backend_count = 4;

Unit unit_of(Backend backend) noexcept;
double launch_ms(Backend backend) noexcept;
double switch_ms() noexcept;

// Milliseconds per backend, indexed by it, as the segmenter of an M4 would estimate them; whether a backend takes the op is not
// asked. Ops that run at load or hand on to their blocks (cond, while_loop) cost nothing.
using Estimates = std::array<double, backend_count>;
Estimates estimate(const Site& site);

// Multiplications and additions of the ops that have a roofline, else 0; bytes of all arguments and results.
double operations(const Site& site);
double bytes(const Site& site);

}  // namespace tl::apple
