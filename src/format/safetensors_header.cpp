#include "format/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/checked.hpp"

namespace tl::format {
namespace {

constexpr std::array types = {
#define TL_SAFETENSORS(name, bits, dtype) SafetensorsType{name, bits, dtype},
#include "format/safetensors_types.inc"
#undef TL_SAFETENSORS
};

constexpr std::size_t max_rank = 64;

// Walks the JSON as events, so that a hostile header never becomes a tree: depth 1 is the file, 2 a tensor or the metadata, 3 a
// list.
class HeaderHandler {
 public:
  using json = nlohmann::json;

  explicit HeaderHandler(SafetensorsHeader& header) : header_(header) {}

  bool start_object(std::size_t) {
    if (depth_ == 0) {
      ++depth_;
      return true;
    }
    if (depth_ != 1) unexpected("an object");
    in_metadata_ = key_ == "__metadata__";
    if (in_metadata_) {
      if (metadata_seen_) fail(ErrorKind::bad_file, "header: key '__metadata__' stands twice");
      metadata_seen_ = true;
    } else {
      header_.entries.push_back({.name = std::move(key_), .type = nullptr, .shape = {}});
      fields_ = 0;
    }
    ++depth_;
    return true;
  }

  bool end_object() {
    --depth_;
    if (depth_ == 1 && !in_metadata_ && fields_ != (dtype_field | shape_field | offsets_field)) {
      fail(ErrorKind::bad_file, "tensor '{}': dtype, shape and data_offsets are needed", header_.entries.back().name);
    }
    return true;
  }

  bool start_array(std::size_t) {
    if (depth_ != 2 || in_metadata_ || (field_ != shape_field && field_ != offsets_field)) unexpected("a list");
    ++depth_;
    offset_count_ = 0;
    return true;
  }

  bool end_array() {
    --depth_;
    if (field_ == offsets_field && offset_count_ != 2) {
      fail(ErrorKind::bad_file, "tensor '{}': data_offsets has {} numbers, expected 2", header_.entries.back().name,
           offset_count_);
    }
    return true;
  }

  bool key(json::string_t& text) {
    key_ = std::move(text);
    if (depth_ != 2 || in_metadata_) return true;
    field_ = key_ == "dtype" ? dtype_field : key_ == "shape" ? shape_field : key_ == "data_offsets" ? offsets_field : 0U;
    const std::string& name = header_.entries.back().name;
    if (field_ == 0) fail(ErrorKind::bad_file, "tensor '{}': unknown key '{}'", name, key_);
    if ((fields_ & field_) != 0) fail(ErrorKind::bad_file, "tensor '{}': key '{}' stands twice", name, key_);
    fields_ |= field_;
    return true;
  }

  bool string(json::string_t& text) {
    if (depth_ == 2 && in_metadata_) {
      if (!header_.metadata.emplace(key_, std::move(text)).second)
        fail(ErrorKind::bad_file, "metadata: key '{}' stands twice", key_);
      return true;
    }
    if (depth_ != 2 || field_ != dtype_field) unexpected("a string");
    SafetensorsEntry& entry = header_.entries.back();
    entry.type = safetensors_type(text);
    if (entry.type == nullptr) fail(ErrorKind::bad_file, "tensor '{}': unknown dtype '{}'", entry.name, text.substr(0, 40));
    return true;
  }

  bool number_unsigned(json::number_unsigned_t value) {
    if (depth_ != 3) unexpected("a number");
    SafetensorsEntry& entry = header_.entries.back();
    if (field_ == shape_field) {
      if (entry.shape.size() == max_rank) fail(ErrorKind::limit, "tensor '{}': more than {} axes", entry.name, max_rank);
      entry.shape.push_back(checked_cast<std::int64_t>(value, "an extent"));
    } else {
      if (offset_count_ == 0) entry.begin = value;
      if (offset_count_ == 1) entry.end = value;
      ++offset_count_;
    }
    return true;
  }

