#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "op/window.hpp"

namespace tl::op {

// A convolution of one to three spatial axes, or its transpose, row by row. Sums run over input channels, then taps, in float;
// taps that meet padding are left out unless a weight is not finite, which zeros make NaN. Inputs and outputs are [batch,
// channels, spatial...], weights as the op has them.
class DirectConv {
 public:
  static constexpr std::size_t lanes = 4;    // output channels computed together
  static constexpr std::size_t block = 512;  // outputs of a row that stay in cache

  // sums[lane][i] += w[lane] * in[i] for i in [0, count).
  using Accumulate = void (*)(const std::array<float*, lanes>& sums, const float* in, const std::array<float, lanes>& w,
                              std::size_t count) noexcept;
  static void accumulate(const std::array<float*, lanes>& sums, const float* in, const std::array<float, lanes>& w,
                         std::size_t count) noexcept;

  DirectConv(ConvGeometry geometry, bool transposed);

  const ConvGeometry& geometry() const noexcept { return g_; }

  // Strided windows read rows whose elements lie `stride` apart side by side; of others a row is used as it is.
  std::int64_t input_rows() const noexcept;
  std::size_t row_length() const noexcept { return uz(axes_[2].in); }
  std::size_t arranged_length() const noexcept { return uz(length_); }
  bool arranges() const noexcept { return read_step_ != 1; }
  void arrange(const float* row, float* out) const noexcept;

  // A row of up to `lanes` output channels: row k is `width` outputs from out + offset + k * channel_stride.
  struct Row {
    std::size_t channels = 0, offset = 0, channel_stride = 0, width = 0;
  };
  std::int64_t rows() const noexcept;
  std::size_t scratch_floats() const noexcept { return lanes * (uz(axes_[2].out) + block); }
  // Row k of the result lies at scratch + k * width. `bias` may be null.
  Row compute(std::int64_t index, const float* arranged, const float* weight, const float* bias, float* scratch,
              Accumulate accumulate, bool finite) const noexcept;

 private:
  struct Task;
  void sum_row(const Task& task, std::int64_t phase, std::int64_t first, std::int64_t count,
               const std::array<float*, lanes>& sums, Accumulate accumulate) const noexcept;
  void sum_padding(const Task& task, const float* w, IndexRange inside, std::int64_t count,
                   const std::array<float*, lanes>& sums) const noexcept;
  // The input that tap `k` of output `o` reads; negative: none.
  std::int64_t source(const WindowAxis& axis, std::int64_t o, std::int64_t k) const noexcept;

  ConvGeometry g_;
  bool transposed_;
  std::array<WindowAxis, 3> axes_;  // absent ones have extent 1
  std::int64_t taps_ = 1, out_size_ = 1;
  std::int64_t read_step_ = 1, phases_ = 1;  // along the last axis: between the inputs of neighbouring outputs; of the outputs
  std::int64_t length_ = 0, phase_length_ = 0;
};

// The whole of it on floats.
std::vector<float> convolve(const DirectConv& conv, const std::vector<float>& x, const std::vector<float>& weight,
                            const std::vector<float>& bias);

}  // namespace tl::op
