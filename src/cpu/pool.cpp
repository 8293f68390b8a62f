#include "cpu/pool.hpp"

#include <algorithm>

#include "cpu/kernel.hpp"
#include "op/window.hpp"

namespace tl::cpu {
namespace {

class PoolKernel final : public Kernel {
 public:
  PoolKernel(const KernelRequest& request, Storage storage) : rows_(pool_rows()), threads_(request.threads) {
    const Shape x = request.shape("x");
    const auto axes = op::pool_geometry(request.view, {x[0], x[3], x[1], x[2]});
    const op::WindowAxis& h = axes[0];
    const op::WindowAxis& w = axes[1];
    shape_.batch = uz(x[0]);
    shape_.in_c = shape_.out_c = uz(x[3]);
    shape_.in_h = uz(h.in);
    shape_.out_h = uz(h.out);
    shape_.kernel_h = uz(h.kernel);
    shape_.stride_h = uz(h.stride);
    shape_.pad_top = static_cast<std::ptrdiff_t>(h.before);
    shape_.in_w = uz(w.in);
    shape_.out_w = uz(w.out);
    shape_.kernel_w = uz(w.kernel);
    shape_.stride_w = uz(w.stride);
    shape_.pad_left = static_cast<std::ptrdiff_t>(w.before);
    args_.maximum = request.op.type == "tl.max_pool";
    args_.exclude_padding = !args_.maximum && request.view.boolean("exclude_padding_from_average");
    args_.pad_bottom = static_cast<std::ptrdiff_t>(h.after);
    args_.pad_right = static_cast<std::ptrdiff_t>(w.after);
    args_.storage = storage;
    inputs.push_back(request.variable("x"));
  }

  std::string_view name() const noexcept override { return args_.maximum ? "max_pool" : "avg_pool"; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t rows = shape_.batch * shape_.out_h;
    const std::size_t tasks = std::min(rows, threads_ * 4);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
      PoolArgs a = args_;
      a.shape = &shape_;
      a.x = args.inputs[0];
      a.y = args.outputs[0];
      a.row_begin = rows * task / tasks;
      a.row_end = rows * (task + 1) / tasks;
      rows_(a);
    });
    return {};
  }

 private:
  PoolRows rows_;
  std::size_t threads_;
  ConvShape shape_;
  PoolArgs args_{};
};

}  // namespace

std::unique_ptr<Kernel> pool_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  if (!storage || request.variable("x") == nullptr || element_count(request.out_shape()) == 0) return nullptr;
  return std::make_unique<PoolKernel>(request, *storage);
}

}  // namespace tl::cpu
