#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "format/gguf_blocks.hpp"
#include "tensorlogic/tensor.hpp"

namespace tl::format {

struct GgufTensor {
  std::string name;
  const GgufType* type = nullptr;
  Shape shape;               // outermost axis first
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
};

struct GgufHeader {
  std::uint32_t version = 0;
  std::map<std::string, std::string> metadata;  // values as text, long lists cut
  std::vector<GgufTensor> tensors;
};

// Parses the header of a whole file and checks every count, size and offset against its bytes. Throws Error{bad_file,
// unsupported, limit}.
GgufHeader parse_gguf_header(std::span<const std::byte> file);

}  // namespace tl::format
