#include "cpu/coded_weights.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/f16.hpp"
#include "cpu/compressed.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t table_size = 256;
constexpr std::size_t vector_bytes = 64;

// 32 numbers below 16: column c and c + 16 share byte c.
void put_low(const std::uint8_t* places, std::vector<std::uint8_t>& out) {
  for (std::size_t c = 0; c < 16; ++c) out.push_back(static_cast<std::uint8_t>((places[c] & 15) | (places[c + 16] & 15) << 4));
}
// Bits 4 and 5: columns c, c + 8, c + 16, c + 24 share byte c.
void put_high(const std::uint8_t* places, std::vector<std::uint8_t>& out) {
  for (std::size_t c = 0; c < 8; ++c) {
    unsigned byte = 0;
    for (std::size_t i = 0; i < 4; ++i) byte |= (places[c + 8 * i] >> 4U & 3U) << (2 * i);
    out.push_back(static_cast<std::uint8_t>(byte));
  }
}

}  // namespace

CodedWeights::CodedWeights(const ConvShape& shape)
    : unpack_(unpack_panel()),
      depth_(shape.depth()),
      columns_(shape.out_c / shape.groups),
      groups_(shape.groups),
      panels_((columns_ + coded_columns - 1) / coded_columns) {
  const std::size_t taps = shape.kernel_h * shape.kernel_w;
  const std::size_t channels = shape.in_c / shape.groups;
  for (std::size_t k = 0; k < depth_; ++k) source_.push_back(static_cast<std::uint32_t>(k % channels * taps + k / channels));
}

// Calls body(first row of the weight, rows that count) panel by panel.
template <class Body>
void CodedWeights::for_each_panel(Body&& body) {
  for (std::size_t group = 0; group < groups_; ++group) {
    for (std::size_t p = 0; p < panels_; ++p)
      body(group * columns_ + p * coded_columns, std::min(coded_columns, columns_ - p * coded_columns));
  }
}

bool CodedWeights::take_levels(const KernelRequest& request) {
  const auto weights = level_weights(request);
  if (!weights) return false;
  const std::int8_t* levels = weights->levels.values<std::int8_t>().data();
  block_ = depth_;
  rows_.resize(groups_ * panels_ * depth_ * coded_columns + vector_bytes, 0);
  std::uint8_t* out = rows_.data();
  for_each_panel([&](std::size_t n, std::size_t valid) {
    places_.push_back({Code::bytes, static_cast<std::size_t>(out - rows_.data()), 0, scales_.size(), 0});
    for (std::size_t c = 0; c < coded_columns; ++c) scales_.push_back(c < valid ? weights->scale[n + c] : 0);
    for (std::size_t k = 0; k < depth_; ++k, out += coded_columns) {
      const std::int8_t* from = levels + n * depth_ + source_[k];
      for (std::size_t c = 0; c < valid; ++c, from += depth_) out[c] = static_cast<std::uint8_t>(*from);
    }
  });
  return true;
}

bool CodedWeights::take_nibbles(const KernelRequest& request) {
  const auto weights = nibble_weights(request);
  if (!weights || weights->table.size() != 16) return false;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(weights->nibbles.data());
  block_ = depth_ / weights->blocks;
  rows_.reserve(groups_ * panels_ * depth_ * coded_columns / 2 + vector_bytes);
  tables_.assign(table_size, 0);
  for (std::size_t i = 0; i < 16; ++i) tables_[i] = to_f16(weights->table[i]).bits;
  for_each_panel([&](std::size_t n, std::size_t valid) {
    places_.push_back({Code::nibbles, rows_.size(), 0, scales_.size(), 0});
    for (std::size_t b = 0; b < weights->blocks; ++b) {
      for (std::size_t c = 0; c < coded_columns; ++c) scales_.push_back(c < valid ? weights->scale_at(n + c, b) : 0);
    }
    for (std::size_t k = 0; k < depth_; ++k) {
      std::array<std::uint8_t, coded_columns> levels{};
      for (std::size_t c = 0; c < valid; ++c) {
        const std::size_t at = (n + c) * depth_ + k;
        levels[c] = static_cast<std::uint8_t>(bytes[at / 2] >> (4 * (at % 2)) & 15);
      }
      put_low(levels.data(), rows_);
    }
  });
  rows_.resize(rows_.size() + vector_bytes, 0);
  return true;
}

