#include <cstring>

#include "base/f16.hpp"
#include "base/thread_pool.hpp"
#include "cpu/compressed.hpp"
#include "cpu/parallel.hpp"
#include "op/blocks.hpp"

namespace tl::cpu {
namespace {

// A table [rows, depth] of places in a palette, one for each run of rows.
struct PaletteRows {
  Tensor codes;
  std::vector<float> entries;  // `size` for each run
  std::size_t size, run;
};

std::optional<PaletteRows> palette_rows(const KernelRequest& request) {
  const ir::Op& source = *constexpr_of(request, "x");
  if (source.type != "constexpr_lut_to_dense") return std::nullopt;
  const Tensor codes = op::constant_argument(source, "indices");
  const Tensor lut = op::constant_argument(source, "lut");
  if (!codes.defined() || !lut.defined() || !storage_of(lut.dtype())) return std::nullopt;
  const Shape shape = request.shape("x");
  if (source.argument("shape") != nullptr) {  // one palette; the places are a list of bytes
    for (const DType type : {DType::u1, DType::u2, DType::u4, DType::u6, DType::u8}) {
      if (lut.size() == std::int64_t{1} << bits(type) && packed_bytes(type, element_count(shape)) <= codes.bytes())
        return PaletteRows{Tensor::view(type, shape, codes.data(), std::make_shared<Tensor>(codes)), op::widened(lut),
                           uz(lut.size()), uz(shape[0])};
    }
    return std::nullopt;
  }
  if (lut.rank() != 4 || lut.dim(1) != 1 || lut.dim(3) != 1 || codes.shape() != shape) return std::nullopt;
  return PaletteRows{codes, op::widened(lut), uz(lut.dim(2)), uz(shape[0] / lut.dim(0))};
}

// Rows of a compressed table, decoded as they are picked.
class GatherCompressed final : public Kernel {
 public:
  explicit GatherCompressed(const KernelRequest& request)
      : index_type_(request.view.dtype("indices")),
        picks_(uz(element_count(request.shape("indices")))),
        rows_(uz(request.shape("x")[0])),
        depth_(uz(request.shape("x")[1])),
        half_(request.view.dtype("x") == DType::f16),
        threads_(request.threads) {
    inputs.push_back(request.variable("indices"));
  }

  bool take(const KernelRequest& request) {
    levels_ = level_weights(request, "x");
    if (!levels_) palette_ = palette_rows(request);
    if (!levels_ && !palette_) nibbles_ = nibble_weights(request, "x");
    return levels_ || palette_ || nibbles_;
  }

  std::string_view name() const noexcept override { return "gather_compressed"; }
  plan::Workspace workspace() const noexcept override { return {0, half_ ? depth_ * sizeof(float) : 0}; }
  std::size_t packed_bytes() const noexcept override {
    return (levels_ ? levels_->scale : palette_ ? palette_->entries : nibbles_->table).size() * sizeof(float);
  }

  Status run(const KernelArgs& args) const noexcept override {
    for (std::size_t i = 0; i < picks_; ++i) {
      if (row_of(args, i) >= rows_) return {"an index is outside the axis"};
    }
    const std::size_t tasks = picks_ * depth_ < parallel_elements / 4 ? 1 : threads_;
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      for (std::size_t i = picks_ * task / tasks; i < picks_ * (task + 1) / tasks; ++i) {
        std::byte* out = args.outputs[0] + i * depth_ * (half_ ? sizeof(f16) : sizeof(float));
        auto* values = reinterpret_cast<float*>(half_ ? args.own(worker) : out);
        decode(row_of(args, i), values);
        if (half_) f32_to_f16(values, reinterpret_cast<f16*>(out), depth_);
      }
    });
    return {};
  }

 private:
  // Past the last one where the index is outside.
  std::size_t row_of(const KernelArgs& args, std::size_t i) const noexcept {
    const std::int64_t row = index(args.inputs[0], i);
    return static_cast<std::size_t>(row < 0 ? row + static_cast<std::int64_t>(rows_) : row);
  }
  void decode(std::size_t row, float* out) const noexcept {
    if (levels_) {
      const auto* levels = reinterpret_cast<const std::int8_t*>(levels_->levels.data()) + row * depth_;
      for (std::size_t k = 0; k < depth_; ++k) out[k] = levels_->scale[row] * static_cast<float>(levels[k]);
    } else if (palette_) {
      const auto* codes = reinterpret_cast<const std::uint8_t*>(palette_->codes.data());
      const auto width = static_cast<std::size_t>(bits(palette_->codes.dtype()));
      const float* entries = palette_->entries.data() + row / palette_->run * palette_->size;
      for (std::size_t k = 0; k < depth_; ++k) {
        const std::size_t bit = (row * depth_ + k) * width;
        unsigned window = codes[bit / 8];
        if (bit % 8 + width > 8) window |= static_cast<unsigned>(codes[bit / 8 + 1]) << 8;
        out[k] = entries[window >> bit % 8 & ((1U << width) - 1)];
      }
    } else {
      for (std::size_t k = 0; k < depth_; ++k) out[k] = nibble(row, k);
    }
  }
  float nibble(std::size_t row, std::size_t k) const noexcept {
    const auto* data = reinterpret_cast<const std::uint8_t*>(nibbles_->nibbles.data());
    const std::size_t at = row * depth_ + k;
    const float entry = nibbles_->table[row / nibbles_->table_rows * 16 + (data[at / 2] >> (at % 2 * 4) & 15)];
    return nibbles_->scale_at(row, k * nibbles_->blocks / depth_) * entry;
  }
  std::int64_t index(const std::byte* indices, std::size_t i) const noexcept {
    const auto read = [&](auto value) {
      std::memcpy(&value, indices + i * sizeof value, sizeof value);
      return static_cast<std::int64_t>(value);
    };
    switch (index_type_) {
      case DType::i16: return read(std::int16_t{});
      case DType::u16: return read(std::uint16_t{});
      case DType::i8: return read(std::int8_t{});
      case DType::u8: return read(std::uint8_t{});
      default: return read(std::int32_t{});
    }
  }

  DType index_type_;
  std::size_t picks_, rows_, depth_;
  bool half_;
  std::size_t threads_;
  std::optional<LevelWeights> levels_;
  std::optional<PaletteRows> palette_;
  std::optional<NibbleWeights> nibbles_;
};

}  // namespace

std::unique_ptr<Kernel> gather_compressed(const KernelRequest& request) {
  if (constexpr_of(request, "x") == nullptr || request.variable("indices") == nullptr) return nullptr;
  if (request.shape("x").size() != 2 || !storage_of(request.view.dtype("x"))) return nullptr;
  if (request.view.axis("axis", 2) != 0 || request.view.integer("batch_dims") != 0) return nullptr;
  const DType type = request.view.dtype("indices");
  if (type != DType::i32 && type != DType::i16 && type != DType::u16 && type != DType::i8 && type != DType::u8) return nullptr;
  auto kernel = std::make_unique<GatherCompressed>(request);
  return kernel->take(request) ? std::move(kernel) : nullptr;
}

}  // namespace tl::cpu
