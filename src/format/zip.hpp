#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tl::format {

struct ZipMember {
  std::string name;
  int method = 0;            // 0 stored, 8 deflated
  std::uint64_t packed = 0;  // bytes in the archive
  std::uint64_t size = 0;    // bytes when unpacked
  std::uint64_t header = 0;  // offset of the local header
  std::uint32_t crc = 0;
};

// The members of a zip archive (zip64 included) by its central directory; throws Error{bad_file, unsupported}.
std::vector<ZipMember> list_zip(std::span<const std::byte> archive);
// The packed bytes of a member, inside `archive`.
std::span<const std::byte> packed_member(std::span<const std::byte> archive, const ZipMember& member);
// Unpacks a member and checks its CRC; sizes above `limit` are refused before anything is allocated.
std::vector<std::byte> unpack_member(std::span<const std::byte> archive, const ZipMember& member, std::uint64_t limit);

// An archive of stored (not deflated) members; zip64 where sizes need it.
std::vector<std::byte> make_zip(const std::vector<std::pair<std::string, std::vector<std::byte>>>& members);

}  // namespace tl::format