bool CodedWeights::take_values(const Tensor& values) {
  const auto* bits = reinterpret_cast<const std::uint16_t*>(values.data());
  std::vector<std::uint16_t> panel(depth_ * coded_columns);
  std::vector<std::uint16_t> place(std::size_t{1} << 16, 0);  // of a value in the table, from 1
  for_each_panel([&](std::size_t n, std::size_t valid) {
    std::fill(panel.begin(), panel.end(), std::uint16_t{0});
    for (std::size_t c = 0; c < valid; ++c) {
      for (std::size_t k = 0; k < depth_; ++k) panel[k * coded_columns + c] = bits[(n + c) * depth_ + source_[k]];
    }
    std::vector<std::uint16_t> table;
    std::size_t filled = 0;
    for (const std::uint16_t v : panel) {
      filled += v != 0;
      if (place[v] != 0 || table.size() > table_size) continue;
      table.push_back(v);
      place[v] = static_cast<std::uint16_t>(table.size());
    }
    const Code code = table.size() <= 16 ? Code::table4 : table.size() <= 64 ? Code::table6 : Code::table8;
    const std::size_t places = table.size() > table_size ? 64 : code == Code::table4 ? 16 : code == Code::table6 ? 24 : 32;
    const std::size_t sparse = 4 + 2 * filled / depth_;
    if (places < 64 && places <= sparse) {
      places_.push_back({code, rows_.size(), tables_.size(), 0, 0});
      for (std::size_t k = 0; k < depth_; ++k) {
        std::array<std::uint8_t, coded_columns> row{};
        for (std::size_t c = 0; c < coded_columns; ++c)
          row[c] = static_cast<std::uint8_t>(place[panel[k * coded_columns + c]] - 1);
        if (code == Code::table8) {
          rows_.insert(rows_.end(), row.begin(), row.end());
        } else {
          put_low(row.data(), rows_);
          if (code == Code::table6) put_high(row.data(), rows_);
        }
      }
      tables_.insert(tables_.end(), table.begin(), table.end());
      tables_.resize((tables_.size() + table_size - 1) / table_size * table_size, 0);
    } else if (sparse < 60) {
      places_.push_back({Code::sparse, rows_.size(), 0, 0, offsets_.size()});
      for (std::size_t k = 0; k < depth_; k += sparse_rows) {
        offsets_.push_back(static_cast<std::uint32_t>(rows_.size() - places_.back().rows));
        std::array<std::uint32_t, sparse_rows> masks{};
        std::vector<std::uint16_t> run;
        for (std::size_t i = 0; i < std::min(sparse_rows, depth_ - k) * coded_columns; ++i) {
          const std::uint16_t v = panel[k * coded_columns + i];
          masks[i / coded_columns] |= static_cast<std::uint32_t>(v != 0) << i % coded_columns;
          if (v != 0) run.push_back(v);
        }
        const auto put = [&](const void* from, std::size_t count) {
          const auto* first = static_cast<const std::uint8_t*>(from);
          rows_.insert(rows_.end(), first, first + count);
        };
        put(masks.data(), sizeof masks);
        put(run.data(), run.size() * sizeof(std::uint16_t));
      }
    } else {
      places_.push_back({Code::halves, rows_.size(), 0, 0, 0});
      const auto* first = reinterpret_cast<const std::uint8_t*>(panel.data());
      rows_.insert(rows_.end(), first, first + panel.size() * 2);
    }
    for (const std::uint16_t v : table) place[v] = 0;
  });
  rows_.resize(rows_.size() + vector_bytes, 0);
  rows_.shrink_to_fit();
  return rows_.size() < groups_ * columns_ * depth_ * 7 / 4;
}

std::unique_ptr<CodedWeights> CodedWeights::of(const KernelRequest& request, const ConvShape& shape) {
  const bool coded = constexpr_of(request, "weight") != nullptr && request.view.dtype("weight") == DType::f16;
  return std::unique_ptr<CodedWeights>(coded && shape.depth() != 0 ? new CodedWeights(shape) : nullptr);
}

std::unique_ptr<CodedWeights> CodedWeights::from_codes(const KernelRequest& request, const ConvShape& shape) {
  auto coded = of(request, shape);
  return coded && coded->take_codes(request) ? std::move(coded) : nullptr;
}

std::unique_ptr<CodedWeights> CodedWeights::make(const KernelRequest& request, const ConvShape& shape, const Tensor& values) {
  auto coded = of(request, shape);
  if (!coded || coded->take_codes(request)) return coded;
  const Tensor known = values.defined() ? values : evaluated(*constexpr_of(request, "weight"));
  return coded->take_values(known) ? std::move(coded) : nullptr;
}

std::vector<float> CodedWeights::square_sums() const {
  constexpr std::size_t rows = 256;
  std::vector<float> sums(panels_ * coded_columns, 0.0F);
  std::vector<std::uint16_t> values(rows * coded_columns);
  for (std::size_t panel = 0; panel < panels_; ++panel) {
    for (std::size_t k = 0; k < depth_; k += rows) {
      const std::size_t count = std::min(rows, depth_ - k);
      unpack(0, panel, k, count, coded_columns, values.data());
      add_squares()(values.data(), count, sums.data() + panel * coded_columns);
    }
  }
  return sums;
}

void CodedWeights::unpack(std::size_t group, std::size_t panel, std::size_t first, std::size_t depth, std::size_t width,
                          std::uint16_t* out) const noexcept {
  const Place& at = places_[group * panels_ + panel];
  unpack_({at.code, rows_.data() + at.rows, tables_.data() + at.table, scales_.data() + at.scale, block_,
           offsets_.data() + at.offsets},
          first, depth, width, out);
}

}  // namespace tl::cpu
