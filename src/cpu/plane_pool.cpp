#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/f16.hpp"
#include "cpu/kernel.hpp"
#include "op/window.hpp"

namespace tl::cpu {
namespace {

enum class Pool : std::uint8_t { max, average, l2 };

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
      : kind_(kind), storage_(storage), threads_(request.threads) {
    const Shape x = request.shape("x");
    const auto list = op::pool_geometry(request.view, x);
    std::copy(list.begin(), list.end(), axes_.end() - static_cast<std::ptrdiff_t>(list.size()));
    exclude_ = kind == Pool::average && request.view.boolean("exclude_padding_from_average");
    planes_ = uz(x[0] * x[1]);
    scratch_ = (uz(axes_[2].in + axes_[2].out) * sizeof(float) + 63) / 64 * 64;
    inputs.push_back(request.variable("x"));
  }

  std::string_view name() const noexcept override { return "plane_pool"; }
  std::size_t workspace_bytes() const noexcept override { return threads_ * scratch_; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t rows = planes_ * uz(axes_[0].out * axes_[1].out);
    const std::size_t tasks = std::min(rows, threads_ * 4);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      auto* scratch = reinterpret_cast<float*>(args.workspace + worker * scratch_);
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

  // A row of the input as floats, in `wide` unless it is one already.
  const float* input(const KernelArgs& args, std::int64_t offset, float* wide) const noexcept {
    if (storage_ == Storage::f32) return reinterpret_cast<const float*>(args.inputs[0]) + offset;
    f16_to_f32(reinterpret_cast<const f16*>(args.inputs[0]) + offset, wide, uz(axes_[2].in));
    return wide;
  }

  void gather(const float* in, float* sums) const noexcept {
    switch (kind_) {
      case Pool::max: return gather_as(in, sums, [](float s, float v) { return v > s || std::isnan(v) ? v : s; });
      case Pool::average: return gather_as(in, sums, [](float s, float v) { return s + v; });
      case Pool::l2: return gather_as(in, sums, [](float s, float v) { return s + v * v; });
    }
  }

  template <class Meet>
  void gather_as(const float* in, float* sums, Meet meet) const noexcept {
    const op::WindowAxis& w = axes_[2];
    // A window may be far longer than the axis: only these of its taps meet the input.
    const std::int64_t first = std::max<std::int64_t>(0, w.before - (w.out - 1) * w.stride);
    const std::int64_t last = std::min(w.kernel, w.before + w.in);
    for (std::int64_t k = first; k < last; ++k) {
      const op::IndexRange inside = op::indices_inside(k - w.before, w.stride, w.in, w.out);
      const float* from = in + k - w.before;
      for (std::int64_t o = inside.first; o < inside.last; ++o) sums[o] = meet(sums[o], from[o * w.stride]);
    }
  }

  void row(const KernelArgs& args, std::int64_t r, float* scratch) const noexcept {
    const auto& [ad, ah, aw] = axes_;
    const std::int64_t h = r % ah.out, d = r / ah.out % ad.out, plane = r / ah.out / ad.out;
    const op::IndexRange rows = ah.taps(h), slices = ad.taps(d);
    float* sums = scratch + aw.in;
    std::fill_n(sums, aw.out, kind_ == Pool::max ? -std::numeric_limits<float>::infinity() : 0.0F);
    for (std::int64_t kd = slices.first; kd < slices.last; ++kd) {
      for (std::int64_t kh = rows.first; kh < rows.last; ++kh) {
        const std::int64_t line = (plane * ad.in + d * ad.stride - ad.before + kd) * ah.in + h * ah.stride - ah.before + kh;
        gather(input(args, line * aw.in, scratch), sums);
      }
    }
    if (kind_ == Pool::l2) {
      for (std::int64_t o = 0; o < aw.out; ++o) sums[o] = std::sqrt(sums[o]);
    } else if (kind_ == Pool::average) {
      const std::int64_t outer = exclude_ ? taps(ad, d) * taps(ah, h) : covered(ad, d) * covered(ah, h);
      for (std::int64_t o = 0; o < aw.out; ++o)
        sums[o] /= static_cast<float>(outer * (exclude_ ? taps(aw, o) : covered(aw, o)));
    }
    if (storage_ == Storage::f32) {
      std::copy_n(sums, aw.out, reinterpret_cast<float*>(args.outputs[0]) + r * aw.out);
    } else {
      f32_to_f16(sums, reinterpret_cast<f16*>(args.outputs[0]) + r * aw.out, uz(aw.out));
    }
  }

  Pool kind_;
  Storage storage_;
  std::size_t threads_, planes_ = 0, scratch_ = 0;
  std::array<op::WindowAxis, 3> axes_;
  bool exclude_ = false;
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
