#include "format/zip.hpp"

#include <zlib.h>

#include <algorithm>

#include "base/checked.hpp"
#include "format/byte_reader.hpp"

namespace tl::format {
namespace {

constexpr std::uint32_t end_signature = 0x06054b50, end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr std::uint32_t entry_signature = 0x02014b50, local_signature = 0x04034b50;
constexpr std::uint64_t end_size = 22, entry_size = 46, locator64_size = 20, max_comment = 0xFFFF;

struct Directory {
  std::uint64_t entries = 0, size = 0, offset = 0;
};

std::uint64_t find_end(std::span<const std::byte> archive) {
  if (archive.size() < end_size) fail(ErrorKind::bad_file, "zip: {} bytes are too few", archive.size());
  const std::uint64_t last = archive.size() - end_size;
  const std::uint64_t first = last > max_comment ? last - max_comment : 0;
  for (std::uint64_t position = last;; --position) {
    if (ByteReader(archive, position).read<std::uint32_t>("zip end") == end_signature) return position;
    if (position == first)
      fail(ErrorKind::bad_file, "zip: no end of central directory; the file is cut short or no zip archive");
  }
}

Directory find_directory(std::span<const std::byte> archive) {
  const std::uint64_t end = find_end(archive);
  ByteReader reader(archive, end + 10);
  Directory directory;
  directory.entries = reader.read<std::uint16_t>("zip end");
  directory.size = reader.read<std::uint32_t>("zip end");
  directory.offset = reader.read<std::uint32_t>("zip end");
  if (directory.entries != 0xFFFF && directory.size != 0xFFFFFFFF && directory.offset != 0xFFFFFFFF) return directory;
  if (end < locator64_size) return directory;
  ByteReader locator(archive, end - locator64_size);
  if (locator.read<std::uint32_t>("zip64 locator") != locator64_signature) return directory;
  locator.skip(4, "zip64 locator");
  const auto at = locator.read<std::uint64_t>("zip64 locator");
  check_range(at, 56, archive.size(), "zip64 end");
  ByteReader end64(archive, at);
  if (end64.read<std::uint32_t>("zip64 end") != end64_signature)
    fail(ErrorKind::bad_file, "zip64: wrong signature at byte {}", at);
  end64.skip(28, "zip64 end");
  directory.entries = end64.read<std::uint64_t>("zip64 end");
  directory.size = end64.read<std::uint64_t>("zip64 end");
  directory.offset = end64.read<std::uint64_t>("zip64 end");
  return directory;
}

// Sizes and offset that do not fit 32 bits stand in extra field 1, in this order, each only where its short form is all ones.
void read_extra64(ByteReader extra, ZipMember& member) {
  while (extra.remaining() >= 4) {
    const auto id = extra.read<std::uint16_t>("zip extra field");
    const auto length = extra.read<std::uint16_t>("zip extra field");
    ByteReader field(extra.take(length, "zip extra field"));
    if (id != 1) continue;
    for (std::uint64_t* value : {&member.size, &member.packed, &member.header}) {
      if (*value == 0xFFFFFFFF) *value = field.read<std::uint64_t>("zip64 extra field");
    }
    return;
  }
}

}  // namespace

std::vector<ZipMember> list_zip(std::span<const std::byte> archive) {
  const Directory directory = find_directory(archive);
  check_range(directory.offset, directory.size, archive.size(), "zip central directory");
  if (directory.entries > directory.size / entry_size) {
    fail(ErrorKind::bad_file, "zip: {} entries do not fit a directory of {} bytes", directory.entries, directory.size);
  }
  std::vector<ZipMember> members;
  members.reserve(directory.entries);
  ByteReader reader(archive.subspan(directory.offset, directory.size));
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    if (reader.read<std::uint32_t>("zip entry") != entry_signature)
      fail(ErrorKind::bad_file, "zip: entry {} has a wrong signature", i);
    reader.skip(4, "zip entry");
    const auto flags = reader.read<std::uint16_t>("zip entry");
    ZipMember member;
    member.method = reader.read<std::uint16_t>("zip entry");
    reader.skip(4, "zip entry");
    member.crc = reader.read<std::uint32_t>("zip entry");
    member.packed = reader.read<std::uint32_t>("zip entry");
    member.size = reader.read<std::uint32_t>("zip entry");
    const auto name_length = reader.read<std::uint16_t>("zip entry");
    const auto extra_length = reader.read<std::uint16_t>("zip entry");
    const auto comment_length = reader.read<std::uint16_t>("zip entry");
    reader.skip(8, "zip entry");
    member.header = reader.read<std::uint32_t>("zip entry");
    member.name = reader.text(name_length, "zip entry name");
    read_extra64(ByteReader(reader.take(extra_length, "zip extra field")), member);
    reader.skip(comment_length, "zip comment");
    if ((flags & 1U) != 0) fail(ErrorKind::unsupported, "zip: '{}' is encrypted", member.name);
    members.push_back(std::move(member));
  }
  return members;
}

