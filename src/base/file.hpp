#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tl {

// The bytes of a regular file, mapped read-only (or read, with `copy`). Share it as the owner of Tensor views.
class FileBytes {
 public:
  static std::shared_ptr<const FileBytes> open(const std::string& path, bool copy = false);
  ~FileBytes();
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::string& path() const noexcept { return path_; }

 private:
  FileBytes() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool mapped_ = false;
};

std::string read_text(const std::string& path, std::size_t limit = std::size_t{1} << 30);
bool is_directory(const std::string& path) noexcept;
bool exists(const std::string& path) noexcept;
// The part of a path after the last '/', and that without its extension.
std::string base_name(const std::string& path);
std::string stem(const std::string& path);

// Writes a file so that a crash leaves the old one or the new one: temporary name beside it, fsync, rename, fsync of the
// folder.
void write_file(const std::string& path, std::span<const std::byte> bytes);
void write_file(const std::string& path, std::string_view text);
void write_file(const std::string& path, const std::vector<std::span<const std::byte>>& pieces);
// The same for a folder: `fill` gets a temporary folder, which then takes the place of `path`.
void write_folder(const std::string& path, const std::function<void(const std::string& folder)>& fill);

}  // namespace tl
