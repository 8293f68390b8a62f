#include "format/gguf_header.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.hpp"
#include "format/byte_reader.hpp"

namespace tl::format {
namespace {

constexpr std::uint64_t max_name = 65535;
constexpr std::uint32_t max_rank = 4;
constexpr std::uint64_t max_alignment = 1 << 20;
constexpr int max_depth = 4;
constexpr std::uint64_t shown_items = 8;
constexpr std::size_t shown_text = 64;

enum Kind : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64, kind_count };
constexpr std::uint64_t min_bytes[kind_count] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
constexpr const char* kind_names[kind_count] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                                "bool",  "string", "array",  "uint64", "int64",  "float64"};

Kind read_kind(ByteReader& reader) {
  const auto kind = reader.read<std::uint32_t>("value type");
  if (kind >= kind_count) fail(ErrorKind::bad_file, "value type {} at byte {} is none", kind, reader.position() - 4);
  return static_cast<Kind>(kind);
}

void check_count(const ByteReader& reader, std::uint64_t count, std::uint64_t least, const char* what) {
  if (count > reader.remaining() / least) {
    fail(ErrorKind::bad_file, "{} {} at byte {} do not fit the {} bytes that follow", count, what, reader.position(),
         reader.remaining());
  }
}

std::string_view read_string(ByteReader& reader, const char* what) {
  const auto length = reader.read<std::uint64_t>(what);
  check_count(reader, length, 1, "bytes of text");
  return reader.text(length, what);
}

std::string value_text(ByteReader& reader, Kind kind, int depth);

std::string array_text(ByteReader& reader, int depth) {
  if (depth == max_depth) fail(ErrorKind::limit, "lists nest over {} deep", max_depth);
  const Kind kind = read_kind(reader);
  const auto count = reader.read<std::uint64_t>("list length");
  check_count(reader, count, min_bytes[kind], "list elements");
  std::string text = "[";
  for (std::uint64_t i = 0; i < std::min(count, shown_items); ++i) {
    if (i != 0) text += ", ";
    const std::string item = value_text(reader, kind, depth + 1);
    text += item.size() > shown_text ? item.substr(0, shown_text) + "..." : item;
  }
  if (count > shown_items) {
    text += fmt::format(", ... {} {} in all", count, kind_names[kind]);
    if (kind == string || kind == array) {
      for (std::uint64_t i = shown_items; i < count; ++i)
        kind == string ? void(read_string(reader, "list element")) : void(array_text(reader, depth + 1));
    } else {
      reader.skip((count - shown_items) * min_bytes[kind], "list elements");
    }
  }
  return text + "]";
}

std::string value_text(ByteReader& reader, Kind kind, int depth) {
  switch (kind) {
    case u8: return fmt::to_string(reader.read<std::uint8_t>("value"));
    case i8: return fmt::to_string(reader.read<std::int8_t>("value"));
    case u16: return fmt::to_string(reader.read<std::uint16_t>("value"));
    case i16: return fmt::to_string(reader.read<std::int16_t>("value"));
    case u32: return fmt::to_string(reader.read<std::uint32_t>("value"));
    case i32: return fmt::to_string(reader.read<std::int32_t>("value"));
    case f32: return fmt::to_string(reader.read<float>("value"));
    case boolean: {
      const auto value = reader.read<std::uint8_t>("value");
      if (value > 1) fail(ErrorKind::bad_file, "a boolean of {} at byte {}", value, reader.position() - 1);
      return value == 1 ? "true" : "false";
    }
    case string: return std::string(read_string(reader, "value"));
    case array: return array_text(reader, depth);
    case u64: return fmt::to_string(reader.read<std::uint64_t>("value"));
    case i64: return fmt::to_string(reader.read<std::int64_t>("value"));
    case f64: return fmt::to_string(reader.read<double>("value"));
    case kind_count: break;
  }
  fail(ErrorKind::internal, "unknown value type");
}

std::string read_name(ByteReader& reader, const char* what) {
  const auto start = reader.position();
  const std::string_view name = read_string(reader, what);
  if (name.empty() || name.size() > max_name)
    fail(ErrorKind::bad_file, "a {} of {} bytes at byte {}", what, name.size(), start);
  return std::string(name);
}

std::uint64_t read_alignment(std::uint64_t value) {
  if (value == 0 || value > max_alignment || (value & (value - 1)) != 0 || value % 8 != 0) {
    fail(ErrorKind::bad_file, "general.alignment is {}, expected a power of two from 8 to {}", value, max_alignment);
  }
  return value;
}

std::uint64_t data_bytes(const GgufTensor& tensor) {
  const std::int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % tensor.type->block_elements != 0) {
    fail(ErrorKind::bad_file, "rows of {} elements, {} has blocks of {}", row, tensor.type->name, tensor.type->block_elements);
  }
  std::uint64_t elements = 1;
  for (const std::int64_t extent : tensor.shape)
    elements = checked_mul(elements, static_cast<std::uint64_t>(extent), "the element count");
  const std::uint64_t blocks = elements / static_cast<std::uint64_t>(tensor.type->block_elements);
  return checked_mul(blocks, static_cast<std::uint64_t>(tensor.type->block_bytes), "the byte count");
}

