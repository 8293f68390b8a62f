#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/gguf_header.hpp"
#include "format/stored_tensors.hpp"

namespace tl::format {
namespace {

Tensor read_tensor(const GgufTensor& tensor, const std::shared_ptr<const FileBytes>& file) {
  const std::byte* data = file->bytes().data() + tensor.offset;
  if (tensor.type->plain) return plain_tensor(*tensor.type->plain, tensor.shape, data, file);
  if (tensor.type->dequantize == nullptr) fail(ErrorKind::unsupported, "elements of type {} are not read", tensor.type->name);
  Tensor result(DType::f32, tensor.shape);
  tensor.type->dequantize(reinterpret_cast<const std::uint8_t*>(data), result.mutable_values<float>().data(),
                          result.size() / tensor.type->block_elements);
  return result;
}

}  // namespace

ir::Model read_gguf(const std::string& path, const ReadOptions& options) {
  const auto file = FileBytes::open(path, options.copy);
  GgufHeader header = parse_gguf_header(file->bytes());

  ir::Model model;
  ModelInfo& info = model.info;
  info.format = Format::gguf;
  info.container = "gguf";
  info.specification_version = static_cast<int>(header.version);
  info.user_metadata = std::move(header.metadata);
  const auto text = [&](const char* key) {
    const auto found = info.user_metadata.find(key);
    return found == info.user_metadata.end() ? std::string() : found->second;
  };
  info.model_type = text("general.architecture");
  info.author = text("general.author");
  info.license = text("general.license");
  info.version = text("general.version");
  info.short_description = text("general.description");
  model.tensors.reserve(header.tensors.size());
  for (GgufTensor& tensor : header.tensors) {
    StoredTensor stored{.name = tensor.name,
                        .shape = tensor.shape,
                        .storage = std::string(tensor.type->name),
                        .bytes = tensor.bytes,
                        .read = {}};
    stored.read = [tensor = std::move(tensor), file] { return read_tensor(tensor, file); };
    model.tensors.push_back(std::move(stored));
  }
  sort_by_name(model.tensors);
  info.quantization = majority_storage(model.tensors);
  return model;
}

}  // namespace tl::format
