#include <algorithm>
#include <filesystem>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/image_codecs.hpp"

namespace tl {
namespace {

constexpr std::uint64_t max_pixels = std::uint64_t{1} << 28;

// Turns pixels to upright; `orientation` is EXIF's: bit by bit a mirrored x axis, a mirrored y axis and swapped axes.
Tensor upright(const Tensor& pixels, int orientation) {
  if (orientation == 1) return pixels;
  const std::int64_t height = pixels.dim(0), width = pixels.dim(1), channels = pixels.dim(2);
  const bool swap = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Tensor result(DType::u8, swap ? Shape{width, height, channels} : pixels.shape());
  const auto in = pixels.values<std::uint8_t>();
  auto out = result.mutable_values<std::uint8_t>();
  auto to = out.begin();
  for (std::int64_t row = 0; row < result.dim(0); ++row) {
    for (std::int64_t column = 0; column < result.dim(1); ++column) {
      std::int64_t x = swap ? row : column, y = swap ? column : row;
      if (mirror_x) x = width - 1 - x;
      if (mirror_y) y = height - 1 - y;
      to = std::copy_n(in.begin() + (y * width + x) * channels, channels, to);
    }
  }
  return result;
}

bool starts_with(std::span<const std::byte> bytes, std::size_t offset, std::string_view magic) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
      .substr(std::min(offset, bytes.size()))
      .starts_with(magic);
}

std::string lower_extension(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

}  // namespace

namespace format {

Tensor allocate_rgb(std::uint64_t width, std::uint64_t height) {
  if (width == 0 || height == 0) fail(ErrorKind::bad_file, "an image of {}x{} pixels", width, height);
  if (width > max_pixels || height > max_pixels / width) {
    fail(ErrorKind::limit, "an image of {}x{} pixels, at most {} are read", width, height, max_pixels);
  }
  return {DType::u8, {iz(height), iz(width), 3}};
}

std::int64_t channels_of(const Image& image) {
  const Tensor& pixels = image.pixels;
  if (!pixels.defined() || pixels.dtype() != DType::u8 ||
      (pixels.rank() != 2 && (pixels.rank() != 3 || (pixels.dim(2) != 1 && pixels.dim(2) != 3)))) {
    fail(ErrorKind::invalid_argument, "an image needs uint8 pixels [height, width] or [height, width, 3]");
  }
  if (pixels.size() == 0) fail(ErrorKind::invalid_argument, "an image without pixels");
  return pixels.rank() == 2 ? 1 : pixels.dim(2);
}

}  // namespace format

Image decode_image(std::span<const std::byte> bytes) {
  if (bytes.empty()) fail(ErrorKind::bad_file, "the file is empty");
  const format::DecodedImage decoded = [&] {
    if (starts_with(bytes, 0, "\xFF\xD8\xFF")) return format::decode_jpeg(bytes);
    if (starts_with(bytes, 0, "\x89PNG\r\n\x1A\n")) return format::decode_png(bytes);
    if (starts_with(bytes, 0, "RIFF") && starts_with(bytes, 8, "WEBP")) return format::decode_webp(bytes);
    for (const char* brand : {"ftypheic", "ftypheix", "ftypmif1", "ftypavif"}) {
      if (starts_with(bytes, 4, brand)) fail(ErrorKind::unsupported, "a HEIF or AVIF image: save it as JPEG, PNG or WebP");
    }
    if (starts_with(bytes, 0, "GIF8")) fail(ErrorKind::unsupported, "a GIF image: save it as PNG");
    if (starts_with(bytes, 0, "BM")) fail(ErrorKind::unsupported, "a BMP image: save it as PNG");
    if (starts_with(bytes, 0, "II*") || starts_with(bytes, 0, std::string_view("MM\0*", 4))) {
      fail(ErrorKind::unsupported, "a TIFF image: save it as PNG");
    }
    fail(ErrorKind::bad_file, "no image that is known (JPEG, PNG and WebP are)");
  }();
  return {upright(decoded.pixels, decoded.orientation)};
}

Image load_image(const std::string& path) {
  const auto file = FileBytes::open(path);
  return within([&] { return path; }, [&] { return decode_image(file->bytes()); });
}

void save_image(const Image& image, const std::string& path) {
  const std::vector<std::byte> bytes = within([&] { return path; },
                                              [&] {
                                                const std::string extension = lower_extension(path);
                                                if (extension == ".png") return format::encode_png(image);
                                                if (extension == ".jpg" || extension == ".jpeg")
                                                  return format::encode_jpeg(image);
                                                fail(ErrorKind::invalid_argument, "images are written as .png, .jpg or .jpeg");
                                              });
  write_file(path, bytes);
}

}  // namespace tl
