#include <cmath>

#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

// What the op multiplies each channel with, and adds then; empty unless all parameters are constants.
struct Affine {
  std::vector<double> scale, shift;
};
std::optional<Affine> affine_of(const Op& op) {
  const std::vector<float> mean = constant_floats(op, "mean"), variance = constant_floats(op, "variance");
  const std::vector<float> epsilon = constant_floats(op, "epsilon");
  const std::vector<float> gamma = constant_floats(op, "gamma"), beta = constant_floats(op, "beta");
  const bool known = (gamma.empty() == (binding(op, "gamma") == nullptr)) && (beta.empty() == (binding(op, "beta") == nullptr));
  if (mean.empty() || mean.size() != variance.size() || epsilon.size() != 1 || !known) return std::nullopt;
  Affine result;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double scale = (gamma.empty() ? 1.0 : static_cast<double>(gamma[i])) /
                         std::sqrt(static_cast<double>(variance[i]) + static_cast<double>(epsilon[0]));
    if (!std::isfinite(scale)) return std::nullopt;
    result.scale.push_back(scale);
    result.shift.push_back((beta.empty() ? 0.0 : static_cast<double>(beta[i])) - scale * static_cast<double>(mean[i]));
  }
  return result;
}

// The weights and the bias of a convolution with the normalization of its result taken in; rounded once.
bool take(Op& conv, const Affine& affine) {
  const Binding* bound = binding(conv, "weight");
  const ConstantPtr constant = bound == nullptr ? nullptr : constant_of(*bound);
  const std::vector<float> bias = constant_floats(conv, "bias");
  if (constant == nullptr || bias.empty() != (binding(conv, "bias") == nullptr)) return false;
  const Tensor& weight = constant->value.tensor();
  const std::size_t channels = affine.scale.size();
  if (weight.dtype() != DType::f32 || weight.rank() < 3 || static_cast<std::size_t>(weight.dim(0)) != channels) return false;
  Tensor scaled(DType::f32, weight.shape()), shifted(DType::f32, {static_cast<std::int64_t>(channels)});
  const auto in = weight.values<float>();
  const auto out = scaled.mutable_values<float>();
  const std::size_t row = channels == 0 ? 1 : in.size() / channels;
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = static_cast<float>(static_cast<double>(in[i]) * affine.scale[i / row]);
  for (std::size_t i = 0; i < channels; ++i) {
    const double old = bias.empty() ? 0.0 : static_cast<double>(bias[i]);
    shifted.mutable_values<float>()[i] = static_cast<float>(old * affine.scale[i] + affine.shift[i]);
  }
  std::erase_if(conv.inputs, [](const Argument& a) { return a.name == "weight" || a.name == "bias"; });
  conv.inputs.push_back({"weight", {make_constant(std::move(scaled))}});
  conv.inputs.push_back({"bias", {make_constant(std::move(shifted))}});
  return true;
}

}  // namespace

// Values of float32 only: half precision weights would lose what the normalization keeps.
void fold_batch_norm(Function& function) {
  const Uses uses(function);
  auto& ops = function.body.ops;
  std::unordered_map<const Op*, std::size_t> place;
  for (std::size_t i = 0; i < ops.size(); ++i) place[ops[i].get()] = i;
  for (const auto& conv : ops) {
    if (conv == nullptr || conv->type != "conv") continue;
    Op* norm = uses.only_user(*conv->outputs[0]);
    if (norm == nullptr || norm->type != "batch_norm" || variable(*norm, "x") != conv->outputs[0].get()) continue;
    const auto affine = affine_of(*norm);
    if (!affine || norm->outputs[0]->type != conv->outputs[0]->type || !take(*conv, *affine)) continue;
    give_output(*conv, std::move(norm->outputs[0]));
    ops[place.at(norm)] = nullptr;
  }
  set_ops(function, std::move(ops));
}

}  // namespace tl::pass
