#pragma once

#include <memory>
#include <unordered_set>

#include "ir/program.hpp"

namespace tl::insight {

using OpSet = std::unordered_set<const ir::Op*>;

// How the float16 and float32 values of a function are computed; all other types stay as they are.
struct Precision {
  enum class Base {
    own,     // as the function says
    lower,   // float32 ops in float16, by the rules of coremltools' FP16ComputePrecision
    single,  // all in float32
  };
  Base base = Base::own;
  OpSet keep;                    // ops in float32 whatever `base` says; complete it with `close`
  bool mixed_parameters = true;  // the opset is iOS 17 or later, which lets some parameters stay in float32

  // Adds the float casts between ops of `keep`, so that a value passes between them without a rounding.
  void close(const ir::Function& function);
  bool raised(const ir::Op& op) const { return base == Base::single || keep.count(&op) != 0; }
  // The dtype in which `op` reads an argument that is declared as `declared`.
  DType wanted(const ir::Op& op, std::string_view param, DType declared) const;
  // The dtype for the values that enter or leave the blocks of `op`.
  DType at_border(const ir::Op& op, DType declared) const;
};

// True for ops that may be moved to another precision: those that compute with floats. Constants, lists, states and casts
// between floats are not (the casts follow their neighbours).
bool choosable(const ir::Op& op);
bool is_float_cast(const ir::Op& op);
inline bool half_or_single(DType dtype) noexcept { return dtype == DType::f16 || dtype == DType::f32; }
// The dtype when the type is a tensor of float16 or float32.
bool is_float(const ir::Type& type) noexcept;

// The value in float16 or float32. `constant`: numbers that float16 would round to zero become its smallest, as
// coremltools has it.
Tensor in_precision(const Tensor& value, DType dtype, bool constant);
// True for an argument that names float16 or float32 as the dtype of the result.
bool names_float(const ir::Op& op, std::string_view param, const Value& value);

// The function with these precisions written out: casts inserted, constants of ops that moved converted. What is read stays
// under its name; a result in another precision than declared is called NAME_fp32 or NAME_fp16.
std::unique_ptr<ir::Function> write_out(const ir::Function& function, const Precision& precision);

}  // namespace tl::insight
