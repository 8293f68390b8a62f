#include <algorithm>
#include <array>
#include <cstring>

#include "cpu/kernel.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t max_rank = 8;

// A slice of a state in steps of one element, written where it stands.
class UpdateState final : public Kernel {
 public:
  // Null for what it does not take.
  static std::unique_ptr<Kernel> make(const KernelRequest& request) {
    const Shape shape = request.out_shape();
    const DType dtype = request.op.outputs[0]->type.tensor().dtype;
    const Shape update = request.shape("update");
    if (shape.empty() || shape.size() > max_rank || bits(dtype) < 8 || element_count(update) == 0) return nullptr;
    if (request.variable("state") == nullptr || request.variable("update") == nullptr) return nullptr;
    auto kernel = std::make_unique<UpdateState>();
    kernel->element_ = uz(bits(dtype)) / 8;
    kernel->inputs = {request.variable("state"), request.variable("update")};
    for (auto [param, index] : {std::pair{"begin", &kernel->begin_}, std::pair{"end", &kernel->end_}}) {
      if (request.view.dtype(param) != DType::i32 || request.shape(param) != Shape{iz(shape.size())}) return nullptr;
      index->constant = request.constant(param);
      if (index->constant.defined()) continue;
      if (request.variable(param) == nullptr) return nullptr;
      index->input = kernel->inputs.size();
      kernel->inputs.push_back(request.variable(param));
    }
    if (request.view.has("stride")) {
      const auto stride = request.view.maybe_ints("stride");
      if (!stride || std::any_of(stride->begin(), stride->end(), [](std::int64_t s) { return s != 1; })) return nullptr;
    }
    return kernel->take_axes(request, shape, update) ? std::move(kernel) : nullptr;
  }

  std::string_view name() const noexcept override { return "update_state"; }
  bool updates_state() const noexcept override { return true; }

  Status run(const KernelArgs& args) const noexcept override {
    const auto* begin = begin_.values(args);
    const auto* end = end_.values(args);
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < axes_.size(); ++i) {
      const Axis& axis = axes_[i];
      std::int64_t first = begin[i] < 0 ? begin[i] + axis.extent : begin[i];
      if (axis.squeezed) {
        if (first < 0 || first >= axis.extent) return {"begin: an index is outside its axis"};
      } else {
        first = axis.from_start ? 0 : std::clamp<std::int64_t>(first, 0, axis.extent);
        const std::int64_t bound = end[i] < 0 ? end[i] + axis.extent : end[i];
        const std::int64_t last = axis.to_end ? axis.extent : std::clamp<std::int64_t>(bound, 0, axis.extent);
        if (last - first != axis.count) return {"update: its shape does not match the slice"};
      }
      offset += first * axis.step;
    }
    std::byte* to = args.outputs[0] + uz(offset) * element_;
    const std::byte* from = args.inputs[1];
    const std::size_t bytes = run_ * element_;
    std::array<std::int64_t, max_rank> at{};
    while (true) {
      std::memcpy(to, from, bytes);
      from += bytes;
      std::size_t i = outer_;
      while (i > 0) {
        const Axis& axis = axes_[--i];
        to += uz(axis.step) * element_;
        if (++at[i] < axis.count) break;
        to -= uz(axis.step * axis.count) * element_;
        at[i] = 0;
        if (i == 0) return {};
      }
      if (outer_ == 0) return {};
    }
  }

 private:
  struct Axis {
    std::int64_t extent, count, step;  // of the state, of the update, elements to the next place
    bool from_start, to_end, squeezed;
  };
  struct Index {
    Tensor constant;
    std::size_t input = 0;
    const std::int32_t* values(const KernelArgs& args) const noexcept {
      return reinterpret_cast<const std::int32_t*>(constant.defined() ? constant.data() : args.inputs[input]);
    }
  };

  bool take_axes(const KernelRequest& request, const Shape& shape, const Shape& update) {
    const auto flags = [&](std::string_view param) {
      return request.view.has(param) ? request.view.ints(param) : std::vector<std::int64_t>(shape.size(), 0);
    };
    const auto from_start = flags("begin_mask"), to_end = flags("end_mask"), squeezed = flags("squeeze_mask");
    std::size_t next = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (squeezed[i] == 0 && next == update.size()) return false;
      const std::int64_t count = squeezed[i] != 0 ? 1 : update[next++];
      axes_.push_back({shape[i], count, 1, from_start[i] != 0, to_end[i] != 0, squeezed[i] != 0});
    }
    for (std::size_t i = shape.size() - 1; i-- > 0;) axes_[i].step = axes_[i + 1].step * shape[i + 1];
    outer_ = shape.size();  // what lies in one piece in both moves at once
    bool whole = true;
    while (outer_ > 0 && whole) {
      const Axis& axis = axes_[--outer_];
      run_ *= uz(axis.count);
      whole = axis.count == axis.extent;
    }
    return next == update.size();
  }

  std::size_t element_ = 1, run_ = 1, outer_ = 0;
  Index begin_, end_;
  std::vector<Axis> axes_;
};

}  // namespace

std::unique_ptr<Kernel> update_state_kernel(const KernelRequest& request) { return UpdateState::make(request); }

}  // namespace tl::cpu
