#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

TL_OP(relu) {
  op.elementwise = true;
  op.in("x", dt::floats);
  op.infer = [](Infer& c) { c.out(c.type("x")); };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    for (double& v : values) v = v < 0 ? 0 : v;
    c.store(0, values);
  };
}

}  // namespace tl::op
