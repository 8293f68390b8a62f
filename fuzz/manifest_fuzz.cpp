#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/format.hpp"

// A package that holds a Manifest.json only.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = [] {
    const auto folder = std::filesystem::temp_directory_path() / ("tl_fuzz_manifest_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    return folder.string();
  }();
  try {
    tl::write_file(path + "/Manifest.json", std::span(reinterpret_cast<const std::byte*>(data), size));
    tl::format::read_mlpackage(path, {});
  } catch (const tl::Error&) {
    return 0;
  }
  return 0;
}
