#include "format/model_folder.hpp"

#include <filesystem>
#include <map>

#include "base/error.hpp"
#include "format/weight_blob.hpp"

namespace tl::format {

namespace fs = std::filesystem;

std::string path_inside(const std::string& folder, const std::string& relative) {
  const fs::path path(relative);
  bool escapes = relative.empty() || path.is_absolute() || relative.find('\0') != std::string::npos;
  for (const auto& part : path) escapes = escapes || part == "..";
  if (escapes) fail(ErrorKind::bad_file, "the path '{}' leaves the package", relative);
  return (fs::path(folder) / path).string();
}

BlobReader folder_blobs(const std::string& folder, bool copy) {
  auto opened = std::make_shared<std::map<std::string, std::shared_ptr<const BlobFile>>>();
  return [folder, copy, opened](const ir::BlobRef& ref, DType dtype, const Shape& shape) {
    constexpr std::string_view prefix = "@model_path/";
    if (ref.file.rfind(prefix, 0) != 0) fail(ErrorKind::bad_model, "the weight file '{}' is not below @model_path", ref.file);
    auto& blob = (*opened)[ref.file];
    if (blob == nullptr) blob = BlobFile::open(path_inside(folder, ref.file.substr(prefix.size())), copy);
    return blob->read(ref.offset, dtype, shape);
  };
}

}  // namespace tl::format
