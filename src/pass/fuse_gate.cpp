#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

// A gate of what a threshold left takes the threshold in: coremltools writes hardswish that way.
std::unique_ptr<Op> hard_swish(Var* x, const Op& gate, const std::string& name) {
  std::vector<std::pair<std::string, Binding>> inputs = {{"alpha", *binding(gate, "alpha")}, {"beta", *binding(gate, "beta")}};
  const Op* source = x->producer;
  Var* before = source != nullptr && source->type == "thresholded_relu" ? variable(*source, "x") : nullptr;
  if (before != nullptr && binding(*source, "alpha") != nullptr && constant_floats(*source, "alpha").size() == 1) {
    inputs.emplace_back("x", before);
    inputs.emplace_back("threshold", *binding(*source, "alpha"));
  } else {
    inputs.emplace_back("x", x);
  }
  return make_op("tl.hard_swish", std::move(inputs), name);
}

}  // namespace

void fuse_gate(Function& function) {
  std::vector<std::unique_ptr<Op>> ops;
  for (auto& op : function.body.ops) {
    Var* x = op->type == "mul" ? variable(*op, "x") : nullptr;
    Var* y = op->type == "mul" ? variable(*op, "y") : nullptr;
    for (int order = 0; order < 2 && x != nullptr && y != nullptr; ++order, std::swap(x, y)) {
      const Op* gate = y->producer;
      if (gate == nullptr || (gate->type != "sigmoid" && gate->type != "sigmoid_hard") || variable(*gate, "x") != x) continue;
      if (gate->type == "sigmoid_hard" && (binding(*gate, "alpha") == nullptr || binding(*gate, "beta") == nullptr)) continue;
      std::unique_ptr<Op> fused =
          gate->type == "sigmoid" ? make_op("silu", {{"x", x}}, op->label()) : hard_swish(x, *gate, op->label());
      give_output(*fused, std::move(op->outputs[0]));
      op = std::move(fused);
      break;
    }
    ops.push_back(std::move(op));
  }
  set_ops(function, std::move(ops));
  remove_dead(function);
}

}  // namespace tl::pass
