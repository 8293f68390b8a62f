#include "cpu/compressed.hpp"

#include <algorithm>

#include "op/blocks.hpp"

namespace tl::cpu {

using namespace ir;

const Op* constexpr_of(const KernelRequest& request, std::string_view param) {
  const Var* weight = request.variable(param);
  const Op* op = weight == nullptr ? nullptr : weight->producer;
  return op != nullptr && op->def->constexpr_op ? op : nullptr;
}

Tensor evaluated(const Op& op) {
  std::vector<std::vector<Value>> inputs;
  for (const Argument& given : op.inputs) {
    auto& bound = inputs.emplace_back();
    for (const Binding& binding : given.bindings) bound.push_back(constant_of(binding)->value);
  }
  return evaluate(op, std::move(inputs)).front().tensor();
}

std::optional<LevelWeights> level_weights(const KernelRequest& request, std::string_view param) {
  const Op* source = constexpr_of(request, param);
  return source == nullptr ? std::nullopt : op::level_weights(*source);
}

std::optional<NibbleWeights> nibble_weights(const KernelRequest& request, std::string_view param) {
  const Op* source = constexpr_of(request, param);
  if (source == nullptr) return std::nullopt;
  const bool palette = source->type == "constexpr_lut_to_dense";
  if (!palette && source->type != "constexpr_blockwise_shift_scale") return std::nullopt;
  const Shape shape = request.shape(param);
  if (shape.size() != 2 || shape[1] % 16 != 0) return std::nullopt;
  NibbleWeights result;
  result.nibbles = op::constant_argument(*source, palette ? "indices" : "data");
  if (!result.nibbles.defined() || bits(result.nibbles.dtype()) != 4) return std::nullopt;
  if (palette) {
    const Tensor table = op::constant_argument(*source, "lut");  // [blocks of rows, blocks of columns, 16, vector]
    if (source->argument("shape") != nullptr || table.rank() != 4 || table.dim(1) != 1 || table.dim(3) != 1)
      return std::nullopt;
    if (result.nibbles.shape() != shape || !is_floating(table.dtype())) return std::nullopt;
    result.table = op::widened(table);
    result.table_rows = uz(shape[0] / table.dim(0));
    return result;
  }
  const Tensor scale = op::constant_argument(*source, "scale");
  if (!scale.defined() || scale.rank() != 2) return std::nullopt;
  const auto offset = op::uniform_integer(op::constant_argument(*source, "offset"), 0);
  const std::int64_t blocks = scale.dim(1);
  if (!offset || shape[1] / blocks % 16 != 0) return std::nullopt;
  const bool is_signed = result.nibbles.dtype() == DType::i4;
  for (int i = 0; i < 16; ++i)
    result.table.push_back(static_cast<float>((is_signed && i >= 8 ? i - 16 : i) - static_cast<int>(*offset)));
  result.table_rows = uz(shape[0]);
  result.blocks = uz(blocks);
  result.scale = storage_of(scale.dtype()) ? scale : scale.cast(DType::f32);
  result.scale_rows = uz(shape[0] / scale.dim(0));
  return result;
}

float NibbleWeights::scale_at(std::size_t row, std::size_t block) const {
  if (!scale.defined()) return 1;
  const std::size_t at = row / scale_rows * blocks + block;
  return scale.dtype() == DType::f16 ? to_float(scale.values<f16>()[at]) : scale.values<float>()[at];
}

}  // namespace tl::cpu
