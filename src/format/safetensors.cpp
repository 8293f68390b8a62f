#include <algorithm>
#include <cstring>
#include <set>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/safetensors_header.hpp"
#include "format/stored_tensors.hpp"

namespace tl::format {
namespace {

constexpr std::uint64_t max_header = 100'000'000;
constexpr std::uint64_t length_bytes = 8;

std::uint64_t header_length(std::span<const std::byte> bytes) {
  if (bytes.size() < length_bytes) fail(ErrorKind::bad_file, "{} bytes are too few for a header", bytes.size());
  std::uint64_t length = 0;
  for (unsigned i = 0; i < length_bytes; ++i) length |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  if (length > max_header) fail(ErrorKind::bad_file, "a header of {} bytes, at most {} are allowed", length, max_header);
  check_range(length_bytes, length, bytes.size(), "header");
  return length;
}

Tensor read_tensor(const SafetensorsType& type, const Shape& shape, const std::byte* data,
                   const std::shared_ptr<const FileBytes>& file) {
  if (!type.dtype) fail(ErrorKind::unsupported, "elements of type {} are not read", type.name);
  return plain_tensor(*type.dtype, shape, data, file);
}

}  // namespace

ir::Model read_safetensors(const std::string& path, const ReadOptions& options) {
  const auto file = FileBytes::open(path, options.copy);
  const auto bytes = file->bytes();
  const std::uint64_t length = header_length(bytes);
  const auto data = bytes.subspan(length_bytes + length);
  SafetensorsHeader header =
      parse_safetensors_header({reinterpret_cast<const char*>(bytes.data()) + length_bytes, length}, data.size());

  ir::Model model;
  model.info.format = Format::safetensors;
  model.info.container = "safetensors";
  model.info.user_metadata = std::move(header.metadata);
  model.tensors.reserve(header.entries.size());
  for (SafetensorsEntry& entry : header.entries) {
    const std::byte* begin = data.data() + entry.begin;
    const SafetensorsType& type = *entry.type;
    model.tensors.push_back(
        {.name = std::move(entry.name),
         .shape = entry.shape,
         .storage = std::string(type.name),
         .bytes = entry.end - entry.begin,
         .read = [&type, shape = entry.shape, begin, file] { return read_tensor(type, shape, begin, file); }});
  }
  sort_by_name(model.tensors);
  model.info.quantization = majority_storage(model.tensors);
  return model;
}

void write_safetensors(const std::vector<std::pair<std::string, Tensor>>& tensors, const std::string& path,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const std::pair<std::string, Tensor>*> order;
  std::set<std::string_view> names;
  for (const auto& item : tensors) {
    if (item.first == "__metadata__") fail(ErrorKind::invalid_argument, "a tensor cannot be named '__metadata__'");
    if (!names.insert(item.first).second) fail(ErrorKind::invalid_argument, "two tensors are named '{}'", item.first);
    if (!item.second.defined() || safetensors_type(item.second.dtype()) == nullptr) {
      fail(ErrorKind::unsupported, "tensor '{}': safetensors has no type for {}", item.first, name(item.second.dtype()));
    }
    order.push_back(&item);
  }
  // Wide elements first keeps every tensor aligned to its type.
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const int wide_a = bits(a->second.dtype()), wide_b = bits(b->second.dtype());
    return wide_a != wide_b ? wide_a > wide_b : a->first < b->first;
  });
  SafetensorsHeader header{.entries = {}, .metadata = metadata};
  std::uint64_t position = 0;
  for (const auto* item : order) {
    const std::uint64_t end = checked_add<std::uint64_t>(position, item->second.bytes(), "the file size");
    header.entries.push_back({item->first, safetensors_type(item->second.dtype()), item->second.shape(), position, end});
    position = end;
  }
  std::string json = print_safetensors_header(header);
  json.append((length_bytes - json.size() % length_bytes) % length_bytes, ' ');
  if (json.size() > max_header) fail(ErrorKind::limit, "a header of {} bytes, at most {} are allowed", json.size(), max_header);

  std::array<std::byte, length_bytes> length{};
  for (unsigned i = 0; i < length_bytes; ++i) length[i] = static_cast<std::byte>(json.size() >> (8 * i));
  std::vector<std::span<const std::byte>> pieces = {length, std::as_bytes(std::span(json))};
  for (const auto* item : order) pieces.emplace_back(item->second.data(), item->second.bytes());
  write_file(path, pieces);
}

}  // namespace tl::format