// Reads one tensor description; its offset is still relative to the data.
GgufTensor read_tensor(ByteReader& reader, std::uint64_t alignment) {
  GgufTensor tensor;
  tensor.name = read_name(reader, "tensor name");
  within([&] { return fmt::format("tensor '{}'", tensor.name); },
         [&] {
           const auto rank = reader.read<std::uint32_t>("rank");
           if (rank > max_rank) fail(ErrorKind::bad_file, "{} axes, at most {} are allowed", rank, max_rank);
           for (std::uint32_t i = 0; i < rank; ++i) {
             tensor.shape.push_back(checked_cast<std::int64_t>(reader.read<std::uint64_t>("extent"), "an extent"));
           }
           std::reverse(tensor.shape.begin(), tensor.shape.end());
           const auto number = reader.read<std::uint32_t>("tensor type");
           tensor.type = gguf_type(number);
           if (tensor.type == nullptr) fail(ErrorKind::unsupported, "tensor type {} is not known", number);
           tensor.offset = reader.read<std::uint64_t>("tensor offset");
           if (tensor.offset % alignment != 0)
             fail(ErrorKind::bad_file, "offset {} is not a multiple of {}", tensor.offset, alignment);
           element_count(tensor.shape);
           tensor.bytes = data_bytes(tensor);
         });
  return tensor;
}

void check_names(const std::vector<GgufTensor>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const GgufTensor& tensor : tensors) names.emplace_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail(ErrorKind::bad_file, "tensor '{}' stands twice", *twice);
}

void check_overlap(std::vector<GgufTensor>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const GgufTensor& a, const GgufTensor& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i].offset < tensors[i - 1].offset + tensors[i - 1].bytes) {
      fail(ErrorKind::bad_file, "tensors '{}' and '{}' overlap", tensors[i - 1].name, tensors[i].name);
    }
  }
}

}  // namespace

GgufHeader parse_gguf_header(std::span<const std::byte> file) {
  ByteReader reader(file);
  GgufHeader header;
  if (reader.text(4, "magic") != "GGUF") fail(ErrorKind::bad_file, "does not start with 'GGUF'");
  header.version = reader.read<std::uint32_t>("version");
  if ((header.version & 0xFFFFU) == 0 && header.version != 0) fail(ErrorKind::unsupported, "a big-endian GGUF file");
  if (header.version < 2 || header.version > 3)
    fail(ErrorKind::unsupported, "GGUF version {}, 2 and 3 are read", header.version);
  const auto tensor_count = reader.read<std::uint64_t>("tensor count");
  const auto pair_count = reader.read<std::uint64_t>("metadata count");
  constexpr std::uint64_t least_pair = 8 + 1 + 4 + 1, least_tensor = 8 + 1 + 4 + 4 + 8;
  check_count(reader, pair_count, least_pair, "metadata pairs");
  check_count(reader, tensor_count, least_tensor, "tensors");

  std::uint64_t alignment = 32;
  for (std::uint64_t i = 0; i < pair_count; ++i) {
    std::string key = read_name(reader, "metadata key");
    within([&] { return fmt::format("metadata '{}'", key.substr(0, 200)); },
           [&] {
             const Kind kind = read_kind(reader);
             std::string text;
             if (key == "general.alignment") {
               if (kind != u32) fail(ErrorKind::bad_file, "has type {}, expected uint32", kind_names[kind]);
               alignment = read_alignment(reader.read<std::uint32_t>("value"));
               text = fmt::to_string(alignment);
             } else {
               text = value_text(reader, kind, 0);
             }
             if (!header.metadata.emplace(key, std::move(text)).second) fail(ErrorKind::bad_file, "stands twice");
           });
  }
  check_count(reader, tensor_count, least_tensor, "tensors");
  header.tensors.reserve(tensor_count);
  for (std::uint64_t i = 0; i < tensor_count; ++i) header.tensors.push_back(read_tensor(reader, alignment));
  check_names(header.tensors);

  if (tensor_count == 0) return header;
  const std::uint64_t padding = (alignment - reader.position() % alignment) % alignment;
  const std::uint64_t data = checked_add(reader.position(), padding, "the data offset");
  for (GgufTensor& tensor : header.tensors) {
    within([&] { return fmt::format("tensor '{}'", tensor.name); },
           [&] {
             tensor.offset = checked_add(data, tensor.offset, "the tensor offset");
             check_range(tensor.offset, tensor.bytes, file.size(), "data");
           });
  }
  check_overlap(header.tensors);
  return header;
}

}  // namespace tl::format
