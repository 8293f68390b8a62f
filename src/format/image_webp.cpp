#include <webp/decode.h>

#include "format/byte_reader.hpp"
#include "format/image_codecs.hpp"

namespace tl::format {
namespace {

// The EXIF chunk of the RIFF container, or nothing.
std::span<const std::byte> find_exif(std::span<const std::byte> bytes) {
  constexpr std::uint64_t riff_header = 12;
  ByteReader reader(bytes);
  if (bytes.size() < riff_header) return {};
  reader.skip(riff_header, "WebP header");
  while (reader.remaining() >= 8) {
    const std::string_view name = reader.text(4, "WebP chunk");
    const std::uint64_t size = reader.read<std::uint32_t>("WebP chunk");
    if (size > reader.remaining()) return {};
    const auto data = reader.take(size, "WebP chunk");
    if (name == "EXIF") return data;
    if (size % 2 == 1 && reader.remaining() > 0) reader.skip(1, "WebP padding");
  }
  return {};
}

}  // namespace

DecodedImage decode_webp(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(data, bytes.size(), &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) fail(ErrorKind::bad_file, "WebP: the image is cut short");
  if (status != VP8_STATUS_OK || features.width <= 0 || features.height <= 0) fail(ErrorKind::bad_file, "WebP: damaged header");
  if (features.has_animation != 0) fail(ErrorKind::unsupported, "WebP: animations are not read");
  DecodedImage result{allocate_rgb(static_cast<std::uint64_t>(features.width), static_cast<std::uint64_t>(features.height)), 1};
  auto* out = reinterpret_cast<std::uint8_t*>(result.pixels.mutable_data());
  if (WebPDecodeRGBInto(data, bytes.size(), out, result.pixels.bytes(), features.width * 3) == nullptr) {
    fail(ErrorKind::bad_file, "WebP: the image is cut short or damaged");
  }
  result.orientation = exif_orientation(find_exif(bytes));
  return result;
}

}  // namespace tl::format
