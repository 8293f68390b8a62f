#include "cpu/transpose.hpp"

#include <algorithm>
#include <cstring>

#include "cpu/kernel.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t parallel_bytes = 64 << 10;
constexpr std::size_t block = 32;

// A permutation with axes of one element dropped and neighbours that stay together merged.
struct Layout {
  std::vector<std::size_t> extents;  // of the output
  std::vector<std::size_t> steps;    // of the input, per output axis, in elements
};

Layout layout_of(const Shape& shape, const std::vector<std::int64_t>& perm) {
  std::vector<std::size_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * uz(shape[i]);
  Layout l;
  for (const std::int64_t p : perm) {
    const std::size_t axis = uz(p < 0 ? p + iz(shape.size()) : p);
    const std::size_t extent = uz(shape[axis]);
    if (extent == 1) continue;
    if (!l.extents.empty() && l.steps.back() == strides[axis] * extent) {
      l.extents.back() *= extent;
      l.steps.back() = strides[axis];
    } else {
      l.extents.push_back(extent);
      l.steps.push_back(strides[axis]);
    }
  }
  if (l.extents.empty()) {
    l.extents = {1};
    l.steps = {1};
  }
  return l;
}

// out[r * out_step + c] = in[r + c * in_step] for r < rows, c < columns: small blocks, so that both sides stay in cache.
template <class T>
void swap_block(const T* in, std::size_t in_step, T* out, std::size_t out_step, std::size_t rows, std::size_t columns) {
  for (std::size_t r0 = 0; r0 < rows; r0 += block) {
    const std::size_t r1 = std::min(rows, r0 + block);
    for (std::size_t c0 = 0; c0 < columns; c0 += block) {
      const std::size_t c1 = std::min(columns, c0 + block);
      for (std::size_t r = r0; r < r1; ++r) {
        for (std::size_t c = c0; c < c1; ++c) out[r * out_step + c] = in[r + c * in_step];
      }
    }
  }
}

class TransposeKernel final : public Kernel {
 public:
  TransposeKernel(const KernelRequest& request, std::size_t element)
      : layout_(layout_of(request.shape("x"), request.view.ints("perm"))), element_(element) {
    inputs.push_back(request.variable("x"));
    auto& [extents, steps] = layout_;
    const std::size_t rank = extents.size();
    std::size_t total = element;
    for (const std::size_t extent : extents) total *= extent;
    // The output axis that is contiguous in the input: with it and the last axis, planes are swapped.
    plane_ = rank;
    if (steps.back() != 1) plane_ = static_cast<std::size_t>(std::find(steps.begin(), steps.end(), 1) - steps.begin());
    outer_ = 1;
    for (std::size_t i = 0; i + 1 < rank; ++i) outer_ *= i == plane_ ? 1 : extents[i];
    const std::size_t wanted = total < parallel_bytes ? 1 : request.threads * 2;
    if (plane_ < rank && outer_ < wanted) pieces_ = std::clamp<std::size_t>(extents[plane_] / block, 1, wanted);
    tasks_ = std::min(outer_, wanted);
  }

  std::string_view name() const noexcept override { return "transpose"; }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(tasks_ * pieces_, [&](std::size_t task, std::size_t) {
      const std::size_t group = task / pieces_;
      for (std::size_t o = outer_ * group / tasks_; o < outer_ * (group + 1) / tasks_; ++o) {
        switch (element_) {
          case 1: one<std::uint8_t>(args, o, task % pieces_); break;
          case 2: one<std::uint16_t>(args, o, task % pieces_); break;
          case 4: one<std::uint32_t>(args, o, task % pieces_); break;
          default: one<std::uint64_t>(args, o, task % pieces_); break;
        }
      }
    });
    return {};
  }

 private:
  template <class T>
  void one(const KernelArgs& args, std::size_t o, std::size_t piece) const noexcept {
    const auto& [extents, steps] = layout_;
    const std::size_t rank = extents.size();
    std::size_t source = 0;
    std::size_t target = 0;
    std::size_t out_step = extents.back();
    std::size_t plane_step = 0;
    std::size_t rest = o;
    for (std::size_t axis = rank - 1; axis-- > 0;) {
      if (axis == plane_) {
        plane_step = out_step;
      } else {
        const std::size_t position = rest % extents[axis];
        rest /= extents[axis];
        source += position * steps[axis];
        target += position * out_step;
      }
      out_step *= extents[axis];
    }
    const T* in = reinterpret_cast<const T*>(args.inputs[0]) + source;
    T* out = reinterpret_cast<T*>(args.outputs[0]) + target;
    if (plane_ == rank) {
      std::memcpy(out, in, extents.back() * sizeof(T));
    } else {
      const std::size_t first = extents[plane_] * piece / pieces_;
      const std::size_t last = extents[plane_] * (piece + 1) / pieces_;
      if constexpr (sizeof(T) == 2) {
        swap_halves_(in + first, steps.back(), out + first * plane_step, plane_step, last - first, extents.back());
      } else {
        swap_block(in + first, steps.back(), out + first * plane_step, plane_step, last - first, extents.back());
      }
    }
  }

  SwapHalves swap_halves_ = swap_halves_kernel();
  Layout layout_;
  std::size_t element_;
  std::size_t plane_ = 0, outer_ = 1, tasks_ = 1, pieces_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> transpose_kernel(const KernelRequest& request) {
  const ir::Var* x = request.variable("x");
  if (x == nullptr || element_count(request.out_shape()) == 0) return nullptr;
  const int bits = tl::bits(request.view.dtype("x"));
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64) return nullptr;
  return std::make_unique<TransposeKernel>(request, static_cast<std::size_t>(bits / 8));
}

}  // namespace tl::cpu
