#include <algorithm>
#include <cstring>

#include "cpu/kernel.hpp"
#include "op/strided.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t parallel_bytes = 131072;

// Lines of [outer..., line] from their opposite place along the axes that are reversed, each in reverse when the last one is.
class Reverse final : public Kernel {
 public:
  Reverse(const KernelRequest& request, const Shape& shape, std::vector<bool> reversed, std::size_t element)
      : element_(element), threads_(request.threads) {
    std::size_t axis = shape.size();
    backwards_ = axis != 0 && reversed[axis - 1];
    if (backwards_) line_ = uz(shape[--axis]);
    while (!backwards_ && axis > 0 && !reversed[axis - 1]) line_ *= uz(shape[--axis]);
    while (axis > 0) {
      extents_.push_back(uz(shape[--axis]));
      reversed_.push_back(reversed[axis]);
      lines_ *= extents_.back();
    }
    inputs.push_back(request.variable("x"));
  }

  std::string_view name() const noexcept override { return "reverse"; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t bytes = line_ * element_;
    const std::size_t tasks = lines_ * bytes < parallel_bytes ? 1 : std::min(lines_, threads_ * 2);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
      for (std::size_t l = lines_ * task / tasks; l < lines_ * (task + 1) / tasks; ++l)
        line(args.inputs[0] + source(l) * bytes, args.outputs[0] + l * bytes);
    });
    return {};
  }

 private:
  std::size_t source(std::size_t line) const noexcept {
    std::size_t result = 0, step = 1;
    for (std::size_t i = 0; i < extents_.size(); ++i) {
      const std::size_t at = line % extents_[i];
      line /= extents_[i];
      result += (reversed_[i] ? extents_[i] - 1 - at : at) * step;
      step *= extents_[i];
    }
    return result;
  }

  void line(const std::byte* from, std::byte* to) const noexcept {
    if (!backwards_) {
      std::memcpy(to, from, line_ * element_);
      return;
    }
    const std::byte* last = from + (line_ - 1) * element_;
    switch (element_) {
      case 1: return op::copy_reversed<std::uint8_t>(last, to, iz(line_));
      case 2: return op::copy_reversed<std::uint16_t>(last, to, iz(line_));
      case 4: return op::copy_reversed<std::uint32_t>(last, to, iz(line_));
      default: return op::copy_reversed<std::uint64_t>(last, to, iz(line_));
    }
  }

  std::size_t element_, threads_, line_ = 1, lines_ = 1;
  bool backwards_ = false;
  std::vector<std::size_t> extents_;  // of the outer axes, the last one first
  std::vector<bool> reversed_;
};

}  // namespace

std::unique_ptr<Kernel> reverse_kernel(const KernelRequest& request) {
  const DType dtype = request.view.dtype("x");
  if (request.variable("x") == nullptr || dtype == DType::string || bits(dtype) < 8) return nullptr;
  const Shape shape = request.shape("x");
  if (element_count(shape) == 0) return nullptr;
  std::vector<bool> reversed(shape.size(), !request.view.has("axes"));
  if (request.view.has("axes")) {
    for (const std::int64_t axis : request.view.ints("axes")) reversed[uz(axis < 0 ? axis + iz(shape.size()) : axis)] = true;
  }
  return std::make_unique<Reverse>(request, shape, std::move(reversed), uz(bits(dtype)) / 8);
}

}  // namespace tl::cpu
