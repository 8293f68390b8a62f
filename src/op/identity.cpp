#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

// The loader turns `const` into Var::constant; its value stands in the attribute `val`.
TL_OP(const) {
  op.infer = [](Infer& c) {
    const ConstantPtr value = c.op().attribute("val");
    if (value == nullptr) c.reject("val", "required attribute is missing");
    c.out(value->type);
  };
  op.eval = [](Eval& c) { c.set(0, c.op().attribute("val")->value); };
}

TL_OP(identity) {
  op.in("x", dt::any).any_kind();
  op.infer = [](Infer& c) { c.out(c.type("x")); };
  op.eval = [](Eval& c) { c.set(0, c.value("x")); };
}

}  // namespace tl::op
