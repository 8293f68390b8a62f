#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/model_folder.hpp"
#include "format/pipeline_write.hpp"
#include "format/spec_description.hpp"
#include "format/spec_model.hpp"
#include "format/weight_mover.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* owner = "com.apple.CoreML";
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

// An identifier in the form of a UUID that depends on the contents alone, so that the same model gives the same bytes.
std::string identifier(std::string_view bytes, std::uint64_t seed) {
  const auto digest = [&](std::uint64_t hash) {  // FNV-1a
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
  };
  const std::uint64_t a = digest(0xcbf29ce484222325U + seed);
  const std::uint64_t b = digest(a);
  return fmt::format("{:08X}-{:04X}-{:04X}-{:04X}-{:012X}", a >> 32, (a >> 16) & 0xFFFF, (a & 0x0FFF) | 0x4000,
                     ((b >> 48) & 0x3FFF) | 0x8000, b & 0xFFFFFFFFFFFF);
}

std::string manifest_of(std::string_view specification) {
  const std::string model = identifier(specification, 0);
  const std::string weights = identifier(specification, 1);
  json root;
  root["fileFormatVersion"] = "1.0.0";
  root["rootModelIdentifier"] = model;
  root["itemInfoEntries"][model] = {{"author", owner},
                                    {"description", "CoreML Model Specification"},
                                    {"name", "model.mlmodel"},
                                    {"path", fmt::format("{}/model.mlmodel", owner)}};
  root["itemInfoEntries"][weights] = {{"author", owner},
                                      {"description", "CoreML Model Weights"},
                                      {"name", "weights"},
                                      {"path", fmt::format("{}/weights", owner)}};
  return root.dump(4) + "\n";
}

}  // namespace

ir::Model read_mlpackage(const std::string& path, const ReadOptions& options) {
  const std::string manifest = read_text((fs::path(path) / "Manifest.json").string(), max_manifest_bytes);
  const std::string data = (fs::path(path) / "Data").string();
  const std::string root = within([] { return "Manifest.json"; }, [&] { return path_inside(data, root_item(manifest)); });
  if (!exists(root)) fail(ErrorKind::bad_file, "Manifest.json names '{}', which is missing", base_name(root));

  const auto file = FileBytes::open(root, options.copy);

  // "@model_path/" is the folder of the specification.
  const std::string folder = fs::path(root).parent_path().string();
  const SpecPlace place{fs::path(path).lexically_normal().parent_path().string(), options.copy, options.links, options.lenient};
  ir::Model model = within([&] { return base_name(root); },
                           [&] { return read_spec(file->bytes(), folder_blobs(folder, options.copy), place); });
  model.info.container = "mlpackage";
  return model;
}

namespace {

using WeightFiles = std::vector<std::pair<std::string, std::vector<std::byte>>>;

// A program model as a message; its weights are added to `files` under this name.
void write_part(const ir::Model& model, const std::string& weight_file, spec::Model& message, WeightFiles& files) {
  ir::Model copy;
  copy.info = model.info;
  copy.program = ir::clone(*model.program);
  std::vector<std::byte> weights = move_weights(*copy.program, weight_file);
  write_spec(copy, message);
  if (!weights.empty()) files.emplace_back(weight_file, std::move(weights));
}

void write_package(const spec::Model& message, const WeightFiles& files, const std::string& path) {
  const std::string bytes = serialize(message);
  write_folder(path, [&](const std::string& folder) {
    const fs::path data = fs::path(folder) / "Data" / owner;
    // An empty program still gets its weights folder: coremltools expects one.
    fs::create_directories(data / "weights");
    write_file((data / "model.mlmodel").string(), bytes);
    for (const auto& [name, weights] : files)
      write_file((data / "weights" / name).string(), std::span<const std::byte>(weights));
    write_file((fs::path(folder) / "Manifest.json").string(), manifest_of(bytes));
  });
}

}  // namespace

void write_mlpackage(const ir::Model& model, const std::string& path) {
  if (model.program == nullptr) fail(ErrorKind::unsupported, "only models with a program can be written as a package");
  spec::Model message;
  WeightFiles files;
  write_part(model, "weight.bin", message, files);
  write_package(message, files, path);
}

void write_pipeline(const ModelInfo& info, const std::vector<ir::Model>& parts, const std::string& path) {
  spec::Model message;
  WeightFiles files;
  int version = 0;
  write_description(info, *message.mutable_description());
  const bool classifier = !info.interfaces.empty() && !info.interfaces.front().predicted_feature.empty();
  spec::Pipeline& pipeline =
      classifier ? *message.mutable_pipelineclassifier()->mutable_pipeline() : *message.mutable_pipeline();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    within([&] { return fmt::format("part {}", i + 1); },
           [&] {
             spec::Model& part = *pipeline.add_models();
             write_part(parts[i], fmt::format("{}-weight.bin", i), part, files);
             version = std::max(version, part.specificationversion());
           });
    pipeline.add_names(fmt::format("part_{}", i + 1));
  }
  message.set_specificationversion(version);
  write_package(message, files, path);
}

}  // namespace tl::format
