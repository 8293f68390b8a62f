#include "op/levels.hpp"

#include <algorithm>
#include <cmath>

#include "op/blocks.hpp"

namespace tl::op {

using namespace ir;

Tensor constant_argument(const Op& op, std::string_view param) {
  const Argument* found = op.argument(param);
  const ConstantPtr constant = found == nullptr ? nullptr : constant_of(found->bindings.front());
  return constant == nullptr ? Tensor() : constant->value.tensor();
}

std::optional<std::int64_t> uniform_integer(const Tensor& values, std::int64_t absent) {
  if (!values.defined()) return absent;
  const std::vector<float> wide = widened(values);
  if (wide.empty() || std::any_of(wide.begin(), wide.end(), [&](float v) { return v != wide[0]; })) return std::nullopt;
  if (!(std::abs(wide[0]) < 0x1p24F)) return std::nullopt;
  return wide[0] == static_cast<float>(static_cast<int>(wide[0])) ? std::optional<std::int64_t>(static_cast<int>(wide[0]))
                                                                  : std::nullopt;
}

std::optional<LevelWeights> level_weights(const Op& op) {
  const bool affine = op.type == "constexpr_affine_dequantize";
  if (!affine && op.type != "constexpr_blockwise_shift_scale") return std::nullopt;
  Tensor data = constant_argument(op, affine ? "quantized_data" : "data");
  const Tensor scale = constant_argument(op, "scale");
  const Tensor zero = constant_argument(op, affine ? "zero_point" : "offset");
  if (!data.defined() || !scale.defined() || data.rank() == 0 || data.size() == 0) return std::nullopt;
  if (data.dtype() != DType::i8 && data.dtype() != DType::u8) return std::nullopt;
  const bool is_signed = data.dtype() == DType::i8;
  if (uniform_integer(zero, 0) != (is_signed ? 0 : 128)) return std::nullopt;
  const std::int64_t rows = data.dim(0);
  if (affine && scale.size() != 1) {
    const std::int64_t axis = constant_argument(op, "axis").integer_at(0);
    if (axis != 0 && axis != -static_cast<std::int64_t>(data.rank())) return std::nullopt;
  }
  if (scale.size() != 1 && (scale.size() != rows || (!affine && scale.dim(0) != rows))) return std::nullopt;
  LevelWeights result;
  result.scale = widened(scale);
  result.scale.resize(uz(rows), result.scale.front());
  if (is_signed) {
    result.levels = data;
  } else {
    result.levels = Tensor(DType::i8, data.shape());
    const auto from = data.values<std::uint8_t>();
    const auto to = result.levels.mutable_values<std::int8_t>();
    std::transform(from.begin(), from.end(), to.begin(), [](std::uint8_t v) { return static_cast<std::int8_t>(v - 128); });
  }
  return result;
}

std::optional<LevelInput> level_input(const Var* x) {
  const Op* op = x == nullptr ? nullptr : x->producer;
  if (op == nullptr || op->type != "dequantize" || op->argument("axis") != nullptr) return std::nullopt;
  const Var* const* levels = std::get_if<Var*>(&op->argument("input")->bindings.front());
  const Tensor scale = constant_argument(*op, "scale");
  const auto zero = uniform_integer(constant_argument(*op, "zero_point"), 0);
  if (levels == nullptr || (*levels)->constant != nullptr || !scale.defined() || scale.size() != 1 || !zero)
    return std::nullopt;
  LevelInput result;
  result.levels = *levels;
  result.is_signed = (*levels)->type.tensor().dtype == DType::i8;
  result.scale = static_cast<float>(scale.number_at(0));
  result.zero = static_cast<std::int32_t>(*zero);
  return result;
}

}  // namespace tl::op
