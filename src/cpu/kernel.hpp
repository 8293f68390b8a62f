#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/thread_pool.hpp"
#include "cpu/activation.hpp"
#include "cpu/cache_line.hpp"
#include "cpu/gemm.hpp"
#include "ir/op_def.hpp"
#include "plan/device.hpp"
#include "plan/memory.hpp"

namespace tl::cpu {

using plan::Kernel;
using plan::KernelArgs;
using plan::Status;

// What a factory sees: an op whose output shapes are concrete, and the threads that will run it.
struct KernelRequest {
  const ir::Op& op;
  ir::Infer view;  // constants by name
  std::size_t threads;
  plan::Precision precision = plan::Precision::own;
  const pass::Uses* uses = nullptr;

  // The variable an argument is bound to; null when it is a constant or absent.
  const ir::Var* variable(std::string_view param) const;
  // The op of the function that alone reads `var`; null when several do, a nested block or the function's outputs, or when it
  // is not known.
  const ir::Op* only_user(const ir::Var& var) const;
  // What `op` reads as x, if it is of that type and `reader` alone reads what it makes; null otherwise.
  const ir::Var* read_before(const ir::Op* op, std::string_view type, const ir::Op& reader) const;
  // The constant bound to an argument or its default; undefined otherwise.
  Tensor constant(std::string_view param) const { return view.known(param); }
  Shape shape(std::string_view param) const;  // of a variable or a constant
  Shape out_shape(std::size_t i = 0) const;
};

// True when a variable may be read later than where its readers stand: it holds no bytes of a state.
bool keeps_its_value(const ir::Var& var);

// Null when the dtype is neither fp16 nor fp32.
std::optional<Storage> storage_of(DType dtype);
// The `activation`, `alpha` and `beta` arguments.
ActivationSpec activation_of(const KernelRequest& request);

#define TL_KERNEL(op, factory) std::unique_ptr<Kernel> factory(const KernelRequest& request);
#include "cpu/kernels.inc"
#undef TL_KERNEL

}  // namespace tl::cpu
