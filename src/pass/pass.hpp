#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "ir/program.hpp"

namespace tl::pass {

// A rewrite of a specialized function (all extents concrete where they don't depend on data) that keeps its meaning; what it
// fuses is never less exact than before. Works on the outermost block.
struct Pass {
  std::string_view name;
  void (*run)(ir::Function& function);
  std::string_view doc;
};

// In the order in which they run.
std::span<const Pass> all_passes() noexcept;

// What a pass took and brought.
struct PassCost {
  std::string_view name;
  double seconds = 0;
  std::size_t ops_before = 0;
  std::size_t ops_after = 0;
};
// Runs them, without those that the environment variable TL_PASSES_OFF names ("channels_last,fuse_epilogue", "all").
std::vector<PassCost> optimize(ir::Function& function);

}  // namespace tl::pass
