#include "format/wire_scan.hpp"

#include <vector>

#include "base/checked.hpp"

namespace tl::format {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t largest_field = (std::uint64_t{1} << 29) - 1;

// The fields of one message, one by one. `ok` turns false at the first byte that no message has there.
class Fields {
 public:
  explicit Fields(Bytes bytes) : bytes_(bytes) {}

  // False at the end or after a fault; `payload` is that of a length-delimited field, else `delimited` is false.
  bool next() {
    delimited = false;
    if (!ok || at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    const std::uint64_t field = key >> 3;
    if (field == 0 || field > largest_field) ok = false;
    switch (key & 7) {
      case 0: varint(); break;
      case 1: skip(8); break;
      case 2: {
        const std::uint64_t length = varint();
        const std::size_t start = at_;
        skip(length);
        if (ok) payload = bytes_.subspan(start, length);
        delimited = ok;
        break;
      }
      case 5: skip(4); break;
      default: ok = false;
    }
    return ok;
  }
  std::size_t position() const noexcept { return at_; }

  bool ok = true;
  bool delimited = false;
  Bytes payload;

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; ok && shift < 70; shift += 7) {
      if (at_ == bytes_.size()) break;
      const auto byte = static_cast<std::uint64_t>(bytes_[at_++]);
      if (shift < 64) value |= (byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    ok = false;
    return 0;
  }
  void skip(std::uint64_t count) {
    if (!ok || count > bytes_.size() - at_) {
      ok = false;
    } else {
      at_ += count;
    }
  }

  Bytes bytes_;
  std::size_t at_ = 0;
};

bool is_message(Bytes bytes) {
  Fields fields(bytes);
  while (fields.next()) {
  }
  return fields.ok;
}

}  // namespace

void scan_wire(Bytes bytes, const WireLimits& limits) {
  std::uint64_t nodes = 0;
  std::vector<Fields> open{Fields(bytes)};
  while (!open.empty()) {
    if (!open.back().next()) {
      if (!open.back().ok) {
        fail(ErrorKind::bad_file, "the specification is damaged near byte {} of {}", open.back().position(), bytes.size());
      }
      open.pop_back();
      continue;
    }
    if (!open.back().delimited) continue;
    if (++nodes > limits.nodes) fail(ErrorKind::limit, "the specification has over {} parts", limits.nodes);
    const Bytes payload = open.back().payload;
    if (payload.empty() || !is_message(payload)) continue;
    if (iz(open.size()) >= limits.depth) fail(ErrorKind::limit, "messages are nested over {} deep", limits.depth);
    open.emplace_back(payload);
  }
}

}  // namespace tl::format
