#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/f16.hpp"
#include "format/image_codecs.hpp"

namespace tl {
namespace {

// Where a crop of `size` starts in `full`; negative: the image is padded with black. Halves round as Python's round() does.
std::int64_t crop_start(std::int64_t full, std::int64_t size) {
  if (size > full) return -((size - full) / 2);
  const std::int64_t twice = full - size;
  return twice / 2 + (twice % 2 == 1 && (twice / 2) % 2 == 1 ? 1 : 0);
}

void check_size(std::int64_t width, std::int64_t height) {
  constexpr std::int64_t max_pixels = std::int64_t{1} << 28;
  if (width < 1 || height < 1) fail(ErrorKind::invalid_argument, "cannot crop an image to {}x{}", width, height);
  if (width > max_pixels || height > max_pixels / width)
    fail(ErrorKind::limit, "a crop of {}x{} has too many pixels", width, height);
}

}  // namespace

Image center_crop(const Image& image, std::int64_t width, std::int64_t height) {
  const std::int64_t channels = format::channels_of(image);
  check_size(width, height);
  const std::int64_t left = crop_start(image.width(), width), top = crop_start(image.height(), height);
  Tensor result = Tensor::zeros(DType::u8, image.pixels.rank() == 2 ? Shape{height, width} : Shape{height, width, channels});
  const auto in = image.pixels.values<std::uint8_t>();
  auto out = result.mutable_values<std::uint8_t>();
  const std::int64_t first = std::max<std::int64_t>(left, 0), last = std::min(left + width, image.width());
  for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(top + height, image.height()); ++y) {
    std::copy_n(in.begin() + (y * image.width() + first) * channels, (last - first) * channels,
                out.begin() + ((y - top) * width + (first - left)) * channels);
  }
  return {result};
}

Image crop_for_model(const Image& image, const Preprocess& options) {
  format::channels_of(image);
  const std::int64_t shorter = std::min(image.width(), image.height());
  check_size(options.short_side, 1);
  const auto scaled = [&](std::int64_t side) {
    const std::int64_t twice =
        checked_mul(checked_mul(options.short_side, side, "the image size"), std::int64_t{2}, "the image size");
    return (twice + shorter) / (2 * shorter);
  };
  return center_crop(resize(image, scaled(image.width()), scaled(image.height()), Filter::bicubic), options.size, options.size);
}

Tensor normalize(const Image& image, const Preprocess& options) {
  const std::int64_t channels = format::channels_of(image);
  const std::int64_t plane = image.width() * image.height();
  Tensor result(DType::f16, {1, 3, image.height(), image.width()});
  const auto in = image.pixels.values<std::uint8_t>();
  auto out = result.mutable_values<f16>();
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t i = 0; i < plane; ++i) {
      const float value = static_cast<float>(in[uz(i * channels + (channels == 1 ? 0 : c))]) / 255.0F;
      out[uz(c * plane + i)] = to_f16((value - options.mean[uz(c)]) / options.std[uz(c)]);
    }
  }
  return result;
}

}  // namespace tl
