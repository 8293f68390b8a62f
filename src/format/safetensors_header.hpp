#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensorlogic/tensor.hpp"

namespace tl::format {

struct SafetensorsType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;
};
const SafetensorsType* safetensors_type(std::string_view name) noexcept;
const SafetensorsType* safetensors_type(DType dtype) noexcept;

struct SafetensorsEntry {
  std::string name;
  const SafetensorsType* type = nullptr;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  // relative to the data
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their data
  std::map<std::string, std::string> metadata;
};

// Parses the JSON header of a file with `data_size` bytes after it and checks every rule of the format: known types, no key
// twice, byte counts that match the shapes, data without holes or overlap from 0 to the end. Throws Error{bad_file, limit}.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size);
std::string print_safetensors_header(const SafetensorsHeader& header);

}  // namespace tl::format