std::span<const std::byte> packed_member(std::span<const std::byte> archive, const ZipMember& member) {
  check_range(member.header, 30, archive.size(), "zip member");
  ByteReader reader(archive, member.header);
  if (reader.read<std::uint32_t>("zip member") != local_signature) {
    fail(ErrorKind::bad_file, "zip: '{}' has no local header at byte {}", member.name, member.header);
  }
  reader.skip(22, "zip member");
  const auto name_length = reader.read<std::uint16_t>("zip member");
  const auto extra_length = reader.read<std::uint16_t>("zip member");
  reader.skip(std::uint64_t{name_length} + extra_length, "zip member");
  return reader.take(member.packed, "zip member");
}

std::vector<std::byte> unpack_member(std::span<const std::byte> archive, const ZipMember& member, std::uint64_t limit) {
  const auto packed = packed_member(archive, member);
  if (member.size > limit)
    fail(ErrorKind::limit, "zip: '{}' has {} bytes, at most {} are unpacked", member.name, member.size, limit);
  std::vector<std::byte> bytes;
  if (member.method == 0) {
    if (member.size != member.packed) fail(ErrorKind::bad_file, "zip: '{}': stored sizes differ", member.name);
    bytes.assign(packed.begin(), packed.end());
  } else if (member.method == Z_DEFLATED) {
    // Deflate cannot shrink to less than 1/1032.
    if (member.size / 1032 > member.packed)
      fail(ErrorKind::bad_file, "zip: '{}': {} bytes cannot hold {}", member.name, member.packed, member.size);
    bytes.resize(member.size);
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) fail(ErrorKind::limit, "zip: no memory to unpack '{}'", member.name);
    std::uint64_t in = 0, out = 0;
    int status = Z_OK;
    constexpr std::uint64_t step = std::uint64_t{1} << 30;
    while (status == Z_OK) {
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + in));
      stream.avail_in = static_cast<uInt>(std::min(step, packed.size() - in));
      stream.next_out = reinterpret_cast<Bytef*>(bytes.data() + out);
      stream.avail_out = static_cast<uInt>(std::min(step, bytes.size() - out));
      const std::uint64_t had_in = stream.avail_in, had_out = stream.avail_out;
      status = inflate(&stream, Z_NO_FLUSH);
      in += had_in - stream.avail_in;
      out += had_out - stream.avail_out;
      if (status == Z_OK && stream.avail_in == had_in && stream.avail_out == had_out) break;
    }
    inflateEnd(&stream);
    if (status != Z_STREAM_END || out != bytes.size()) fail(ErrorKind::bad_file, "zip: '{}': damaged data", member.name);
  } else {
    fail(ErrorKind::unsupported, "zip: '{}' uses compression method {}", member.name, member.method);
  }
  uLong crc = crc32_z(0, nullptr, 0);
  crc = crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  if (crc != member.crc) fail(ErrorKind::bad_file, "zip: '{}': wrong checksum", member.name);
  return bytes;
}

}  // namespace tl::format
