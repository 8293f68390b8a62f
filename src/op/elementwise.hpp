#pragma once

#include "ir/op_def.hpp"

namespace tl::op {

// The output has the type of the parameter `x`.
inline void infer_same(ir::Infer& c) { c.out(c.type("x")); }

// Maps the elements of `x` through `f(double) -> double`, rounded once.
template <class F>
void map_elements(ir::Eval& c, F f) {
  auto values = c.doubles("x");
  for (double& v : values) v = f(v);
  c.store(0, c.shape("x"), values);
}

}  // namespace tl::op
