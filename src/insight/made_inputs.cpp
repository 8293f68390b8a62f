#include "insight/made_inputs.hpp"

#include "base/error.hpp"

namespace tl::insight {
namespace {

// A small generator, the same on every machine.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  std::uint32_t next() noexcept {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  double unit() noexcept { return static_cast<double>(next()) / 2147483648.0; }

 private:
  std::uint64_t state_;
};

Tensor noise_array(const ArrayFeature& feature, Noise& noise) {
  const Shape& shape = feature.shape.empty() && !feature.enumerated.empty() ? feature.enumerated.front() : feature.shape;
  Tensor values(DType::f32, shape);
  // Integers are often indices: zeros are always inside.
  for (float& value : values.mutable_values<float>())
    value = is_floating(feature.dtype) ? static_cast<float>(noise.unit()) : 0.0F;
  return values.cast(feature.dtype);
}

Tensor noise_image(const ImageFeature& feature, Noise& noise) {
  const bool gray = feature.color == ColorSpace::grayscale || feature.color == ColorSpace::grayscale_f16;
  Tensor pixels(DType::u8, gray ? Shape{feature.height, feature.width} : Shape{feature.height, feature.width, 3});
  for (std::uint8_t& value : pixels.mutable_values<std::uint8_t>()) value = static_cast<std::uint8_t>(noise.next());
  return pixels;
}

}  // namespace

void fill_inputs(NamedValues& given, const Interface& interface, std::uint64_t seed) {
  Noise noise(seed);
  for (const Feature& feature : interface.inputs) {
    if (given.count(feature.name) != 0 || feature.optional) continue;
    if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
      given[feature.name] = noise_array(*array, noise);
    } else if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
      given[feature.name] = noise_image(*image, noise);
    } else if (std::holds_alternative<Int64Feature>(feature.kind)) {
      given[feature.name] = Tensor::scalar(std::int64_t{0});
    } else if (std::holds_alternative<DoubleFeature>(feature.kind)) {
      given[feature.name] = Tensor::scalar(noise.unit());
    } else {
      fail(ErrorKind::invalid_argument, "input '{}' ({}) cannot be made up: give it", feature.name, describe(feature));
    }
  }
}

}  // namespace tl::insight
