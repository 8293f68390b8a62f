#include <array>
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

void optimize(ir::Function& function) {
  const char* off = std::getenv("TL_PASSES_OFF");
  for (const Pass& pass : passes) {
    if (off == nullptr || !listed(off, pass.name)) pass.run(function);
  }
  remove_dead(function);
}

}  // namespace tl::pass
