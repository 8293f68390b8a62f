#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/weight_blob.hpp"

// A weight file, read at every offset with the dtype and length that its first bytes pick.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("tl_fuzz_blob_" + std::to_string(getpid()))).string();
  const auto dtype = tl::dtype_from_blob(data[0] % 18);
  const tl::Shape shape{data[1]};
  try {
    tl::write_file(path, std::span(reinterpret_cast<const std::byte*>(data) + 2, size - 2));
    const auto file = tl::format::BlobFile::open(path, true);
    for (std::uint64_t offset = 0; dtype && offset < size + 64; offset += 32) {
      try {
        const tl::Tensor tensor = file->read(offset, *dtype, shape);
        for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.number_at(i);
      } catch (const tl::Error&) {
        continue;
      }
    }
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
