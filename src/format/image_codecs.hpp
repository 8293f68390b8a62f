#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensorlogic/image.hpp"

namespace tl::format {

struct DecodedImage {
  Tensor pixels;        // u8 [height, width, 3]
  int orientation = 1;  // of the EXIF data, 1 to 8
};

DecodedImage decode_jpeg(std::span<const std::byte> bytes);
DecodedImage decode_png(std::span<const std::byte> bytes);
DecodedImage decode_webp(std::span<const std::byte> bytes);

std::vector<std::byte> encode_jpeg(const Image& image);  // quality 95
std::vector<std::byte> encode_png(const Image& image);

// Orientation tag of an EXIF block (a TIFF header and its directory, with or without "Exif\0\0" before it); 1 when absent or
// damaged.
int exif_orientation(std::span<const std::byte> exif) noexcept;

// u8 [height, width, 3]; throws Error{bad_file} for no pixels, Error{limit} over 2^28 of them.
Tensor allocate_rgb(std::uint64_t width, std::uint64_t height);
// Channels of u8 pixels of rank 2 or 3; throws Error{invalid_argument} unless there are 1 or 3 and at least one pixel.
std::int64_t channels_of(const Image& image);

}  // namespace tl::format
