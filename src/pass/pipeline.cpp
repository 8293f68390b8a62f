#include <array>
#include <chrono>
#include <cstdlib>

#include "pass/graph.hpp"
#include "pass/pass.hpp"

namespace tl::pass {

#define TL_PASS(name, doc) void name(ir::Function& function);
#include "pass/passes.inc"
#undef TL_PASS

namespace {

constexpr std::array passes = {
#define TL_PASS(name, doc) Pass{#name, &name, doc},
#include "pass/passes.inc"
#undef TL_PASS
};

bool listed(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    if (item == name || item == "all") return true;
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return false;
}

}  // namespace

std::span<const Pass> all_passes() noexcept { return passes; }

std::vector<PassCost> optimize(ir::Function& function) {
  const char* off = std::getenv("TL_PASSES_OFF");
  std::vector<PassCost> costs;
  const auto run = [&](std::string_view name, void (*pass)(ir::Function&)) {
    const auto start = std::chrono::steady_clock::now();
    const std::size_t before = function.body.ops.size();
    pass(function);
    costs.push_back({name, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), before,
                     function.body.ops.size()});
  };
  for (const Pass& pass : passes) {
    if (off == nullptr || !listed(off, pass.name)) run(pass.name, pass.run);
  }
  run("remove_dead", remove_dead);
  return costs;
}

}  // namespace tl::pass
