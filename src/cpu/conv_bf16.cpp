#include <algorithm>

#include "cpu/conv_dot.hpp"
#include "cpu/depthwise_conv.hpp"

namespace tl::cpu {
namespace {

class Bf16Conv final : public DotConv {
 public:
  // `depthwise`: what makes the rows, or null.
  Bf16Conv(const KernelRequest& request, const ConvShape& shape, const Weights& weights, std::unique_ptr<Depthwise> depthwise)
      : DotConv(request, shape, *bf16_kernels()),
        bias_(bias_of(request)),
        activation_(activation_of(request)),
        storage_(*storage_of(request.view.dtype("x"))),
        source_(&weights),
        depthwise_(std::move(depthwise)) {
    pack_weights();
    source_ = nullptr;
    if (depthwise_ == nullptr) return;
    inputs[0] = depthwise_->x;
    joined = {depthwise_->op};
    most_parts_ = 2 * threads();
    rows_ = BlockRows(shape_.rows(), block_rows(), dot_rows);
  }
  std::string_view name() const noexcept override {
    return depthwise_ == nullptr ? DotConv::name() : std::string_view("depthwise_gemm_bf16_avx512");
  }
  bool can_share(std::size_t input) const noexcept override { return input == 1; }
  std::size_t packed_bytes() const noexcept override {
    return DotConv::packed_bytes() + (depthwise_ == nullptr ? 0 : depthwise_->bytes());
  }

 private:
  void read_rows(std::size_t group, std::size_t first, std::size_t valid, std::uint32_t* rows) const override {
    const std::size_t depth = shape_.depth();
    const std::size_t taps = shape_.kernel_h * shape_.kernel_w;
    const std::size_t channels = shape_.in_c / shape_.groups;
    std::vector<std::uint16_t> plain(taps == 1 ? 0 : depth);
    for (std::size_t n = 0; n < valid; ++n) {
      const std::byte* from = source_->values.data() + (group * columns() + first + n) * depth * size_of(source_->storage);
      auto* row = reinterpret_cast<std::uint16_t*>(rows + n * words());
      bf16_kernels()->narrow(from, source_->storage, taps == 1 ? row : plain.data(), depth);
      if (taps == 1) continue;
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t t = 0; t < taps; ++t) row[t * channels + c] = plain[c * taps + t];
    }
  }
  void complete(DotBlock& block, const KernelArgs& args, std::size_t group, std::size_t offset) const noexcept override {
    const std::size_t at = (offset + group * columns()) * size_of(storage_);
    block.bias = bias_.empty() ? nullptr : bias_.data() + group * columns();
    block.residual = inputs.size() > 1 ? args.inputs[1] + at : nullptr;
    block.residual_stride = shape_.out_c;
    block.c = args.outputs[0] + at;
    block.c_storage = storage_;
    block.activation = activation_;
  }
  void complete(DotPack& pack) const noexcept override { pack.storage = storage_; }

  void pack(const KernelArgs& args, const DotBlock& g, std::size_t group, std::size_t block, std::size_t begin, std::size_t end,
            std::uint32_t* scratch) const noexcept override {
    if (depthwise_ == nullptr) return DotConv::pack(args, g, group, block, begin, end, scratch);
    depthwise_->pack_bf16(args.inputs[0], rows_.part(block, begin, end), const_cast<std::uint32_t*>(g.a));
  }

  std::vector<float> bias_;
  ActivationSpec activation_;
  Storage storage_;
  const Weights* source_;
  std::unique_ptr<Depthwise> depthwise_;
  BlockRows rows_;  // of the depthwise convolution
};

// The caller asked for products in bf16 and the machine has them.
bool wanted(const KernelRequest& request) {
  return request.precision == plan::Precision::bf16 && bf16_kernels() != nullptr && usable(request);
}

}  // namespace

std::unique_ptr<Kernel> bf16_conv(const KernelRequest& request) {
  if (!wanted(request)) return nullptr;
  const ConvShape shape = conv_shape(request);
  constexpr std::size_t least_depth = 32;  // below, narrowing windows costs more than it saves
  if (shape.depth() < least_depth && shape.kernel_h * shape.kernel_w > 1) return nullptr;
  const auto weights = weights_of(request);
  return weights ? std::make_unique<Bf16Conv>(request, shape, *weights, Depthwise::before(request)) : nullptr;
}

std::unique_ptr<Kernel> bf16_linear(const KernelRequest& request) {
  if (!wanted(request)) return nullptr;
  const auto weights = weights_of(request);
  return weights ? std::make_unique<Bf16Conv>(request, linear_shape(request), *weights, nullptr) : nullptr;
}

}  // namespace tl::cpu
