#pragma once

#include <cstdint>

#include "tensorlogic/tensor.hpp"

namespace tl::insight {

// The distance of numbers from reference numbers, summed up. Pairs where the reference is not finite are left out; where only
// the number is not finite they count as `broken`.
struct Distance {
  std::int64_t count = 0;   // pairs
  std::int64_t equal = 0;   // of them without a difference
  std::int64_t broken = 0;  // infinity or NaN instead of a finite number; also each number of tensors that differ in shape
  double error = 0;         // sum of squared differences
  double reference = 0;     // sum of squares
  double value = 0;
  double product = 0;
  double largest = 0;  // |difference|
  double peak = 0;     // |reference|

  void add(const Distance& other);
  // Decibels. No difference: +infinity; a broken number: -infinity.
  double snr() const;
  // 10 log10(peak^2 / mean squared difference), the definition of coremltools' compute_snr_and_psnr
  // (models/ml_program/experimental/debugging_utils.py).
  double psnr() const;
  double cosine() const;
  double equal_share() const { return count == 0 ? 1 : static_cast<double>(equal) / static_cast<double>(count); }
};

// What one op does in one run.
struct OpCounts {
  Distance total;               // of the results from those of the float32 run
  Distance added;               // from the same op in float32 on its own inputs
  Distance inherited;           // of the same op in float32 on its own inputs from the float32 run
  Distance storage;             // of the float32 results, on its own inputs, from themselves as float16
  std::int64_t overflowed = 0;  // infinite, finite in float32 on the same inputs
  std::int64_t not_a_number = 0;
  std::int64_t underflowed = 0;         // zero, not zero in float32 on the same inputs
  std::int64_t beyond_half = 0;         // |v| > 65504 in the float32 run
  std::int64_t beyond_engine = 0;       // |v| > 32752
  std::int64_t reference_infinite = 0;  // infinities and NaN of the float32 run
  double largest = 0;                   // |v| of the float32 run, infinities left out
  double smallest = 0;                  // > 0
  std::int64_t runs = 0;
};

// The numbers of `value` from those of `reference`.
Distance distance(const Tensor& value, const Tensor& reference);
// Adds one result: the op's own, that of its float32 twin on the same inputs, and that of the float32 run.
void count(OpCounts& counts, const Tensor& own, const Tensor& twin, const Tensor& single);

}  // namespace tl::insight
