#include "format/coremldata.hpp"

#include <algorithm>
#include <cstring>

#include "base/checked.hpp"
#include "format/spec_description.hpp"
#include "format/spec_model.hpp"

namespace tl::format {
namespace {

// Little-endian: u32 type, u32, 20 zero bytes, u64 + name of the engine, u64 specification version, 24 zero bytes,
// u64 + description, u64 type, u64 0. The type is the field of the specification that holds the model.
constexpr std::uint32_t mlprogram_field = 502;
constexpr std::size_t name_at = 28;
constexpr std::size_t gap = 24;
constexpr std::string_view engine = "generic";

template <class T>
T take(std::span<const std::byte> bytes, std::size_t& at) {
  check_range(at, sizeof(T), bytes.size(), "header");
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  at += sizeof(T);
  return value;
}

template <class T>
void put(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

void put_text(std::vector<std::byte>& out, std::string_view text) {
  put<std::uint64_t>(out, text.size());
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  out.insert(out.end(), bytes, bytes + text.size());
}

}  // namespace

void read_coremldata(std::span<const std::byte> bytes, ModelInfo& info) {
  std::size_t at = 0;
  const auto type = take<std::uint32_t>(bytes, at);
  if (type != mlprogram_field) fail(ErrorKind::bad_file, "model type {}, expected {}", type, mlprogram_field);
  at = name_at;
  const auto name_size = take<std::uint64_t>(bytes, at);
  check_range(at, name_size, bytes.size(), "name");
  at += name_size;
  const auto version = take<std::uint64_t>(bytes, at);
  check_range(at, gap, bytes.size(), "header");
  at += gap;
  const auto size = take<std::uint64_t>(bytes, at);
  check_range(at, size, bytes.size(), "description");
  spec::ModelDescription message;
  if (!message.ParseFromArray(bytes.data() + at, checked_cast<int>(size, "size of the description"))) {
    fail(ErrorKind::bad_file, "the description is damaged");
  }
  read_description(message, info);
  info.specification_version = checked_cast<int>(version, "specification version");
}

std::vector<std::byte> write_coremldata(const ModelInfo& info) {
  spec::ModelDescription message;
  write_description(info, message);
  std::vector<std::byte> out;
  put<std::uint32_t>(out, mlprogram_field);
  put<std::uint32_t>(out, 5);
  out.resize(name_at);
  put_text(out, engine);
  put<std::uint64_t>(out, static_cast<std::uint64_t>(std::max(info.specification_version, 0)));
  out.resize(out.size() + gap);
  put_text(out, serialize(message));
  put<std::uint64_t>(out, mlprogram_field);
  put<std::uint64_t>(out, 0);
  return out;
}

}  // namespace tl::format
