#include "insight/layout.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace tl::insight {
namespace {

constexpr int order_sweeps = 8;
constexpr int place_sweeps = 6;
constexpr double dummy_weight = 50;  // long edges run straight before boxes are centred

using Lists = std::vector<std::vector<std::size_t>>;

// Ranks by longest path from the top; then what has more readers than sources moves down to them.
std::vector<std::size_t> rank_items(std::span<const Pin> pins, const std::vector<LayoutEdge>& forward) {
  const std::size_t count = pins.size();
  Lists below(count);
  std::vector<std::size_t> ranks(count, 0), sources(count, 0);
  for (const LayoutEdge& edge : forward) {
    below[edge.from].push_back(edge.to);
    ++sources[edge.to];
  }
  const bool has_top = std::find(pins.begin(), pins.end(), Pin::top) != pins.end();
  std::size_t last = 0;
  for (std::size_t item = 0; item < count; ++item) {
    if (has_top && pins[item] != Pin::top) ranks[item] = std::max<std::size_t>(ranks[item], 1);
    for (const std::size_t next : below[item]) ranks[next] = std::max(ranks[next], ranks[item] + 1);
    last = std::max(last, ranks[item]);
  }
  for (std::size_t item = count; item-- > 0;) {
    if (pins[item] != Pin::none || below[item].empty() || below[item].size() <= sources[item]) continue;
    std::size_t lowest = last;
    for (const std::size_t next : below[item]) lowest = std::min(lowest, ranks[next] - 1);  // at least its own rank
    ranks[item] = std::max(ranks[item], lowest);
  }
  std::size_t bottom = 0;  // below all else
  for (std::size_t item = 0; item < count; ++item) {
    if (pins[item] != Pin::bottom) bottom = std::max(bottom, ranks[item] + 1);
  }
  for (std::size_t item = 0; item < count; ++item) {
    if (pins[item] == Pin::bottom) ranks[item] = bottom;
  }
  return ranks;
}

struct Sides {
  Lists above, below;
};

Sides sides_of(const Layered& layered, std::size_t count) {
  Sides sides{Lists(count), Lists(count)};
  for (const LayoutEdge& segment : layered.segments) {
    sides.below[segment.from].push_back(segment.to);
    sides.above[segment.to].push_back(segment.from);
  }
  return sides;
}

std::size_t crossings(const Layered& layered, const Lists& below, const std::vector<std::size_t>& position) {
  std::size_t total = 0;
  std::vector<std::size_t> ends, tree;
  for (std::size_t r = 0; r + 1 < layered.ranks.size(); ++r) {
    ends.clear();
    for (const std::size_t item : layered.ranks[r]) {
      const std::size_t start = ends.size();
      for (const std::size_t next : below[item]) ends.push_back(position[next]);
      std::sort(ends.begin() + static_cast<std::ptrdiff_t>(start), ends.end());
    }
    const std::size_t width = layered.ranks[r + 1].size();
    tree.assign(width + 1, 0);
    std::size_t seen = 0;
    for (const std::size_t end : ends) {
      std::size_t lower = 0;
      for (std::size_t i = end + 1; i > 0; i -= i & (~i + 1)) lower += tree[i];
      total += seen++ - lower;
      for (std::size_t i = end + 1; i <= width; i += i & (~i + 1)) ++tree[i];
    }
  }
  return total;
}

void order_ranks(Layered& layered, std::size_t count) {
  const Sides sides = sides_of(layered, count);
  std::vector<std::size_t> position(count);
  const auto number = [&](const std::vector<std::size_t>& rank) {
    for (std::size_t i = 0; i < rank.size(); ++i) position[rank[i]] = i;
  };
  std::for_each(layered.ranks.begin(), layered.ranks.end(), number);
  Lists best = layered.ranks;
  std::size_t fewest = crossings(layered, sides.below, position);
  std::vector<double> key(count);
  for (int sweep = 0; sweep < order_sweeps && fewest > 0; ++sweep) {
    const bool down = sweep % 2 == 0;
    const Lists& towards = down ? sides.above : sides.below;
    for (std::size_t step = 0; step < layered.ranks.size(); ++step) {
      auto& rank = layered.ranks[down ? step : layered.ranks.size() - 1 - step];
      for (const std::size_t item : rank) {
        double sum = 0;
        for (const std::size_t other : towards[item]) sum += static_cast<double>(position[other]);
        key[item] =
            towards[item].empty() ? static_cast<double>(position[item]) : sum / static_cast<double>(towards[item].size());
      }
      std::stable_sort(rank.begin(), rank.end(), [&](std::size_t a, std::size_t b) { return key[a] < key[b]; });
      number(rank);
    }
    if (const std::size_t now = crossings(layered, sides.below, position); now < fewest) {
      fewest = now;
      best = layered.ranks;
    }
  }
  layered.ranks = std::move(best);
}

}  // namespace

