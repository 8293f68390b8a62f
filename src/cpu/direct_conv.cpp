#include "cpu/direct_conv.hpp"

#include <algorithm>

#include "base/f16.hpp"
#include "base/finite.hpp"
#include "cpu/kernel.hpp"

namespace tl::cpu {
namespace {

// Convolutions and transposed ones that no channels-last kernel takes: three axes, weights that are computed.
class DirectConvKernel final : public Kernel {
 public:
  DirectConvKernel(const KernelRequest& request, op::DirectConv conv)
      : conv_(std::move(conv)), add_(accumulate_kernel()), threads_(request.threads) {
    for (std::size_t i = 0; i < operands_.size(); ++i) add_operand(request, i);
    const std::size_t row = std::max<std::size_t>(conv_.row_length(), 1);
    scratch_ = rounded((conv_.scratch_floats() + row) * sizeof(float));
    if (conv_.arranges() || operands_[0].storage != Storage::f32)
      arranged_ = rounded(uz(conv_.input_rows()) * conv_.arranged_length() * sizeof(float));
    for (const std::size_t i : {1U, 2U}) {
      if (operands_[i].storage != Storage::f32) wide_[i] = rounded(operands_[i].count * sizeof(float));
    }
    if (const Tensor& weight = operands_[1].constant; weight.defined()) finite_ = all_finite(weight.values<float>());
  }

  std::string_view name() const noexcept override { return "direct_conv"; }
  plan::Workspace workspace() const noexcept override { return {arranged_ + wide_[1] + wide_[2], scratch_}; }

  Status run(const KernelArgs& args) const noexcept override {
    std::byte* place = args.shared;
    const float* x = input(args, place);
    place += arranged_;
    const float* weight = wide(args, 1, place);
    place += wide_[1];
    const float* bias = wide(args, 2, place);
    const bool finite = finite_ ? *finite_ : all_finite({weight, operands_[1].count});
    const std::size_t rows = uz(conv_.rows());
    const std::size_t tasks = std::min(rows, threads_ * 8);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      auto* scratch = reinterpret_cast<float*>(args.own(worker));
      for (std::size_t r = rows * task / tasks; r < rows * (task + 1) / tasks; ++r) {
        const auto row = conv_.compute(iz(r), x, weight, bias, scratch, add_, finite);
        for (std::size_t k = 0; k < row.channels; ++k)
          put(scratch + k * row.width, args.outputs[0], row.offset + k * row.channel_stride, row.width);
      }
    });
    return {};
  }

 private:
  struct Operand {
    Tensor constant;
    std::size_t slot = 0, count = 0;
    Storage storage = Storage::f32;
  };

  void add_operand(const KernelRequest& request, std::size_t i) {
    static constexpr std::array<const char*, 3> params = {"x", "weight", "bias"};
    Operand& operand = operands_[i];
    if (const ir::Var* var = request.variable(params[i])) {
      operand.slot = inputs.size();
      inputs.push_back(var);
      operand.count = uz(element_count(request.shape(params[i])));
      operand.storage = *storage_of(request.view.dtype(params[i]));
    } else if (const Tensor constant = request.constant(params[i]); constant.defined()) {
      operand.constant = constant.cast(DType::f32);
      operand.count = uz(constant.size());
    }
  }

  const std::byte* bytes(const KernelArgs& args, const Operand& operand) const noexcept {
    return operand.constant.defined() ? operand.constant.data() : args.inputs[operand.slot];
  }

  // Null where there is none.
  const float* wide(const KernelArgs& args, std::size_t i, std::byte* place) const noexcept {
    const Operand& operand = operands_[i];
    if (operand.count == 0) return nullptr;
    if (operand.storage == Storage::f32) return reinterpret_cast<const float*>(bytes(args, operand));
    auto* out = reinterpret_cast<float*>(place);
    f16_to_f32(reinterpret_cast<const f16*>(bytes(args, operand)), out, operand.count);
    return out;
  }

  const float* input(const KernelArgs& args, std::byte* place) const noexcept {
    const std::byte* x = bytes(args, operands_[0]);
    if (arranged_ == 0) return reinterpret_cast<const float*>(x);
    auto* out = reinterpret_cast<float*>(place);
    const std::size_t rows = uz(conv_.input_rows());
    const std::size_t tasks = std::min(rows, threads_ * 4);
    const std::size_t length = conv_.row_length();
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      auto* row = reinterpret_cast<float*>(args.own(worker));
      for (std::size_t r = rows * task / tasks; r < rows * (task + 1) / tasks; ++r) {
        float* to = out + r * conv_.arranged_length();
        if (operands_[0].storage == Storage::f32) {
          conv_.arrange(reinterpret_cast<const float*>(x) + r * length, to);
        } else if (conv_.arranges()) {
          f16_to_f32(reinterpret_cast<const f16*>(x) + r * length, row, length);
          conv_.arrange(row, to);
        } else {
          f16_to_f32(reinterpret_cast<const f16*>(x) + r * length, to, length);
        }
      }
    });
    return out;
  }

  void put(const float* row, std::byte* out, std::size_t offset, std::size_t count) const noexcept {
    if (operands_[0].storage == Storage::f32) {
      std::copy_n(row, count, reinterpret_cast<float*>(out) + offset);
    } else {
      f32_to_f16(row, reinterpret_cast<f16*>(out) + offset, count);
    }
  }

  op::DirectConv conv_;
  op::DirectConv::Accumulate add_;
  std::size_t threads_, scratch_ = 0, arranged_ = 0;
  std::array<Operand, 3> operands_;       // x, weight, bias
  std::array<std::size_t, 3> wide_ = {};  // bytes of those that are widened first
  std::optional<bool> finite_;            // constant weights
};

}  // namespace

std::unique_ptr<Kernel> direct_conv(const KernelRequest& request) {
  for (const char* param : {"x", "weight", "bias"}) {
    if (request.op.argument(param) != nullptr && !storage_of(request.view.dtype(param))) return nullptr;
  }
  if (request.variable("x") == nullptr || element_count(request.out_shape()) == 0) return nullptr;
  const Shape x = request.shape("x"), weight = request.shape("weight");
  const bool transposed = request.op.type == "conv_transpose";
  auto geometry =
      transposed ? op::conv_transpose_geometry(request.view, x, weight) : op::conv_geometry(request.view, x, weight);
  return std::make_unique<DirectConvKernel>(request, op::DirectConv(std::move(geometry), transposed));
}

}  // namespace tl::cpu
