#include "cpu/plane_pool.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/f16.hpp"
#include "cpu/kernel.hpp"
#include "op/window.hpp"

namespace tl::cpu {
namespace {

struct PoolRow {
  std::string_view op;
  Pool kind;
};
constexpr std::array pool_rows = {PoolRow{"max_pool", Pool::max}, PoolRow{"avg_pool", Pool::average},
                                  PoolRow{"l2_pool", Pool::l2}};

// Pools over the planes of MIL's layout, [N, C, (D, (H,)) W]: what no channels-last kernel takes.
class PlanePool final : public Kernel {
 public:
  PlanePool(const KernelRequest& request, Pool kind, Storage storage)
      : pools_(plane_pools()), kind_(kind), storage_(storage), threads_(request.threads) {
    const Shape x = request.shape("x");
    const auto list = op::pool_geometry(request.view, x);
    std::copy(list.begin(), list.end(), axes_.end() - static_cast<std::ptrdiff_t>(list.size()));
    exclude_ = kind == Pool::average && request.view.boolean("exclude_padding_from_average");
    planes_ = uz(x[0] * x[1]);
    if (kind == Pool::max) start_ = -std::numeric_limits<float>::infinity();
    const op::WindowAxis& w = axes_[2];
    phase_ = (uz(w.in) + uz(w.stride) - 1) / uz(w.stride);
    wide_ = uz(w.in) * (storage == Storage::f32 ? 0 : 1);
    split_ = w.stride == 1 ? 0 : phase_ * uz(std::min(w.stride, w.in));
    scratch_ = rounded((wide_ + split_ + uz(w.out)) * sizeof(float));
    if (kind == Pool::average) {
      for (std::int64_t o = 0; o < w.out; ++o) areas_.push_back(static_cast<float>(exclude_ ? taps(w, o) : covered(w, o)));
    }
    inputs.push_back(request.variable("x"));
  }

  std::string_view name() const noexcept override { return "plane_pool"; }
  plan::Workspace workspace() const noexcept override { return {0, scratch_}; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t rows = planes_ * uz(axes_[0].out * axes_[1].out);
    const std::size_t tasks = std::min(rows, threads_ * 4);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      auto* scratch = reinterpret_cast<float*>(args.own(worker));
      for (std::size_t r = rows * task / tasks; r < rows * (task + 1) / tasks; ++r) row(args, iz(r), scratch);
    });
    return {};
  }

 private:
  static std::int64_t covered(const op::WindowAxis& axis, std::int64_t o) noexcept {
    const std::int64_t first = o * axis.stride - axis.before;
    return std::max<std::int64_t>(0, std::min(first + axis.kernel, axis.in + axis.after) - first);
  }
  static std::int64_t taps(const op::WindowAxis& axis, std::int64_t o) noexcept {
    const op::IndexRange range = axis.taps(o);
    return std::max<std::int64_t>(0, range.last - range.first);
  }

  // A row of the input by phases, in `scratch` unless it is one already.
  const float* input(const KernelArgs& args, std::int64_t offset, float* scratch) const noexcept {
    const float* row = reinterpret_cast<const float*>(args.inputs[0]) + offset;
    if (storage_ == Storage::f16) {
      f16_to_f32(reinterpret_cast<const f16*>(args.inputs[0]) + offset, scratch, uz(axes_[2].in));
      row = scratch;
    }
    if (split_ == 0) return row;
    pools_.split(row, uz(axes_[2].in), uz(axes_[2].stride), scratch + wide_, phase_);
    return scratch + wide_;
  }

  void gather(const float* phases, float* sums) const noexcept {
    const op::WindowAxis& w = axes_[2];
    // A window may be far longer than the axis: only these of its taps meet the input.
    const std::int64_t first = std::max<std::int64_t>(0, w.before - (w.out - 1) * w.stride);
    const std::int64_t last = std::min(w.kernel, w.before + w.in);
    for (std::int64_t k = first; k < last; ++k) {
      const op::IndexRange inside = op::indices_inside(k - w.before, w.stride, w.in, w.out);
      if (inside.first >= inside.last) continue;
      const std::int64_t from = inside.first * w.stride + k - w.before;
      pools_.meet(kind_, phases + from % w.stride * iz(phase_) + from / w.stride, sums + inside.first,
                  uz(inside.last - inside.first));
    }
  }

  void row(const KernelArgs& args, std::int64_t r, float* scratch) const noexcept {
    const auto& [ad, ah, aw] = axes_;
    const std::int64_t h = r % ah.out, d = r / ah.out % ad.out, plane = r / ah.out / ad.out;
    const op::IndexRange rows = ah.taps(h), slices = ad.taps(d);
    float* sums = scratch + wide_ + split_;
    std::fill_n(sums, aw.out, start_);
    for (std::int64_t kd = slices.first; kd < slices.last; ++kd) {
      for (std::int64_t kh = rows.first; kh < rows.last; ++kh) {
        const std::int64_t line = (plane * ad.in + d * ad.stride - ad.before + kd) * ah.in + h * ah.stride - ah.before + kh;
        gather(input(args, line * aw.in, scratch), sums);
      }
    }
    const std::int64_t outer = exclude_ ? taps(ad, d) * taps(ah, h) : covered(ad, d) * covered(ah, h);
    pools_.finish(kind_, sums, static_cast<float>(outer), areas_.data(), uz(aw.out));
    if (storage_ == Storage::f32) {
      std::copy_n(sums, aw.out, reinterpret_cast<float*>(args.outputs[0]) + r * aw.out);
    } else {
      f32_to_f16(sums, reinterpret_cast<f16*>(args.outputs[0]) + r * aw.out, uz(aw.out));
    }
  }

  const PlanePools& pools_;
  Pool kind_;
  Storage storage_;
  std::size_t threads_, planes_ = 0, scratch_ = 0;
  std::size_t phase_ = 0, wide_ = 0, split_ = 0;  // floats: of a phase, of a widened row, of all phases
  std::array<op::WindowAxis, 3> axes_;
  bool exclude_ = false;
  float start_ = 0;           // of every sum
  std::vector<float> areas_;  // by output of the last axis
};

}  // namespace

std::unique_ptr<Kernel> plane_pool(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  if (!storage || request.variable("x") == nullptr || element_count(request.out_shape()) == 0) return nullptr;
  for (const PoolRow& row : pool_rows) {
    if (row.op == request.op.type) return std::make_unique<PlanePool>(request, row.kind, *storage);
  }
  return nullptr;
}

}  // namespace tl::cpu
