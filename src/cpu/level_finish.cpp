#include "cpu/level_finish.hpp"

#include <cmath>

#include "base/f16.hpp"
#include "base/finite.hpp"
#include "cpu/conv.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t most_lanes = 64;  // read behind the last column

Requantized levels_told(const KernelRequest& request, const std::string& prefix, bool is_signed) {
  Requantized levels;
  levels.used = request.op.argument(prefix + "_scale") != nullptr;
  if (!levels.used) return levels;
  levels.is_signed = is_signed;
  levels.scale = static_cast<float>(request.view.number(prefix + "_scale"));
  levels.zero = static_cast<float>(request.view.number(prefix + "_zero_point"));
  return levels;
}

bool is_half(float x) { return to_float(to_f16(x)) == x; }

bool quick(const Requantized& q) {
  return !q.used ||
         (is_half(q.scale) && std::isfinite(q.scale) && q.scale != 0 && q.zero == std::trunc(q.zero) && std::abs(q.zero) < 256);
}

}  // namespace

LevelEpilogue::LevelEpilogue(const KernelRequest& request, std::vector<float> scale, std::vector<float> bias)
    : scale_(std::move(scale)), bias_(std::move(bias)) {
  const auto told = [&](const std::string& prefix) {
    return levels_told(request, prefix,
                       request.op.argument(prefix + "_dtype") != nullptr && request.view.text(prefix + "_dtype") == "int8");
  };
  finish_.storage = *storage_of(request.view.dtype("x"));
  finish_.activation = activation_of(request);
  finish_.middle = told("mid");
  finish_.levels = told("y");
  const ir::Var* residual = request.variable("residual");
  if (residual != nullptr) finish_.residual = levels_told(request, "residual", residual->type.tensor().dtype == DType::i8);
  added_ = residual != nullptr;
  values_ = request.op.outputs.size() > 1;
  bias_.resize(scale_.size(), 0.0F);
  const ActivationSpec& act = finish_.activation;
  finish_.exact = finish_.storage == Storage::f16 && quick(finish_.middle) && quick(finish_.levels) &&
                  quick(finish_.residual) && all_finite(scale_) && all_finite(bias_) && is_half(act.alpha) && is_half(act.beta);
  scale_.resize(scale_.size() + most_lanes, 0.0F);
  bias_.resize(scale_.size(), 0.0F);
  if (finish_.middle.used && finish_.levels.used && residual == nullptr && !values_) {
    table_.resize(256);
    level_kernels().relevel(finish_, table_.data());
    finish_.table = table_.data();
  }
}

LevelRow LevelEpilogue::columns(std::size_t column) const noexcept {
  LevelRow row{};
  row.scale = scale_.data() + column;
  row.bias = bias_.data() + column;
  return row;
}

LevelRow LevelEpilogue::row(const KernelArgs& args, std::size_t offset, std::size_t column) const noexcept {
  LevelRow row = columns(column);
  if (added_) row.residual = args.inputs[1] + (offset + column) * finish_.residual_bytes();
  row.out = args.outputs[0] + (offset + column) * finish_.out_bytes();
  if (values_) row.values = args.outputs[1] + (offset + column) * size_of(finish_.storage);
  return row;
}

}  // namespace tl::cpu
