#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tensorlogic/tensor.hpp"

namespace tl {

// 8-bit pixels, [height, width, 3] RGB or [height, width] gray.
struct Image {
  Tensor pixels;
  std::int64_t width() const noexcept { return pixels.dim(1); }
  std::int64_t height() const noexcept { return pixels.dim(0); }
};

// JPEG, PNG or WebP by content, EXIF orientation applied, alpha dropped; gray stays RGB (three equal channels).
// Throws Error{io, bad_file, limit}; images over 2^28 pixels are refused before anything is allocated.
Image load_image(const std::string& path);
Image decode_image(std::span<const std::byte> bytes);
// PNG or JPEG by extension; written to a temporary name, synced, renamed.
void save_image(const Image& image, const std::string& path);

enum class Filter { nearest, bilinear, bicubic, lanczos };
// Agrees with Pillow's Image.resize for 8-bit images.
Image resize(const Image& image, std::int64_t width, std::int64_t height, Filter filter = Filter::bicubic);
Image center_crop(const Image& image, std::int64_t width, std::int64_t height);

struct Preprocess {
  std::int64_t size = 224;
  std::int64_t short_side = 256;
  std::array<float, 3> mean = {0.485F, 0.456F, 0.406F};
  std::array<float, 3> std = {0.229F, 0.224F, 0.225F};
};
// Short side to `short_side` (bicubic), centre crop to `size`: the pixels that an image input takes.
Image crop_for_model(const Image& image, const Preprocess& options);
// pixels / 255, minus mean, over std: float16 [1, 3, height, width].
Tensor normalize(const Image& image, const Preprocess& options);

}  // namespace tl
