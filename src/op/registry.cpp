#include <algorithm>
#include <vector>

#include "ir/op_def.hpp"

namespace tl::op {
#define TL_OP_ROW(id) void define_##id(ir::OpDef& op);
#include "op/ops.inc"
#undef TL_OP_ROW
#define TL_DIALECT_ROW(id) void define_tl_##id(ir::OpDef& op);
#include "op/dialect.inc"
#undef TL_DIALECT_ROW
}  // namespace tl::op

namespace tl::ir {
namespace {

struct Registry {
  std::vector<OpDef> defs;
  std::vector<const OpDef*> sorted;

  void add(std::string_view name, void (*define)(OpDef&)) {
    defs.emplace_back();
    defs.back().name = name;
    define(defs.back());
  }

  Registry() {
#define TL_OP_ROW(id) add(#id, op::define_##id);
#include "op/ops.inc"
#undef TL_OP_ROW
#define TL_DIALECT_ROW(id) add("tl." #id, op::define_tl_##id);
#include "op/dialect.inc"
#undef TL_DIALECT_ROW
    for (const OpDef& def : defs) sorted.push_back(&def);
    std::sort(sorted.begin(), sorted.end(), [](const OpDef* a, const OpDef* b) { return a->name < b->name; });
  }
};

const Registry& registry() {
  static const Registry instance;
  return instance;
}

}  // namespace

const OpDef* find_op(std::string_view name) noexcept {
  const auto& sorted = registry().sorted;
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), name,
                                      [](const OpDef* def, std::string_view key) { return def->name < key; });
  return found != sorted.end() && (*found)->name == name ? *found : nullptr;
}

std::span<const OpDef* const> all_ops() noexcept { return registry().sorted; }

}  // namespace tl::ir
