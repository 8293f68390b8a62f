#include <cstddef>
#include <cstdint>

#include "tensorlogic/error.hpp"
#include "tensorlogic/image.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const tl::Image image = tl::decode_image({reinterpret_cast<const std::byte*>(data), size});
    if (image.pixels.size() < (1 << 20)) tl::resize(image, 17, 9, tl::Filter::lanczos);
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