Layered layer(std::span<const Pin> pins, const std::vector<LayoutEdge>& edges) {
  const std::size_t count = pins.size();
  Layered layered;
  std::vector<LayoutEdge> forward;
  for (const LayoutEdge& edge : edges) {
    if (edge.from < edge.to) forward.push_back(edge);
    if (edge.from > edge.to) layered.distant.push_back(edge);
  }
  const std::vector<std::size_t> ranks = rank_items(pins, forward);
  for (std::size_t item = 0; item < count; ++item) {
    layered.ranks.resize(std::max(layered.ranks.size(), ranks[item] + 1));
    layered.ranks[ranks[item]].push_back(item);
  }
  // The targets of one value by rank; the shortest ways get their dummies first.
  std::map<std::pair<std::size_t, std::size_t>, std::vector<std::size_t>> ways;
  for (const LayoutEdge& edge : forward) ways[{edge.from, edge.value}].push_back(edge.to);
  std::vector<std::pair<std::size_t, const decltype(ways)::value_type*>> by_length;
  for (auto& way : ways) {
    auto& targets = way.second;
    std::sort(targets.begin(), targets.end(),
              [&](std::size_t a, std::size_t b) { return std::pair(ranks[a], a) < std::pair(ranks[b], b); });
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    by_length.emplace_back(ranks[targets.back()] - ranks[way.first.first], &way);
  }
  std::stable_sort(by_length.begin(), by_length.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::size_t budget = 200 + 4 * (count + edges.size());
  for (const auto& [length, way] : by_length) {
    const auto& [source, value] = way->first;
    std::size_t end = source, rank = ranks[source];
    for (const std::size_t target : way->second) {
      const std::size_t needed = ranks[target] - rank - 1;
      if (needed > budget) {
        layered.distant.push_back({source, target, value});
        continue;
      }
      budget -= needed;
      for (; rank + 1 < ranks[target]; ++rank) {
        const std::size_t dummy = count + layered.dummies.size();
        layered.dummies.push_back(value);
        layered.ranks[rank + 1].push_back(dummy);
        layered.segments.push_back({end, dummy, value});
        end = dummy;
      }
      layered.segments.push_back({end, target, value});
    }
  }
  order_ranks(layered, count + layered.dummies.size());
  return layered;
}

std::vector<double> place(const Layered& layered, std::span<const double> widths, double gap) {
  const std::size_t count = widths.size();
  const std::size_t items = count - layered.dummies.size();
  const Sides sides = sides_of(layered, count);
  std::vector<double> x(count, 0);
  for (const auto& rank : layered.ranks) {
    double left = 0;
    for (const std::size_t item : rank) {
      x[item] = left + widths[item] / 2;
      left += widths[item] + gap;
    }
    for (const std::size_t item : rank) x[item] -= (left - gap) / 2;
  }
  struct Run {  // items that touch each other: their common shift
    double weight, sum;
    std::size_t first;
  };
  std::vector<Run> runs;
  std::vector<double> offsets;
  // Least squares to the wanted places with the order and the distances kept (pool adjacent violators).
  const auto settle = [&](const std::vector<std::size_t>& rank, const Lists& towards) {
    runs.clear();
    offsets.assign(rank.size(), 0);
    for (std::size_t i = 0; i < rank.size(); ++i) {
      const std::size_t item = rank[i];
      if (i > 0) offsets[i] = offsets[i - 1] + (widths[rank[i - 1]] + widths[item]) / 2 + gap;
      double sum = 0, weights = 0;
      for (const std::size_t other : towards[item]) {
        const double weight = other >= items ? dummy_weight : 1;
        sum += weight * x[other];
        weights += weight;
      }
      const double wanted = weights > 0 ? sum / weights : x[item];
      const double weight = item >= items ? dummy_weight : 1;
      runs.push_back({weight, weight * (wanted - offsets[i]), i});
      while (runs.size() > 1 &&
             runs.back().sum * runs[runs.size() - 2].weight < runs[runs.size() - 2].sum * runs.back().weight) {
        const Run merged = runs.back();
        runs.pop_back();
        runs.back().weight += merged.weight;
        runs.back().sum += merged.sum;
      }
    }
    for (std::size_t r = 0; r < runs.size(); ++r) {
      const std::size_t end = r + 1 < runs.size() ? runs[r + 1].first : rank.size();
      for (std::size_t i = runs[r].first; i < end; ++i) x[rank[i]] = runs[r].sum / runs[r].weight + offsets[i];
    }
  };
  for (int sweep = 0; sweep < place_sweeps; ++sweep) {
    for (std::size_t step = 0; step < layered.ranks.size(); ++step) {
      const bool down = sweep % 2 == 0;
      settle(layered.ranks[down ? step : layered.ranks.size() - 1 - step], down ? sides.above : sides.below);
    }
  }
  return x;
}

}  // namespace tl::insight
