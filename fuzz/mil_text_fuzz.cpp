#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.hpp"
#include "ir/text.hpp"

// What parses must print, parse again, and print the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto program = tl::ir::parse_mil({reinterpret_cast<const char*>(data), size});
    const std::string text = tl::ir::print_mil(*program);
    if (tl::ir::print_mil(*tl::ir::parse_mil(text)) != text) std::abort();
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
