#include <cstddef>
#include <cstdint>

#include "base/error.hpp"
#include "format/safetensors_header.hpp"

// The input is a whole file; an Error is the only way out other than success.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  std::uint64_t length = 0;
  for (unsigned i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(data[i]) << (8 * i);
  if (length > size - 8) return 0;
  try {
    tl::format::parse_safetensors_header({reinterpret_cast<const char*>(data) + 8, length}, size - 8 - length);
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
