#include "base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.hpp"

namespace tl {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_errno(const char* action, const std::string& path) {
  const int code = errno;
  const ErrorKind kind = code == ENOENT || code == ENOTDIR ? ErrorKind::not_found : ErrorKind::io;
  throw Error(kind, fmt::format("cannot {}: {}", action, std::strerror(code)), path);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

void read_fully(int fd, std::byte* out, std::size_t size, const std::string& path) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd, out + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno("read", path);
    if (got == 0) throw Error(ErrorKind::io, "the file became shorter while it was read", path);
    done += static_cast<std::size_t>(got);
  }
}

void write_fully(int fd, const std::byte* data, std::size_t size, const std::string& path) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t put = ::write(fd, data + done, size - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_errno("write", path);
    done += static_cast<std::size_t>(put);
  }
}

void sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string temporary_name(const std::string& path) { return fmt::format("{}.tmp-{}-XXXXXX", path, ::getpid()); }

// Syncs every regular file below a folder.
void sync_tree(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    const int flags = entry.is_directory() ? O_RDONLY | O_DIRECTORY : O_RDONLY;
    const Descriptor file(::open(entry.path().c_str(), flags | O_CLOEXEC));
    if (file.get() >= 0) ::fsync(file.get());
  }
  sync_folder(folder);
}

}  // namespace

std::shared_ptr<const FileBytes> FileBytes::open(const std::string& path, bool copy) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail_errno("open", path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_errno("stat", path);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::io, "not a regular file", path);
  std::shared_ptr<FileBytes> result(new FileBytes());
  result->path_ = path;
  result->size_ = static_cast<std::size_t>(status.st_size);
  if (result->size_ == 0) return result;
  if (copy) {
    auto* bytes = static_cast<std::byte*>(std::malloc(result->size_));
    if (bytes == nullptr) throw Error(ErrorKind::limit, fmt::format("no memory for {} bytes", result->size_), path);
    result->data_ = bytes;
    read_fully(file.get(), bytes, result->size_, path);
    return result;
  }
  void* mapped = ::mmap(nullptr, result->size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) fail_errno("map", path);
  result->data_ = static_cast<const std::byte*>(mapped);
  result->mapped_ = true;
  return result;
}

FileBytes::~FileBytes() {
  void* data = const_cast<std::byte*>(data_);
  if (mapped_) {
    ::munmap(data, size_);
  } else {
    std::free(data);
  }
}

std::string read_text(const std::string& path, std::size_t limit) {
  const auto file = FileBytes::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > limit)
    throw Error(ErrorKind::limit, fmt::format("{} bytes, at most {} are read", bytes.size(), limit), path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_directory(const std::string& path) noexcept {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool exists(const std::string& path) noexcept {
  std::error_code error;
  return fs::exists(path, error);
}

std::string base_name(const std::string& path) { return fs::path(without_slash(path)).filename().string(); }
std::string stem(const std::string& path) { return fs::path(without_slash(path)).stem().string(); }

void write_file(const std::string& path, const std::vector<std::span<const std::byte>>& pieces) {
  std::string temporary = temporary_name(path);
  const int fd = ::mkstemp(temporary.data());
  if (fd < 0) fail_errno("create a file beside", path);
  try {
    const Descriptor file(fd);
    for (const auto piece : pieces) write_fully(fd, piece.data(), piece.size(), path);
    if (::fchmod(fd, 0644) != 0 || ::fsync(fd) != 0) fail_errno("sync", path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_errno("rename to", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(parent_of(path));
}

void write_file(const std::string& path, std::span<const std::byte> bytes) { write_file(path, std::vector{bytes}); }

void write_file(const std::string& path, std::string_view text) {
  write_file(path, std::span(reinterpret_cast<const std::byte*>(text.data()), text.size()));
}

void write_folder(const std::string& target, const std::function<void(const std::string& folder)>& fill) {
  const std::string path = without_slash(target);
  std::string temporary = temporary_name(path);
  if (::mkdtemp(temporary.data()) == nullptr) fail_errno("create a folder beside", path);
  std::string old;
  try {
    fill(temporary);
    if (::chmod(temporary.c_str(), 0755) != 0) fail_errno("set the mode of", path);
    sync_tree(temporary);
    if (exists(path)) {
      old = temporary + ".old";
      if (::rename(path.c_str(), old.c_str()) != 0) fail_errno("move aside", path);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      const int code = errno;
      if (!old.empty()) ::rename(old.c_str(), path.c_str());
      errno = code;
      fail_errno("rename to", path);
    }
  } catch (...) {
    std::error_code error;
    fs::remove_all(temporary, error);
    throw;
  }
  std::error_code error;
  if (!old.empty()) fs::remove_all(old, error);
  sync_folder(parent_of(path));
}

}  // namespace tl
