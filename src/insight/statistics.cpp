#include "insight/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/f16.hpp"

namespace tl::insight {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double largest_half = 65504;
constexpr double largest_engine = 32752;

double decibels(double power, double noise) {
  if (noise == 0) return infinity;
  return power == 0 ? -infinity : 10 * std::log10(power / noise);
}

void put(Distance& sum, double value, double reference) {
  ++sum.count;
  if (value == reference || (std::isnan(value) && std::isnan(reference))) ++sum.equal;
  if (!std::isfinite(reference)) return;
  if (!std::isfinite(value)) {
    ++sum.broken;
    return;
  }
  const double difference = value - reference;
  sum.error += difference * difference;
  sum.reference += reference * reference;
  sum.value += value * value;
  sum.product += value * reference;
  sum.largest = std::max(sum.largest, std::fabs(difference));
  sum.peak = std::max(sum.peak, std::fabs(reference));
}

// Numbers of any type, read as doubles.
class Numbers {
 public:
  explicit Numbers(const Tensor& tensor) : tensor_(tensor.dtype() == DType::f32 ? tensor : wide(tensor)) {
    if (tensor_.dtype() == DType::f32) singles_ = tensor_.values<float>().data();
    if (tensor_.dtype() == DType::f64) doubles_ = tensor_.values<double>().data();
  }
  double operator[](std::size_t i) const { return singles_ != nullptr ? static_cast<double>(singles_[i]) : doubles_[i]; }

 private:
  static Tensor wide(const Tensor& tensor) {
    if (tensor.dtype() != DType::f16) return tensor.cast(DType::f64);
    Tensor result(DType::f32, tensor.shape());
    f16_to_f32(tensor.values<f16>().data(), result.mutable_values<float>().data(), static_cast<std::size_t>(tensor.size()));
    return result;
  }
  Tensor tensor_;
  const float* singles_ = nullptr;
  const double* doubles_ = nullptr;
};

Distance differ_in_shape(const Tensor& reference) {
  Distance result;
  result.count = result.broken = std::max<std::int64_t>(1, reference.size());
  return result;
}

}  // namespace

void Distance::add(const Distance& other) {
  count += other.count;
  equal += other.equal;
  broken += other.broken;
  error += other.error;
  reference += other.reference;
  value += other.value;
  product += other.product;
  largest = std::max(largest, other.largest);
  peak = std::max(peak, other.peak);
}

double Distance::snr() const { return broken != 0 ? -infinity : decibels(reference, error); }

double Distance::psnr() const {
  return broken != 0 ? -infinity : decibels(peak * peak * static_cast<double>(std::max<std::int64_t>(count, 1)), error);
}

double Distance::cosine() const {
  if (broken != 0) return 0;
  if (error == 0) return 1;
  return value == 0 || reference == 0 ? 0 : product / std::sqrt(value) / std::sqrt(reference);
}

Distance distance(const Tensor& value, const Tensor& reference) {
  if (value.size() != reference.size()) return differ_in_shape(reference);
  Distance result;
  if (value.dtype() == DType::string || reference.dtype() == DType::string) {
    if (value.dtype() != reference.dtype()) return differ_in_shape(reference);
    result.count = value.size();
    for (std::size_t i = 0; i < value.strings().size(); ++i) result.equal += value.strings()[i] == reference.strings()[i];
    result.broken = result.count - result.equal;
    return result;
  }
  const Numbers a(value), b(reference);
  for (std::size_t i = 0; i < static_cast<std::size_t>(value.size()); ++i) put(result, a[i], b[i]);
  return result;
}

void count(OpCounts& counts, const Tensor& own, const Tensor& twin, const Tensor& single) {
  ++counts.runs;
  const bool text = own.dtype() == DType::string || twin.dtype() == DType::string || single.dtype() == DType::string;
  if (text || own.size() != twin.size() || twin.size() != single.size()) {
    counts.total.add(distance(own, single));
    counts.added.add(distance(own, twin));
    counts.inherited.add(distance(twin, single));
    return;
  }
  const auto size = static_cast<std::size_t>(own.size());
  const Numbers a(own), b(twin), c(single);
  const bool is_float = is_floating(single.dtype());
  std::vector<float> rounded(own.dtype() == DType::f16 && twin.dtype() == DType::f32 ? size : 0);
  if (!rounded.empty()) {
    std::vector<f16> half(size);
    f32_to_f16(twin.values<float>().data(), half.data(), size);
    f16_to_f32(half.data(), rounded.data(), size);
  }
  for (std::size_t i = 0; i < size; ++i) {
    const double x = a[i], y = b[i], z = c[i];
    put(counts.total, x, z);
    put(counts.added, x, y);
    put(counts.inherited, y, z);
    if (!rounded.empty()) put(counts.storage, static_cast<double>(rounded[i]), y);
    if (!is_float) continue;
    counts.overflowed += std::isinf(x) && std::isfinite(y);
    counts.not_a_number += std::isnan(x) && !std::isnan(y);
    counts.underflowed += x == 0 && y != 0;
    if (!std::isfinite(z)) {
      ++counts.reference_infinite;
      continue;
    }
    const double size_of = std::fabs(z);
    counts.beyond_half += size_of > largest_half;
    counts.beyond_engine += size_of > largest_engine;
    counts.largest = std::max(counts.largest, size_of);
    if (size_of > 0 && (counts.smallest == 0 || size_of < counts.smallest)) counts.smallest = size_of;
  }
}

}  // namespace tl::insight
