#pragma once

#include "ir/op_def.hpp"
#include "op/integers.hpp"

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

// Maps the integers of `x` through `f(int64) -> int64`, wrapped to the output's type.
template <class F>
void map_integers(ir::Eval& c, F f) {
  auto values = c.integers("x");
  for (std::int64_t& v : values) v = wrapped(f(v), c.out_dtype());
  c.store(0, c.shape("x"), values);
}

}  // namespace tl::op
