#include "format/weight_blob.hpp"

#include <cstring>

#include "base/checked.hpp"

namespace tl::format {
namespace {

constexpr std::uint64_t alignment = 64;
constexpr std::uint32_t version = 2;
constexpr std::uint32_t sentinel = 0xDEADBEEF;

struct Header {
  std::uint32_t count;
  std::uint32_t version;
  std::uint64_t reserved[7];
};

struct Metadata {
  std::uint32_t sentinel;
  std::uint32_t dtype;
  std::uint64_t bytes;
  std::uint64_t offset;
  std::uint64_t padding_bits;
  std::uint64_t reserved[4];
};
static_assert(sizeof(Header) == 64 && sizeof(Metadata) == 64);

template <class T>
T load(std::span<const std::byte> bytes, std::uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

}  // namespace

bool fits_blob(DType dtype) noexcept { return info(dtype).blob != 0; }

std::shared_ptr<const BlobFile> BlobFile::open(const std::string& path, bool copy) {
  auto file = FileBytes::open(path, copy);
  return within([&] { return path; },
                [&] {
                  check_range(0, sizeof(Header), file->bytes().size(), "header");
                  const auto header = load<Header>(file->bytes(), 0);
                  if (header.version != version)
                    fail(ErrorKind::unsupported, "weight file version {}, only {} is read", header.version, version);
                  return std::shared_ptr<const BlobFile>(new BlobFile(std::move(file)));
                });
}

Tensor BlobFile::read(std::uint64_t offset, DType dtype, const Shape& shape) const {
  const auto place = [&] { return fmt::format("{}: byte {}", base_name(file_->path()), offset); };
  return within(place, [&] {
    const auto bytes = file_->bytes();
    if (offset % alignment != 0) fail(ErrorKind::bad_file, "a blob must start at a multiple of {}", alignment);
    check_range(offset, sizeof(Metadata), bytes.size(), "blob metadata");
    const auto meta = load<Metadata>(bytes, offset);
    if (meta.sentinel != sentinel) fail(ErrorKind::bad_file, "no blob starts here");
    const auto stored = meta.dtype > 64 ? std::nullopt : dtype_from_blob(static_cast<int>(meta.dtype));
    if (!stored) fail(ErrorKind::bad_file, "blob of unknown data type {}", meta.dtype);
    if (meta.offset % alignment != 0)
      fail(ErrorKind::bad_file, "blob data at {}, not a multiple of {}", meta.offset, alignment);
    check_range(meta.offset, meta.bytes, bytes.size(), "blob data");
    const bool flags = dtype == DType::boolean && bits(*stored) == 8;
    if (*stored != dtype && !flags) {
      fail(ErrorKind::bad_model, "the blob holds {}, the program declares {}", name(*stored), name(dtype));
    }
    const std::size_t expected = packed_bytes(dtype, element_count(shape));
    if (meta.bytes != expected) {
      fail(ErrorKind::bad_model, "the blob holds {} bytes, {} of {} need {}", meta.bytes, to_string(shape), name(dtype),
           expected);
    }
    Tensor view = Tensor::view(flags ? DType::u8 : dtype, shape, bytes.data() + meta.offset, file_);
    return flags ? view.cast(DType::boolean) : view;
  });
}

BlobWriter::BlobWriter() : bytes_(sizeof(Header)) {}

std::uint64_t BlobWriter::add(const Tensor& tensor) {
  if (!fits_blob(tensor.dtype())) fail(ErrorKind::unsupported, "a weight file cannot hold {}", name(tensor.dtype()));
  const std::uint64_t offset = bytes_.size();
  const std::uint64_t data = offset + sizeof(Metadata);
  Metadata meta{};
  meta.sentinel = sentinel;
  meta.dtype = static_cast<std::uint32_t>(info(tensor.dtype()).blob);
  meta.bytes = tensor.bytes();
  meta.offset = data;
  meta.padding_bits =
      tensor.bytes() * 8 - static_cast<std::uint64_t>(tensor.size()) * static_cast<std::uint64_t>(bits(tensor.dtype()));
  bytes_.resize((data + tensor.bytes() + alignment - 1) / alignment * alignment);
  std::memcpy(bytes_.data() + offset, &meta, sizeof(meta));
  if (tensor.bytes() != 0) std::memcpy(bytes_.data() + data, tensor.data(), tensor.bytes());
  ++count_;
  return offset;
}

std::vector<std::byte> BlobWriter::take() {
  Header header{};
  header.count = count_;
  header.version = version;
  std::memcpy(bytes_.data(), &header, sizeof(header));
  return std::move(bytes_);
}

}  // namespace tl::format
