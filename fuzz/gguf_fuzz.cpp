#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.hpp"
#include "format/gguf_header.hpp"

// The input is a whole file: the header is parsed and every tensor dequantized.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto header = tl::format::parse_gguf_header({reinterpret_cast<const std::byte*>(data), size});
    for (const auto& tensor : header.tensors) {
      if (tensor.type->dequantize == nullptr) continue;
      const auto blocks = static_cast<std::int64_t>(tensor.bytes) / tensor.type->block_bytes;
      std::vector<float> values(static_cast<std::size_t>(blocks * tensor.type->block_elements));
      tensor.type->dequantize(data + tensor.offset, values.data(), blocks);
    }
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
