#include "plan/device.hpp"

#include <hwy/targets.h>

#include <array>

#include "base/knobs.hpp"
#include "cpu/dot.hpp"
#include "cpu/kernel.hpp"
#include "cpu/products.hpp"
#include "pass/graph.hpp"

namespace tl::cpu {

namespace {

struct Row {
  std::string_view op;
  std::unique_ptr<Kernel> (*make)(const KernelRequest&);
};

constexpr std::array rows = {
#define TL_KERNEL(op, factory) Row{#op, &(factory)},
#include "cpu/kernels.inc"
#undef TL_KERNEL
};

struct ActivationName {
  std::string_view name;
  Activation kind;
};
constexpr std::array activation_names = {
    ActivationName{"clamp", Activation::clamp},
    ActivationName{"elu", Activation::elu},
    ActivationName{"gelu", Activation::gelu},
    ActivationName{"gelu_sigmoid", Activation::gelu_sigmoid},
    ActivationName{"gelu_tanh", Activation::gelu_tanh},
    ActivationName{"hard_sigmoid", Activation::hard_sigmoid},
    ActivationName{"hard_swish", Activation::hard_swish},
    ActivationName{"leaky_relu", Activation::leaky_relu},
    ActivationName{"sigmoid", Activation::sigmoid},
    ActivationName{"silu", Activation::silu},
    ActivationName{"tanh", Activation::tanh},
    ActivationName{"thresholded_relu", Activation::thresholded_relu},
};

class CpuDevice final : public plan::Device {
 public:
  explicit CpuDevice(plan::Precision precision) : precision_(precision) {
#if defined(__x86_64__)
    const std::int64_t level = knob_value(Knob::isa);
    std::int64_t off = 0;
    if (level == 1 || level == 2) off |= HWY_AVX3 | HWY_AVX3_DL;
    if (level == 2) off |= HWY_AVX2;
    if (off != 0) hwy::DisableTargets(off);
#endif
    offer_products();
  }
  std::string_view name() const noexcept override { return "cpu"; }
  std::unique_ptr<Kernel> compile(const ir::Op& op, int threads, const pass::Uses* uses) const override {
    const KernelRequest request{op, ir::Infer(op), static_cast<std::size_t>(threads), precision_, uses};
    for (const Row& row : rows) {
      if (row.op != op.type) continue;
      if (auto kernel = row.make(request)) return kernel;
    }
    return nullptr;
  }

 private:
  plan::Precision precision_;
};

}  // namespace

const ir::Var* KernelRequest::variable(std::string_view param) const {
  const ir::Argument* argument = op.argument(param);
  if (argument == nullptr || argument->bindings.size() != 1) return nullptr;
  const auto* var = std::get_if<ir::Var*>(&argument->bindings.front());
  return var == nullptr || (*var)->constant != nullptr ? nullptr : *var;
}

const ir::Op* KernelRequest::only_user(const ir::Var& var) const { return uses == nullptr ? nullptr : uses->only_user(var); }

const ir::Var* KernelRequest::read_before(const ir::Op* producer, std::string_view type, const ir::Op& reader) const {
  if (producer == nullptr || producer->type != type || only_user(*producer->outputs[0]) != &reader) return nullptr;
  const ir::Argument* x = producer->argument("x");
  const auto* var = x == nullptr ? nullptr : std::get_if<ir::Var*>(&x->bindings.front());
  return var == nullptr || (*var)->constant != nullptr ? nullptr : *var;
}

bool keeps_its_value(const ir::Var& var) {
  const ir::Op* op = var.producer;
  if (op == nullptr) return true;
  return op->def->pure && !op->def->view && op->type != "slice_by_index" && op->type != "transpose";
}

Shape KernelRequest::shape(std::string_view param) const {
  auto shape = ir::shape_of(view.type(param).tensor());
  if (!shape) fail(ErrorKind::internal, "'{}' has no shape when kernels are made", param);
  return std::move(*shape);
}

Shape KernelRequest::out_shape(std::size_t i) const { return *ir::shape_of(op.outputs[i]->type.tensor()); }

std::optional<Storage> storage_of(DType dtype) {
  if (dtype == DType::f16) return Storage::f16;
  if (dtype == DType::f32) return Storage::f32;
  return std::nullopt;
}

ActivationSpec activation_of(const KernelRequest& request) {
  if (request.op.argument("activation") == nullptr) return {};
  const std::string name = request.view.text("activation");
  ActivationSpec spec;
  for (const ActivationName& row : activation_names) {
    if (row.name == name) spec.kind = row.kind;
  }
  spec.alpha = static_cast<float>(request.view.number("alpha"));
  spec.beta = static_cast<float>(request.view.number("beta"));
  if (request.op.argument("threshold") != nullptr) spec.threshold = static_cast<float>(request.view.number("threshold"));
  return spec;
}

}  // namespace tl::cpu

namespace tl::plan {

const Device& cpu_device(Precision precision) {
  static const cpu::CpuDevice own(Precision::own);
  static const cpu::CpuDevice bf16(Precision::bf16);
  return precision == Precision::bf16 ? bf16 : own;
}

bool cpu_has_bf16() {
  cpu_device();  // applies the knob `isa`
  return cpu::bf16_kernels() != nullptr;
}

}  // namespace tl::plan
