#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "ir/op_def.hpp"

namespace {

using namespace tl;

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ >= size_; }
  std::uint8_t next() { return at_ < size_ ? data_[at_++] : std::uint8_t{0}; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

double number(std::uint8_t code) {
  constexpr double special[] = {0x1p31,          -0x1p31,          0x1p31 - 1, __builtin_nan(""),
                                __builtin_inf(), -__builtin_inf(), -0.0,       0x1p-149};
  return code >= 248 ? special[code - 248] : code < 200 ? code % 8 : -(code % 8);
}

Tensor tensor(Bytes& bytes, const ir::Param& param) {
  std::vector<DType> dtypes;
  for (int i = 0; i <= static_cast<int>(DType::string); ++i) {
    if ((param.dtypes & ir::dt::of(static_cast<DType>(i))) != 0) dtypes.push_back(static_cast<DType>(i));
  }
  const DType dtype = dtypes[bytes.next() % dtypes.size()];
  if (dtype == DType::string) {
    if (param.fallback.defined() && bytes.next() % 4 != 0) return param.fallback;
    std::string text;
    for (auto length = bytes.next() % 24; length > 0; --length) text += static_cast<char>(bytes.next());
    return Tensor::scalar(text);
  }
  Shape shape(bytes.next() % 6);
  for (std::int64_t& extent : shape) extent = bytes.next() % 5;
  Tensor wide(DType::f64, shape);
  for (double& v : wide.mutable_values<double>()) v = number(bytes.next());
  return wide.cast(dtype);
}

}  // namespace

// An op and its arguments: the first two bytes pick the op, the rest types, extents and values. What is refused or would make
// over a million elements ends there.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const auto ops = ir::all_ops();
  const std::size_t pick = bytes.next();
  const ir::OpDef& def = *ops[(pick | std::size_t{bytes.next()} << 8) % ops.size()];
  ir::Op op;
  op.type = def.name;
  op.def = &def;
  std::vector<std::vector<Value>> values;
  try {
    for (const ir::Param& param : def.params) {
      if (param.non_tensor) return 0;
      if (!param.required && bytes.next() % 2 == 0) continue;
      ir::Argument& argument = op.inputs.emplace_back();
      argument.name = param.name;
      auto& bound = values.emplace_back();
      for (int i = param.is_variadic ? bytes.next() % 3 : 0; i >= 0; --i) {
        bound.emplace_back(tensor(bytes, param));
        argument.bindings.emplace_back(ir::make_constant(bound.back().tensor()));
      }
    }
    for (const ir::Type& type : ir::infer_types(op)) {
      const auto shape = type.is_tensor() ? ir::shape_of(type.tensor()) : std::nullopt;
      if (!shape || element_count(*shape) > (1 << 20)) return 0;
    }
    ir::evaluate(op, std::move(values));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) __builtin_trap();
  }
  return 0;
}
