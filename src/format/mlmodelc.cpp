#include <filesystem>
#include <unordered_map>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/coremldata.hpp"
#include "format/format.hpp"
#include "format/model_folder.hpp"
#include "format/spec_model.hpp"
#include "format/weight_blob.hpp"
#include "ir/text.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t smallest_blob = 10;  // elements; coremltools' threshold
constexpr const char* weight_path = "@model_path/weights/weight.bin";

// Moves whole weights of a program into a weight file.
class WeightMover {
 public:
  void block(ir::Block& block) {
    for (const auto& op : block.ops) {
      if (op->type.rfind("tl.", 0) == 0) fail(ErrorKind::unsupported, "op '{}' ({}) is not of Core ML", op->label(), op->type);
      for (auto& [name, value] : op->attributes) value = moved(value);
      for (ir::Argument& argument : op->inputs) {
        for (ir::Binding& binding : argument.bindings) {
          if (const auto* constant = std::get_if<ir::ConstantPtr>(&binding)) binding = moved(*constant);
        }
      }
      for (const auto& inner : op->blocks) this->block(*inner);
    }
  }
  BlobWriter& blobs() noexcept { return blobs_; }

 private:
  ir::ConstantPtr moved(const ir::ConstantPtr& constant) {
    if (constant == nullptr || !constant->value.is_tensor()) return constant;
    if (const auto found = done_.find(constant.get()); found != done_.end()) return found->second;
    const Tensor& tensor = constant->value.tensor();
    auto copy = std::make_shared<ir::Constant>(*constant);
    copy->blob.reset();
    if (fits_blob(tensor.dtype()) && (constant->blob || tensor.size() >= smallest_blob || is_sub_byte(tensor.dtype()))) {
      copy->blob = ir::BlobRef{weight_path, blobs_.add(tensor)};
    }
    return done_[constant.get()] = copy;
  }

  BlobWriter blobs_;
  std::unordered_map<const ir::Constant*, ir::ConstantPtr> done_;
};

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
  WeightMover mover;
  for (const auto& function : program->functions) {
    within([&] { return fmt::format("function '{}'", function->name); }, [&] { mover.block(function->body); });
  }
  const std::string text = ir::print_mil(*program);
  write_folder(path, [&](const std::string& folder) {
    const fs::path root(folder);
    write_file((root / "model.mil").string(), text);
    write_file((root / "coremldata.bin").string(), std::span<const std::byte>(write_coremldata(model.info)));
    write_file((root / "metadata.json").string(), write_metadata_json(model.info));
    if (mover.blobs().empty()) return;
    fs::create_directory(root / "weights");
    write_file((root / "weights" / "weight.bin").string(), std::span<const std::byte>(mover.blobs().take()));
  });
}

}  // namespace tl::format
