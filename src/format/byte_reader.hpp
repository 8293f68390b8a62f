#pragma once

#include <bit>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/checked.hpp"

namespace tl::format {

// Little-endian numbers and strings out of bytes; every read is checked, errors name the place. Needs a little-endian machine.
class ByteReader {
 public:
  static_assert(std::endian::native == std::endian::little);

  explicit ByteReader(std::span<const std::byte> bytes, std::uint64_t position = 0) : bytes_(bytes), position_(position) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t remaining() const noexcept { return bytes_.size() - position_; }
  std::span<const std::byte> rest() const noexcept { return bytes_.subspan(position_); }

  std::span<const std::byte> take(std::uint64_t count, const char* what) {
    if (position_ > bytes_.size() || count > bytes_.size() - position_) {
      fail(ErrorKind::bad_file, "{} at byte {}: {} bytes are needed, the file ends after {}", what, position_, count,
           position_ > bytes_.size() ? 0 : bytes_.size() - position_);
    }
    const auto result = bytes_.subspan(position_, count);
    position_ += count;
    return result;
  }
  void skip(std::uint64_t count, const char* what) { take(count, what); }

  template <class T>
  T read(const char* what) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::uint64_t count, const char* what) {
    const auto bytes = take(count, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t position_;
};

}  // namespace tl::format
