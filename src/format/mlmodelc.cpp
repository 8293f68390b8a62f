#include <filesystem>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/coremldata.hpp"
#include "format/format.hpp"
#include "format/model_folder.hpp"
#include "format/spec_model.hpp"
#include "format/weight_mover.hpp"
#include "ir/text.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;

void read_interface(const std::string& path, const ReadOptions& options, ModelInfo& info) {
  const std::string data = (fs::path(path) / "coremldata.bin").string();
  const std::string metadata = (fs::path(path) / "metadata.json").string();
  if (exists(data)) {
    try {
      read_coremldata(FileBytes::open(data, options.copy)->bytes(), info);
      return;
    } catch (const Error& error) {
      if (!exists(metadata)) throw error.within("coremldata.bin");
      info = {};
    }
  }
  if (!exists(metadata)) fail(ErrorKind::bad_file, "neither coremldata.bin nor metadata.json describes the interface");
  within([] { return "metadata.json"; }, [&] { read_metadata_json(read_text(metadata, std::size_t{16} << 20), info); });
}

}  // namespace

ir::Model read_mlmodelc(const std::string& path, const ReadOptions& options) {
  const std::string text = (fs::path(path) / "model.mil").string();
  // coremltools' stand-in here keeps what has no text in its own form.
  if (const std::string inner = (fs::path(path) / "model.mlmodel").string(); !exists(text) && exists(inner)) {
    ir::Model model = read_mlmodel(inner, options);
    model.info.container = "mlmodelc";
    return model;
  }
  if (!exists(text)) {
    fail(ErrorKind::unsupported,
         "a compiled model without model.mil (a compiled neural network or classic model); open the .mlmodel or "
         ".mlpackage that it was compiled from");
  }
  ir::Model model;
  read_interface(path, options, model.info);
  model.info.container = "mlmodelc";
  model.info.model_type = "mlprogram";
  const BlobReader blobs = folder_blobs(path, options.copy);
  within([] { return "model.mil"; }, [&] { model.program = ir::parse_mil(read_text(text), blobs); });
  for (Interface& interface : model.info.interfaces) {
    if (model.program->function(interface.function) == nullptr && model.program->functions.size() == 1) {
      interface.function = model.program->functions[0]->name;
    }
  }
  list_program_tensors(model);
  return model;
}

void write_mlmodelc(const ir::Model& model, const std::string& path) {
  if (model.program == nullptr) fail(ErrorKind::unsupported, "only models with a program can be compiled");
  const auto program = ir::clone(*model.program);
  const std::vector<std::byte> weights = move_weights(*program);
  const std::string text = ir::print_mil(*program);
  write_folder(path, [&](const std::string& folder) {
    const fs::path root(folder);
    write_file((root / "model.mil").string(), text);
    write_file((root / "coremldata.bin").string(), std::span<const std::byte>(write_coremldata(model.info)));
    write_file((root / "metadata.json").string(), write_metadata_json(model.info));
    if (weights.empty()) return;
    fs::create_directory(root / "weights");
    write_file((root / "weights" / "weight.bin").string(), std::span<const std::byte>(weights));
  });
}

}  // namespace tl::format
