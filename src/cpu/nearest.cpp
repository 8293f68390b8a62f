#include <algorithm>
#include <cstring>

#include "cpu/kernel.hpp"
#include "cpu/parallel.hpp"
#include "op/sampling.hpp"

namespace tl::cpu {
namespace {

constexpr std::int64_t most_extent = std::int64_t{1} << 20;  // of an output's row or column, whose sources are kept

// Copies of the nearest pixels of [planes, H, W].
class Nearest final : public Kernel {
 public:
  Nearest(const KernelRequest& request, const std::vector<op::LinearTap>& rows, const std::vector<op::LinearTap>& columns,
          std::size_t element)
      : element_(element), threads_(request.threads) {
    const Shape x = request.shape("x");
    height_ = uz(x[x.size() - 2]);
    width_ = uz(x.back());
    planes_ = uz(element_count(x)) / (height_ * width_);
    for (const op::LinearTap& tap : rows) rows_.push_back(uz(tap.low));
    for (const op::LinearTap& tap : columns) columns_.push_back(static_cast<std::uint32_t>(tap.low));
    same_ = columns_.size() == width_;
    for (std::size_t i = 0; i < columns_.size(); ++i) same_ = same_ && columns_[i] == i;
    inputs.push_back(request.variable("x"));
  }

  std::string_view name() const noexcept override { return "nearest"; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t lines = planes_ * rows_.size();
    const std::size_t tasks = lines * columns_.size() < parallel_elements ? 1 : std::min(lines, threads_ * 4);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
      for (std::size_t l = lines * task / tasks, first = l; l < lines * (task + 1) / tasks; ++l) line(args, l, l != first);
    });
    return {};
  }

 private:
  // The line before, which the same task wrote, may be the same.
  void line(const KernelArgs& args, std::size_t l, bool after) const noexcept {
    const std::size_t bytes = columns_.size() * element_, plane = l / rows_.size(), row = l % rows_.size();
    std::byte* to = args.outputs[0] + l * bytes;
    const std::byte* from = args.inputs[0] + (plane * height_ + rows_[row]) * width_ * element_;
    if (after && row != 0 && rows_[row] == rows_[row - 1]) {
      std::memcpy(to, to - bytes, bytes);
    } else if (same_) {
      std::memcpy(to, from, bytes);
    } else if (element_ == 2) {
      gather<std::uint16_t>(from, to);
    } else {
      gather<std::uint32_t>(from, to);
    }
  }

  template <class T>
  void gather(const std::byte* from, std::byte* to) const noexcept {
    const T* in = reinterpret_cast<const T*>(from);
    T* out = reinterpret_cast<T*>(to);
    for (std::size_t i = 0; i < columns_.size(); ++i) out[i] = in[columns_[i]];
  }

  std::size_t element_, threads_, planes_ = 0, height_ = 0, width_ = 0;
  std::vector<std::size_t> rows_;       // of the input, by row of the output
  std::vector<std::uint32_t> columns_;  // the same of columns
  bool same_ = true;                    // columns stay where they are
};

}  // namespace

std::unique_ptr<Kernel> nearest_kernel(const KernelRequest& request) {
  const std::size_t element = uz(bits(request.view.dtype("x"))) / 8;
  if (request.variable("x") == nullptr || (element != 2 && element != 4)) return nullptr;
  const Shape x = request.shape("x"), out = request.out_shape();
  const std::size_t rank = x.size();
  if (rank < 2 || element_count(x) == 0 || element_count(out) == 0) return nullptr;
  if (!std::equal(x.begin(), x.end() - 2, out.begin()) || std::max(out[rank - 2], out[rank - 1]) > most_extent) return nullptr;
  auto mode = op::SamplingMode::default_mode;
  if (request.op.type == "resize") {
    if (request.view.text("interpolation_mode") != "NEAREST_NEIGHBOR" || request.view.integer("resized_dims") < 2)
      return nullptr;
    mode = op::sampling_mode(request.view, "sampling_mode");
  }
  const bool replicating = request.op.type == "upsample_nearest_neighbor";
  const auto taps = [&](std::size_t axis) {
    return replicating ? op::replicating_taps(x[axis], out[axis]) : op::nearest_taps(mode, x[axis], out[axis]);
  };
  return std::make_unique<Nearest>(request, taps(rank - 2), taps(rank - 1), element);
}

}  // namespace tl::cpu
