#include "cpu/levels.hpp"

#include "cpu/compressed.hpp"
#include "cpu/parallel.hpp"

namespace tl::cpu {
namespace {

// quantize and dequantize by one scale.
class LevelKernel final : public Kernel {
 public:
  LevelKernel(const ir::Var* input, const Requantized& levels, bool to_levels, Storage storage, std::size_t count,
              std::size_t threads)
      : levels_(levels), to_levels_(to_levels), storage_(storage), count_(count) {
    inputs.push_back(input);
    tasks_ = count < parallel_elements ? 1 : threads;
  }

  std::string_view name() const noexcept override { return to_levels_ ? "quantize" : "dequantize"; }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(tasks_, [&](std::size_t task, std::size_t) {
      const std::size_t first = count_ * task / tasks_;
      const std::size_t count = count_ * (task + 1) / tasks_ - first;
      const std::size_t width = size_of(storage_);
      if (to_levels_) {
        level_kernels().quantize(args.inputs[0] + first * width, storage_, levels_,
                                 reinterpret_cast<std::uint8_t*>(args.outputs[0]) + first, count);
      } else {
        level_kernels().dequantize(reinterpret_cast<const std::uint8_t*>(args.inputs[0]) + first, levels_,
                                   args.outputs[0] + first * width, storage_, count);
      }
    });
    return {};
  }

 private:
  Requantized levels_;
  bool to_levels_;
  Storage storage_;
  std::size_t count_, tasks_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> quantize_kernel(const KernelRequest& request) {
  const ir::Var* input = request.variable("input");
  const auto storage = storage_of(request.view.dtype("input"));
  const Tensor scale = request.constant("scale");
  const Tensor zero = request.constant("zero_point");
  if (input == nullptr || !storage || scale.size() != 1 || request.op.argument("axis") != nullptr) return nullptr;
  if (zero.defined() && zero.size() != 1) return nullptr;
  Requantized levels;
  levels.is_signed = request.view.text("output_dtype") == "int8";
  levels.scale = static_cast<float>(scale.number_at(0));
  levels.zero = zero.defined() ? static_cast<float>(zero.number_at(0)) : 0;
  return std::make_unique<LevelKernel>(input, levels, true, *storage, uz(element_count(request.out_shape())), request.threads);
}

std::unique_ptr<Kernel> dequantize_kernel(const KernelRequest& request) {
  const auto found = level_input(request.op.outputs[0].get());
  const auto storage = storage_of(request.op.outputs[0]->type.tensor().dtype);
  if (!found || !storage) return nullptr;
  const Requantized levels{true, found->is_signed, found->scale, static_cast<float>(found->zero)};
  return std::make_unique<LevelKernel>(found->levels, levels, false, *storage, uz(element_count(request.out_shape())),
                                       request.threads);
}

}  // namespace tl::cpu
