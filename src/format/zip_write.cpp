#include <zlib.h>

#include "base/checked.hpp"
#include "format/zip.hpp"

namespace tl::format {
namespace {

constexpr std::uint16_t version = 45;  // zip64
constexpr std::uint16_t date = 0x21;   // 1 January 1980: the same tensors give the same bytes
constexpr std::uint32_t in_extra = 0xFFFFFFFF;

class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}
  ByteWriter& u16(std::uint64_t value) { return number(value, 2); }
  ByteWriter& u32(std::uint64_t value) { return number(value, 4); }
  ByteWriter& u64(std::uint64_t value) { return number(value, 8); }
  ByteWriter& bytes(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return *this;
  }

 private:
  ByteWriter& number(std::uint64_t value, int width) {
    for (int i = 0; i < width; ++i) out_.push_back(static_cast<std::byte>(value >> (8 * i)));
    return *this;
  }
  std::vector<std::byte>& out_;
};

}  // namespace

// Sizes and offsets stand in zip64 fields throughout: one form for small and large archives.
std::vector<std::byte> make_zip(const std::vector<std::pair<std::string, std::vector<std::byte>>>& members) {
  std::vector<std::byte> archive, directory;
  ByteWriter out(archive), entries(directory);
  for (const auto& [name, data] : members) {
    const std::uint64_t offset = archive.size();
    const std::uint64_t crc = crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
    const auto name_bytes = std::as_bytes(std::span(name));
    const auto name_size = checked_cast<std::uint16_t>(name.size(), "the length of a member's name");
    constexpr std::uint16_t utf8 = 1 << 11;
    out.u32(0x04034b50)
        .u16(version)
        .u16(utf8)
        .u16(0)
        .u16(0)
        .u16(date)
        .u32(crc)
        .u32(in_extra)
        .u32(in_extra)
        .u16(name_size)
        .u16(20);
    out.bytes(name_bytes).u16(1).u16(16).u64(data.size()).u64(data.size()).bytes(data);
    entries.u32(0x02014b50)
        .u16(version)
        .u16(version)
        .u16(utf8)
        .u16(0)
        .u16(0)
        .u16(date)
        .u32(crc)
        .u32(in_extra)
        .u32(in_extra)
        .u16(name_size);
    entries.u16(28).u16(0).u16(0).u16(0).u32(0).u32(in_extra).bytes(name_bytes);
    entries.u16(1).u16(24).u64(data.size()).u64(data.size()).u64(offset);
  }
  const std::uint64_t start = archive.size();
  out.bytes(directory);
  const std::uint64_t end = archive.size();
  out.u32(0x06064b50)
      .u64(44)
      .u16(version)
      .u16(version)
      .u32(0)
      .u32(0)
      .u64(members.size())
      .u64(members.size())
      .u64(directory.size())
      .u64(start);
  out.u32(0x07064b50).u32(0).u64(end).u32(1);
  out.u32(0x06054b50).u16(0).u16(0).u16(0xFFFF).u16(0xFFFF).u32(in_extra).u32(in_extra).u16(0);
  return archive;
}

}  // namespace tl::format
