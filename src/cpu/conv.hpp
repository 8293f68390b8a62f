#pragma once

#include "cpu/im2col.hpp"
#include "cpu/kernel.hpp"

namespace tl::cpu {

// What the kernels of tl.conv and tl.linear read from their op.
ConvShape conv_shape(const KernelRequest& request);
ConvShape linear_shape(const KernelRequest& request);

struct Weights {
  Tensor values;
  Storage storage;
};
// `scaled`: with the `scale` of tl.linear, if it has one, taken in: floats, nothing where some overflow.
std::optional<Weights> weights_of(const KernelRequest& request, bool scaled = true);
bool finite(const Weights& weights) noexcept;
// Whether taps that meet padding may be left out: zeros times weights that are not finite give NaN.
bool may_skip_padding(const ConvShape& shape, const Weights& weights) noexcept;
std::vector<float> bias_of(const KernelRequest& request, bool scaled = true);
// Of each column of tl.linear; empty: none.
std::vector<float> scale_of(const KernelRequest& request);
// What both ways through Winograd read: a 3x3 convolution of float16 without groups or dilation, whose channels fill blocks.
struct WinogradInput {
  ConvShape shape;
  Weights weights;
};
// Nothing for other convolutions, and where memory counts more than time.
std::optional<WinogradInput> winograd_input(const KernelRequest& request);
// A variable x of floats, nothing empty.
bool usable(const KernelRequest& request);

// Inputs: x and, perhaps, residual, whose buffer the result may take over.
class WeightKernel : public Kernel {
 public:
  bool can_share(std::size_t input) const noexcept override { return input == 1; }

 protected:
  WeightKernel(const KernelRequest& request, const ConvShape& shape)
      : shape_(shape),
        storage_(*storage_of(request.view.dtype("x"))),
        activation_(activation_of(request)),
        threads_(request.threads) {
    inputs.push_back(request.variable("x"));
    if (const ir::Var* residual = request.variable("residual")) inputs.push_back(residual);
  }
  const std::byte* residual_of(const KernelArgs& args) const noexcept { return inputs.size() > 1 ? args.inputs[1] : nullptr; }

  ConvShape shape_;
  Storage storage_;
  ActivationSpec activation_;
  std::size_t threads_;
};

}  // namespace tl::cpu
