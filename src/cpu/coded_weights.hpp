#pragma once

#include "cpu/conv.hpp"

namespace tl::cpu {

// How a panel of 32 columns of weights is kept: each row of the depth is one run of bytes.
enum class Code : std::uint8_t {
  halves,   // 64 bytes: float16
  bytes,    // 32 bytes: signed levels times the column's scale
  nibbles,  // 16 bytes: levels of `table`, times the scale of the column and its block of depth
  table4,   // 16 bytes: places in `table`,
  table6,   // 24 bytes
  table8,   // 32 bytes
  sparse,   // masks of 32 bits of 16 rows, then their float16 that are not zero
};
constexpr std::size_t coded_columns = 32;
constexpr std::size_t sparse_rows = 16;  // that share a run of `sparse`; masks of rows past the depth are zero

struct CodedPanel {
  Code code;
  const std::uint8_t* rows;
  const std::uint16_t* table;    // 256 float16
  const float* scale;            // [blocks][32]
  std::size_t block;             // rows of a block
  const std::uint32_t* offsets;  // of sparse: where each run starts
};

// Writes rows [first, first + depth), `first` a multiple of 16, as float16: [depth][width], width <= 32.
using UnpackPanel = void (*)(const CodedPanel& panel, std::size_t first, std::size_t depth, std::size_t width,
                             std::uint16_t* out);
UnpackPanel unpack_panel();
// Adds the squares of rows of float16, [depth][32], to 32 sums.
using AddSquares = void (*)(const std::uint16_t* rows, std::size_t depth, float* sums);
AddSquares add_squares();

// The compressed weights of a product of many rows, kept about as small as they are stored; each panel is unpacked where it is
// multiplied. The values are those that the constexpr op makes.
class CodedWeights {
 public:
  // Null where no constexpr op makes the weight, where it is not float16, and where nothing would be saved.
  // `values`: those of the weight where the caller has them, else undefined.
  static std::unique_ptr<CodedWeights> make(const KernelRequest& request, const ConvShape& shape, const Tensor& values = {});
  // The same of levels and nibbles, whose values are not needed; null for all else.
  static std::unique_ptr<CodedWeights> from_codes(const KernelRequest& request, const ConvShape& shape);

  std::size_t bytes() const noexcept {
    return rows_.size() + (tables_.size() + 2 * offsets_.size()) * 2 + scales_.size() * sizeof(float);
  }
  void unpack(std::size_t group, std::size_t panel, std::size_t first, std::size_t depth, std::size_t width,
              std::uint16_t* out) const noexcept;
  // Of each column of the first group, up to whole panels.
  std::vector<float> square_sums() const;

 private:
  struct Place {
    Code code;
    std::size_t rows, table, scale, offsets;
  };

  explicit CodedWeights(const ConvShape& shape);
  // Without values yet; null where no constexpr op makes float16.
  static std::unique_ptr<CodedWeights> of(const KernelRequest& request, const ConvShape& shape);
  template <class Body>
  void for_each_panel(Body&& body);
  bool take_codes(const KernelRequest& request) { return take_levels(request) || take_nibbles(request); }
  bool take_levels(const KernelRequest& request);
  bool take_nibbles(const KernelRequest& request);
  bool take_values(const Tensor& values);

  UnpackPanel unpack_;
  std::size_t depth_, columns_, groups_, panels_, block_ = 1;
  std::vector<std::uint32_t> source_;  // where depth (tap, in) stands in a stored row
  std::vector<std::uint8_t> rows_;     // and a vector that may be read behind them
  std::vector<std::uint16_t> tables_;
  std::vector<float> scales_;
  std::vector<std::uint32_t> offsets_;
  std::vector<Place> places_;
};

}  // namespace tl::cpu
