#include <cstring>

#include "base/f16.hpp"
#include "cpu/compressed.hpp"

namespace tl::cpu {
namespace {

// Rows of a compressed table, decoded as they are picked.
class GatherCompressed final : public Kernel {
 public:
  explicit GatherCompressed(const KernelRequest& request)
      : index_type_(request.view.dtype("indices")),
        picks_(uz(element_count(request.shape("indices")))),
        rows_(uz(request.shape("x")[0])),
        depth_(uz(request.shape("x")[1])),
        half_(request.view.dtype("x") == DType::f16) {
    inputs.push_back(request.variable("indices"));
  }

  bool take(const KernelRequest& request) {
    levels_ = level_weights(request, "x");
    if (!levels_) nibbles_ = nibble_weights(request, "x");
    return levels_ || nibbles_;
  }

  std::string_view name() const noexcept override { return "gather_compressed"; }
  std::size_t packed_bytes() const noexcept override {
    return (levels_ ? levels_->scale.size() : nibbles_->table.size()) * sizeof(float);
  }

  Status run(const KernelArgs& args) const noexcept override {
    for (std::size_t i = 0; i < picks_; ++i) {
      std::int64_t row = index(args.inputs[0], i);
      if (row < 0) row += static_cast<std::int64_t>(rows_);
      if (row < 0 || row >= static_cast<std::int64_t>(rows_)) return {"an index is outside the axis"};
      for (std::size_t k = 0; k < depth_; ++k) {
        const float value = levels_ ? level(uz(row), k) : nibble(uz(row), k);
        std::byte* to = args.outputs[0] + (i * depth_ + k) * (half_ ? 2 : 4);
        if (half_) {
          const f16 narrow = to_f16(value);
          std::memcpy(to, &narrow, sizeof narrow);
        } else {
          std::memcpy(to, &value, sizeof value);
        }
      }
    }
    return {};
  }

 private:
  float level(std::size_t row, std::size_t k) const noexcept {
    const auto* data = reinterpret_cast<const std::int8_t*>(levels_->levels.data());
    return levels_->scale[row] * static_cast<float>(data[row * depth_ + k]);
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
  std::optional<LevelWeights> levels_;
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
