#include "op/opset.hpp"

#include <algorithm>
#include <charconv>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr int first_version = 15, half_features = 16, small_integers = 17, states = 18;

struct OpRow {
  std::string_view op, versions;
};
constexpr OpRow op_rows[] = {
#define TL_OP_FACT(op, versions, deviation) {#op, versions},
#include "op/op_facts.inc"
#undef TL_OP_FACT
};

struct ParamRow {
  std::string_view op, param;
  int version;
};
constexpr ParamRow param_rows[] = {
#define TL_OPSET_PARAM(op, param, version) {#op, #param, version},
#include "op/opset_params.inc"
#undef TL_OPSET_PARAM
};

int since(const Op& op) {
  const auto row = std::find_if(std::begin(op_rows), std::end(op_rows), [&](const OpRow& r) { return r.op == op.type; });
  int version = first_version;
  if (row != std::end(op_rows)) std::from_chars(row->versions.data(), row->versions.data() + row->versions.size(), version);
  for (const ParamRow& r : param_rows) {
    if (r.op == op.type && op.argument(r.param) != nullptr) version = std::max(version, r.version);
  }
  return version;
}

int since(DType dtype) {
  const bool small = dtype == DType::i8 || dtype == DType::u8 || dtype == DType::i16 || dtype == DType::u16;
  return small ? small_integers : first_version;
}

int since(const Type& type) {
  if (const auto* tensor = type.as<TensorType>()) return since(tensor->dtype);
  return type.as<StateType>() != nullptr ? states : first_version;
}

// Before iOS 17 the floats that an op reads are all of one type, and recurrent ops read single ones.
int since_operands(const Op& op) {
  bool half = false, single = false;
  int version = first_version;
  for (const Argument& argument : op.inputs) {
    for (const Binding& binding : argument.bindings) {
      const Type type = type_of(binding);
      version = std::max(version, since(type));
      const auto* tensor = type.as<TensorType>();
      half = half || (tensor != nullptr && tensor->dtype == DType::f16);
      single = single || (tensor != nullptr && tensor->dtype == DType::f32);
    }
  }
  const bool recurrent = op.type == "rnn" || op.type == "gru" || op.type == "lstm";
  if (half && (single || recurrent)) version = std::max(version, small_integers);
  for (const auto& output : op.outputs) version = std::max(version, since(output->type));
  return version;
}

bool half(const Var& var) {
  const auto* tensor = var.type.as<TensorType>();
  return tensor != nullptr && tensor->dtype == DType::f16;
}

}  // namespace

std::string lowest_opset(const Function& function) {
  int version = first_version;
  for (const auto& input : function.inputs) {
    version = std::max({version, since(input->type), half(*input) ? half_features : 0});
  }
  for (const Var* output : function.body.outputs) version = std::max(version, half(*output) ? half_features : 0);
  for_each_op(function.body, [&](const Op& op) {
    if (!op.type.starts_with("constexpr_") && op.type != "const") version = std::max(version, since_operands(op));
    version = std::max(version, since(op));
  });
  return "ios" + std::to_string(version);
}

}  // namespace tl::op
