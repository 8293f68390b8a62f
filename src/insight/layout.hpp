#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace tl::insight {

// `to` reads what `from` gives; edges of one `value` and source share the way as far as they can.
struct LayoutEdge {
  std::size_t from = 0;
  std::size_t to = 0;
  std::size_t value = 0;
};

enum class Pin : unsigned char { none, top, bottom };

// Items in ranks (Sugiyama, Tagawa, Toda 1981): each below all that it reads, long edges led through dummies, one per rank.
struct Layered {
  std::vector<std::vector<std::size_t>> ranks;  // items from left to right; from `items` on they are dummies
  std::vector<std::size_t> dummies;             // the value of each dummy
  std::vector<LayoutEdge> segments;             // between neighbouring ranks
  std::vector<LayoutEdge> distant;              // edges that were left out of the ranks because they are too long
};

// `pins` gives the number of items. Items stand in an order in which most edges point forward; those that don't are laid
// backwards. O(E log E) but for a fixed number of sweeps; dummies are at most some times the items and edges.
Layered layer(std::span<const Pin> pins, const std::vector<LayoutEdge>& edges);

// The centre of every item and dummy on the axis along a rank: close to its neighbours, in order, at least `gap` apart.
std::vector<double> place(const Layered& layered, std::span<const double> widths, double gap);

}  // namespace tl::insight
