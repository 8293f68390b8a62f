#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/kernel.hpp"
#include "cpu/levels.hpp"

namespace tl::cpu {

// How int32 sums of products of bytes become results, column by column: y = sum * scale + bias, through the levels `middle`,
// plus the residual, activated; then values, levels, or both. Every step is rounded as the value between two ops is.
struct LevelFinish {
  Storage storage = Storage::f16;  // of values
  Requantized middle, residual, levels;
  ActivationSpec activation;
  // In place of activation and levels where nothing is added: what each level of `middle`, by its byte, becomes. Null: none.
  const std::uint8_t* table = nullptr;
  // Values are float16, so are all scales, and nothing but a residual brings in what is not finite: rounding by the reciprocal
  // of a scale then gives the same levels as the division.
  bool exact = false;

  // Bytes of the result, of values (0 when they don't go out beside levels), of the residual.
  std::size_t out_bytes() const { return levels.used ? 1 : size_of(storage); }
  std::size_t residual_bytes() const { return residual.used ? 1 : size_of(storage); }
};

// Where one row of columns is read and written.
struct LevelRow {
  const float* scale;    // readable up to a whole vector
  const float* bias;     // the same
  const void* residual;  // or null
  void* out;
  void* values;  // beside levels, or null
};

// What tl.conv and tl.linear say of it, for products of levels times `scale` plus `bias`, with the table where it has one.
class LevelEpilogue {
 public:
  // `scale` and `bias` (empty: none) have one value per column; both are padded.
  LevelEpilogue(const KernelRequest& request, std::vector<float> scale, std::vector<float> bias);
  const LevelFinish& finish() const noexcept { return finish_; }
  // Scale and bias from column `column` on.
  LevelRow columns(std::size_t column) const noexcept;
  // Of a row whose results start at `offset` elements; inputs are x and the residual, outputs the result and values.
  LevelRow row(const KernelArgs& args, std::size_t offset, std::size_t column) const noexcept;
  // The result may be written over the residual.
  bool in_place() const noexcept { return added_ && finish_.residual_bytes() == finish_.out_bytes(); }
  std::size_t bytes() const noexcept { return (scale_.size() + bias_.size()) * sizeof(float) + table_.size(); }

 private:
  LevelFinish finish_;
  std::vector<float> scale_, bias_;
  std::vector<std::uint8_t> table_;
  bool added_ = false, values_ = false;
};

}  // namespace tl::cpu
