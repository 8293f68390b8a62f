#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

// The state whose value a variable holds as it stands after its producer; null when it is none.
Var* state_of(const Var& var) {
  const Op* op = var.producer;
  if (op == nullptr) return nullptr;
  const bool read = op->type == "read_state";
  if (!read && op->type != "coreml_update_state" && op->type != "tl.update_state") return nullptr;
  const Binding* bound = binding(*op, read ? "input" : "state");
  const auto* state = bound == nullptr ? nullptr : std::get_if<Var*>(bound);
  return state == nullptr ? nullptr : *state;
}

class Rewriter {
 public:
  explicit Rewriter(Function& function) : function_(function) {}

  void run() {
    auto& ops = function_.body.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      for (const auto& inner : ops[i]->blocks) {
        if (writes_state(*inner)) return;  // a loop may write between what looks like neighbours
      }
    }
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (ops[i] != nullptr && ops[i]->type == "slice_update") rewrite(i);
    }
    set_ops(function_, std::move(ops));
    remove_dead(function_);
  }

 private:
  static bool writes_state(const Block& block) {
    bool found = false;
    for_each_op(block, [&](const Op& op) {
      found = found || op.type == "coreml_update_state" || op.type == "write_state" || op.type == "read_state";
    });
    return found;
  }

  // True when nothing from op `from` on, `except` aside, reads `var` or what may be a part of it.
  bool unread_from(const Var& var, std::size_t from, const Op* except) const {
    for (const Var* output : function_.body.outputs) {
      if (output == &var) return false;
    }
    const auto& ops = function_.body.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      const Op* op = ops[i].get();
      if (op == nullptr || op == except) continue;
      bool reads = !op->blocks.empty() && i >= from;
      for (const Argument& argument : op->inputs) {
        for (const Binding& bound : argument.bindings) {
          const auto* read = std::get_if<Var*>(&bound);
          reads = reads || (read != nullptr && *read == &var);
        }
      }
      if (!reads) continue;
      if (i >= from) return false;
      if (!op->def->view && op->type != "slice_by_index") continue;
      for (const auto& output : op->outputs) {
        if (!unread_from(*output, from, nullptr)) return false;
      }
    }
    return true;
  }

  // slice_update of a state's latest value, then write_state or coreml_update_state with the result.
  void rewrite(std::size_t i) {
    auto& ops = function_.body.ops;
    Op& slice = *ops[i];
    Var* x = variable(slice, "x");
    Var* state = x == nullptr ? nullptr : state_of(*x);
    if (state == nullptr) return;
    const auto writes = [&](const Op* op) {
      if (op == nullptr || (op->type != "coreml_update_state" && op->type != "write_state" && op->type != "tl.update_state"))
        return false;
      const Binding* bound = binding(*op, op->type == "write_state" ? "input" : "state");
      const auto* target = bound == nullptr ? nullptr : std::get_if<Var*>(bound);
      return target == nullptr || *target == state;
    };
    std::size_t write = i + 1;
    while (write < ops.size() && !writes(ops[write].get())) ++write;
    if (write == ops.size() || ops[write]->type == "tl.update_state") return;
    Op& update = *ops[write];
    if (variable(update, update.outputs.empty() ? "data" : "value") != slice.outputs[0].get()) return;
    // x must be the state's value still, and what it held before must not be read any more, nor the result before the write.
    for (std::size_t k = place_of(x->producer) + 1; k < i; ++k) {
      if (writes(ops[k].get())) return;
    }
    for (std::size_t k = 0; k < write; ++k) {
      if (ops[k] == nullptr || ops[k]->outputs.empty() || state_of(*ops[k]->outputs[0]) != state) continue;
      if (!unread_from(*ops[k]->outputs[0], i, &slice)) return;
    }
    if (!unread_from(*slice.outputs[0], i, &update)) return;
    std::vector<std::pair<std::string, Binding>> inputs = {{"state", state}};
    for (const Argument& argument : slice.inputs) {
      if (argument.name != "x") inputs.emplace_back(argument.name, argument.bindings.front());
    }
    auto fused = make_op("tl.update_state", std::move(inputs), update.label());
    if (!update.outputs.empty()) give_output(*fused, std::move(update.outputs[0]));
    ops[write] = std::move(fused);
    kept_.push_back(std::move(ops[i]));
  }

  std::size_t place_of(const Op* op) const {
    const auto& ops = function_.body.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (ops[i].get() == op) return i;
    }
    return ops.size();
  }

  Function& function_;
  std::vector<std::unique_ptr<Op>> kept_;
};

}  // namespace

void update_in_place(Function& function) { Rewriter(function).run(); }

}  // namespace tl::pass