  bool null() { unexpected("null"); }
  bool boolean(bool) { unexpected("a boolean"); }
  bool number_integer(json::number_integer_t) { unexpected("a negative number"); }
  bool number_float(json::number_float_t, const json::string_t&) { unexpected("a fraction"); }
  bool binary(json::binary_t&) { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) {
    fail(ErrorKind::bad_file, "header: not valid JSON at byte {}", position);
  }

 private:
  [[noreturn]] void unexpected(const char* what) const {
    fail(ErrorKind::bad_file, "header: {} where the format has none{}", what,
         depth_ > 0 ? " (key '" + key_.substr(0, 80) + "')" : "");
  }

  static constexpr unsigned dtype_field = 1, shape_field = 2, offsets_field = 4;
  SafetensorsHeader& header_;
  std::string key_;
  int depth_ = 0;
  unsigned field_ = 0, fields_ = 0;
  int offset_count_ = 0;
  bool in_metadata_ = false, metadata_seen_ = false;
};

std::uint64_t stored_bytes(const SafetensorsEntry& entry) {
  std::uint64_t elements = 1;
  for (const std::int64_t extent : entry.shape)
    elements = checked_mul(elements, static_cast<std::uint64_t>(extent), "the element count");
  const std::uint64_t bits = checked_mul(elements, static_cast<std::uint64_t>(entry.type->bits), "the bit count");
  if (bits % 8 != 0) fail(ErrorKind::bad_file, "{} bits are no whole bytes", bits);
  return bits / 8;
}

void check_names(const std::vector<SafetensorsEntry>& entries) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail(ErrorKind::bad_file, "tensor '{}' stands twice", *twice);
}

}  // namespace

const SafetensorsType* safetensors_type(std::string_view name) noexcept {
  const auto* const row = std::find_if(types.begin(), types.end(), [&](const SafetensorsType& t) { return t.name == name; });
  return row == types.end() ? nullptr : row;
}

const SafetensorsType* safetensors_type(DType dtype) noexcept {
  const auto* const row = std::find_if(types.begin(), types.end(), [&](const SafetensorsType& t) { return t.dtype == dtype; });
  return row == types.end() ? nullptr : row;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size) {
  if (json.empty() || json.front() != '{') fail(ErrorKind::bad_file, "header: does not start with '{{'");
  SafetensorsHeader header;
  HeaderHandler handler(header);
  nlohmann::json::sax_parse(json.begin(), json.end(), &handler);

  check_names(header.entries);
  std::stable_sort(header.entries.begin(), header.entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::uint64_t position = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    within([&] { return fmt::format("tensor '{}'", entry.name); },
           [&] {
             if (entry.begin != position) {
               fail(ErrorKind::bad_file, "data starts at {}, expected {}: the data must have no holes and no overlap",
                    entry.begin, position);
             }
             if (entry.end < entry.begin || entry.end > data_size) {
               fail(ErrorKind::bad_file, "data_offsets {} to {} lie outside the {} bytes of data", entry.begin, entry.end,
                    data_size);
             }
             const std::uint64_t expected = stored_bytes(entry);
             if (expected != entry.end - entry.begin) {
               fail(ErrorKind::bad_file, "{} of shape {} takes {} bytes, data_offsets say {}", entry.type->name,
                    to_string(entry.shape), expected, entry.end - entry.begin);
             }
             position = entry.end;
           });
  }
  if (position != data_size) fail(ErrorKind::bad_file, "{} bytes follow the last tensor", data_size - position);
  return header;
}

std::string print_safetensors_header(const SafetensorsHeader& header) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  for (const SafetensorsEntry& entry : header.entries) {
    json[entry.name] = {{"dtype", entry.type->name}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  try {
    return json.dump();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::invalid_argument, "names and metadata must be UTF-8");
  }
}

}  // namespace tl::format
