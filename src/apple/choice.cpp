#include "apple/choice.hpp"

#include <limits>

namespace tl::apple {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

Backend backend(std::size_t i) { return static_cast<Backend>(i); }

double change_ms(std::size_t from, std::size_t to) { return from == to ? 0 : switch_ms() + launch_ms(backend(to)); }

}  // namespace

Placement place(std::span<const Candidate> ops, Units allowed) {
  Placement result;
  if (ops.empty()) return result;
  using Way = std::array<std::uint8_t, backend_count>;
  std::vector<Way> came(ops.size());
  Estimates best{};
  for (std::size_t n = 0; n < ops.size(); ++n) {
    Estimates next{};
    for (std::size_t to = 0; to < backend_count; ++to) {
      next[to] = never;
      const unsigned units = ops[n].units & (allowed | unsigned{cpu});
      if ((units & unit_of(backend(to))) == 0) continue;
      if (n == 0) {
        next[to] = launch_ms(backend(to));
      } else {
        for (std::size_t from = 0; from < backend_count; ++from) {
          const double cost = best[from] + change_ms(from, to);
          if (cost < next[to]) {
            next[to] = cost;
            came[n][to] = static_cast<std::uint8_t>(from);
          }
        }
      }
      next[to] += ops[n].ms[to];
    }
    best = next;
  }
  std::size_t at = 0;
  result.total_ms = never;
  for (std::size_t i = 0; i < backend_count; ++i) {
    const double cost = best[i] + (unit_of(backend(i)) == cpu ? 0 : switch_ms());
    if (cost < result.total_ms) {
      result.total_ms = cost;
      at = i;
    }
  }
  result.chosen.resize(ops.size());
  for (std::size_t n = ops.size(); n-- > 0;) {
    result.chosen[n] = backend(at);
    at = came[n][at];
  }
  for (std::size_t n = 0; n < ops.size(); ++n) {
    const bool here = unit_of(result.chosen[n]) == ane;
    if (here && (n == 0 || unit_of(result.chosen[n - 1]) != ane)) ++result.segments;
  }
  return result;
}

}  // namespace tl::apple
