#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

// What a `pad` op adds before and after each spatial axis of a rank-4 value with zeros; empty when it does anything else.
std::vector<std::int64_t> zero_padding(const Op& op) {
  const Infer view(op);
  const Var* x = variable(op, "x");
  if (x == nullptr || !shape_of(*x) || !shape_of(*op.outputs[0])) return {};
  if (view.has("mode") && view.text("mode") != "constant") return {};
  const std::vector<float> value = constant_floats(op, "constant_val");
  if (value.size() != 1 || value[0] != 0.0F) return {};
  const auto amounts = view.maybe_ints("pad");
  const std::size_t rank = shape_of(*x)->size();
  if (!amounts || rank < 3 || amounts->size() > 2 * rank) return {};
  std::vector<std::int64_t> all(2 * rank - amounts->size(), 0);
  all.insert(all.end(), amounts->begin(), amounts->end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] < 0 || (i < 4 && all[i] != 0)) return {};
  }
  return {all.begin() + 4, all.end()};
}

}  // namespace

void fold_pad(Function& function) {
  const Uses uses(function);
  for (const auto& op : function.body.ops) {
    if (op->type != "pad") continue;
    const std::vector<std::int64_t> padding = zero_padding(*op);
    Op* conv = uses.only_user(*op->outputs[0]);
    if (padding.empty() || conv == nullptr || conv->type != "conv" || variable(*conv, "x") != op->outputs[0].get()) continue;
    const Infer view(*conv);
    const std::string type = view.text("pad_type");
    if (type != "valid" && type != "custom") continue;
    std::vector<std::int64_t> total = padding;
    if (type == "custom" && view.has("pad")) {
      const std::vector<std::int64_t> own = view.ints("pad");
      if (own.size() != total.size()) continue;
      for (std::size_t i = 0; i < own.size(); ++i) total[i] += own[i];
    }
    for (Argument& argument : conv->inputs) {
      if (argument.name == "x") argument.bindings.front() = variable(*op, "x");
    }
    std::erase_if(conv->inputs, [](const Argument& a) { return a.name == "pad" || a.name == "pad_type"; });
    conv->inputs.push_back({"pad_type", {text_binding("custom")}});
    conv->inputs.push_back({"pad", {ints_binding(total)}});
  }
  remove_dead(function);
}

}  // namespace tl::pass
