#include "format/byte_reader.hpp"
#include "format/image_codecs.hpp"

namespace tl::format {
namespace {

// Numbers of a TIFF block, whose first two bytes name the byte order.
class TiffReader {
 public:
  explicit TiffReader(std::span<const std::byte> bytes) : bytes_(bytes) {
    const auto order = ByteReader(bytes).read<std::uint16_t>("byte order");
    if (order != 0x4949 && order != 0x4D4D) fail(ErrorKind::bad_file, "unknown byte order");
    big_ = order == 0x4D4D;
  }
  std::uint16_t u16(std::uint64_t at) const {
    const auto value = ByteReader(bytes_, at).read<std::uint16_t>("exif");
    return big_ ? __builtin_bswap16(value) : value;
  }
  std::uint32_t u32(std::uint64_t at) const {
    const auto value = ByteReader(bytes_, at).read<std::uint32_t>("exif");
    return big_ ? __builtin_bswap32(value) : value;
  }

 private:
  std::span<const std::byte> bytes_;
  bool big_ = false;
};

}  // namespace

int exif_orientation(std::span<const std::byte> exif) noexcept {
  constexpr std::uint16_t orientation_tag = 0x0112, short_type = 3;
  constexpr std::uint64_t entry_size = 12;
  try {
    ByteReader start(exif);
    if (exif.size() > 6 && start.text(6, "exif") == std::string_view("Exif\0\0", 6)) exif = exif.subspan(6);
    const TiffReader tiff(exif);
    const std::uint64_t directory = tiff.u32(4);
    const std::uint64_t count = tiff.u16(directory);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t entry = directory + 2 + i * entry_size;
      if (tiff.u16(entry) != orientation_tag) continue;
      const int value = tiff.u16(entry + 2) == short_type ? tiff.u16(entry + 8) : 1;
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (const Error&) {
    return 1;
  }
  return 1;
}

}  // namespace tl::format
