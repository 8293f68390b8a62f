#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/model_folder.hpp"
#include "format/spec_model.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t max_manifest_bytes = std::size_t{16} << 20;

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
  const std::string root = within([] { return "Manifest.json"; }, [&] { return path_inside(data, root_item(manifest)); });
  if (!exists(root)) fail(ErrorKind::bad_file, "Manifest.json names '{}', which is missing", base_name(root));

  const auto file = FileBytes::open(root, options.copy);
  spec::Model message;
  within([&] { return base_name(root); }, [&] { parse_spec(file->bytes(), message); });

  // "@model_path/" is the folder of the specification.
  const std::string folder = fs::path(root).parent_path().string();
  ir::Model model = read_spec(message, folder_blobs(folder, options.copy));
  model.info.container = "mlpackage";
  return model;
}

void write_mlpackage(const ir::Model& /*model*/, const std::string& /*path*/) { fail(ErrorKind::unsupported, "not yet"); }

}  // namespace tl::format
