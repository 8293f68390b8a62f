#include <cstddef>
#include <cstdint>

#include "base/error.hpp"
#include "format/array_files.hpp"
#include "format/zip.hpp"

// The first byte picks the reader.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0: tl::format::decode_npy(bytes); break;
      case 1: tl::format::decode_wav(bytes); break;
      case 2: tl::format::decode_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}); break;
      default:
        for (const auto& member : tl::format::list_zip(bytes)) tl::format::unpack_member(bytes, member, 1 << 20);
    }
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
