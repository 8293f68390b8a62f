#include <filesystem>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/spec_bytes.hpp"

namespace tl::format {

ir::Model read_mlmodel(const std::string& path, const ReadOptions& options) {
  const auto file = FileBytes::open(path, options.copy);
  const BlobReader blobs = [](const ir::BlobRef& ref, DType, const Shape&) -> Tensor {
    fail(ErrorKind::bad_model, "the weight file '{}' is missing: a program with weights comes as an .mlpackage", ref.file);
  };
  const std::string folder = std::filesystem::path(path).parent_path().string();
  ir::Model model = read_spec(file->bytes(), blobs, {folder, options.copy, options.links, options.lenient});
  model.info.container = "mlmodel";
  return model;
}

}  // namespace tl::format
