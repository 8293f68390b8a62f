#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.hpp"
#include "format/spec_bytes.hpp"
#include "ir/verify.hpp"

// A specification; every weight that it names is there, filled with zeros.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto blobs = [](const tl::ir::BlobRef&, tl::DType dtype, const tl::Shape& shape) {
    if (tl::element_count(shape) > (1 << 20)) tl::fail(tl::ErrorKind::bad_file, "the blob is shorter");
    return tl::Tensor::zeros(dtype, shape);
  };
  for (const bool lenient : {false, true}) {
    try {
      const tl::ir::Model model =
          tl::format::read_spec(std::span(reinterpret_cast<const std::byte*>(data), size), blobs, {{}, false, 0, lenient});
      if (model.program != nullptr && !lenient) tl::ir::verify(*model.program);
    } catch (const tl::Error&) {  // refused
    }
  }
  return 0;
}
