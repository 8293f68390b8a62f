#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/activation.hpp"
#include "cpu/gemm.hpp"

namespace tl::cpu {

// Functions of two floats, by MIL op. Columns of a run: out[i] = f(x[i * x_step], y[i * y_step]) with steps 0 or 1.
enum class Binary : std::uint8_t { add, sub, mul, real_div, maximum, minimum, mod, pow };
struct BinaryRun {
  Binary kind;
  Storage storage;
  const void* x;
  const void* y;
  void* out;
  std::size_t count, x_step, y_step;
  std::size_t x_period = 0, y_period = 0;  // not 0 (of one operand, steps of 1): it begins anew after so many elements
};
constexpr std::size_t longest_period = 1024;

// Functions of one float. `activation` takes its parameters from the run.
enum class Unary : std::uint8_t {
  activation,
  abs,
  acos,
  asin,
  atanh,
  ceil,
  clamped_relu,
  cosh,
  erf,
  exp,
  exp2,
  floor,
  inverse,
  linear,
  log,
  round,
  rsqrt,
  scaled_tanh,
  sign,
  sinh,
  softplus,
  softplus_parametric,
  softsign,
  sqrt,
  square,
  threshold
};
struct UnaryRun {
  Unary kind;
  Storage from, to;
  const void* x;
  void* out;
  std::size_t count;
  ActivationSpec activation;  // alpha and beta also serve those that MIL gives an alpha and a beta; alpha the epsilon of
                              // inverse, log, rsqrt
};

struct ElementwiseKernels {
  void (*binary)(const BinaryRun& run);
  void (*integers)(const BinaryRun& run);  // of int32, which wrap: add, sub, mul, maximum, minimum; without periods
  void (*unary)(const UnaryRun& run);
};
const ElementwiseKernels& elementwise_kernels();

}  // namespace tl::cpu
