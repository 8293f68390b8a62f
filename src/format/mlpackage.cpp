#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/spec_model.hpp"
#include "format/weight_blob.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t max_manifest_bytes = std::size_t{16} << 20;

// A path that a file names, kept inside `folder`.
std::string inside(const std::string& folder, const std::string& relative) {
  const fs::path path(relative);
  bool escapes = relative.empty() || path.is_absolute() || relative.find('\0') != std::string::npos;
  for (const auto& part : path) escapes = escapes || part == "..";
  if (escapes) fail(ErrorKind::bad_file, "the path '{}' leaves the package", relative);
  return (fs::path(folder) / path).string();
}

// The path of the root item, below Data/.
std::string root_item(const std::string& manifest) {
  json root;
  try {
    root = json::parse(manifest);
    const std::string id = root.at("rootModelIdentifier");
    return root.at("itemInfoEntries").at(id).at("path");
  } catch (const json::exception& error) {
    fail(ErrorKind::bad_file, "{}", error.what());
  }
}

}  // namespace

ir::Model read_mlpackage(const std::string& path, const ReadOptions& options) {
  const std::string manifest = read_text((fs::path(path) / "Manifest.json").string(), max_manifest_bytes);
  const std::string data = (fs::path(path) / "Data").string();
  const std::string root = within([] { return "Manifest.json"; }, [&] { return inside(data, root_item(manifest)); });
  if (!exists(root)) fail(ErrorKind::bad_file, "Manifest.json names '{}', which is missing", base_name(root));

  const auto file = FileBytes::open(root, options.copy);
  spec::Model message;
  within([&] { return base_name(root); }, [&] { parse_spec(file->bytes(), message); });

  // "@model_path/" is the folder of the specification.
  const std::string folder = fs::path(root).parent_path().string();
  auto opened = std::make_shared<std::map<std::string, std::shared_ptr<const BlobFile>>>();
  const BlobReader blobs = [&options, folder, opened](const ir::BlobRef& ref, DType dtype, const Shape& shape) {
    constexpr std::string_view prefix = "@model_path/";
    if (ref.file.rfind(prefix, 0) != 0) fail(ErrorKind::bad_model, "the weight file '{}' is not below @model_path", ref.file);
    auto& blob = (*opened)[ref.file];
    if (blob == nullptr) blob = BlobFile::open(inside(folder, ref.file.substr(prefix.size())), options.copy);
    return blob->read(ref.offset, dtype, shape);
  };
  ir::Model model = read_spec(message, blobs);
  model.info.container = "mlpackage";
  return model;
}

void write_mlpackage(const ir::Model& /*model*/, const std::string& /*path*/) { fail(ErrorKind::unsupported, "not yet"); }

}  // namespace tl::format
