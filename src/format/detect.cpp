#include "format/detect.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/byte_reader.hpp"
#include "format/format.hpp"
#include "format/zip.hpp"

namespace tl::format {
namespace {

struct Foreign {
  std::size_t offset;
  std::string_view magic;
  const char* what;
  const char* advice;
};
constexpr std::array foreign_formats = {
#define TL_FOREIGN(offset, magic, what, advice) Foreign{offset, {magic, sizeof(magic) - 1}, what, advice},
#include "format/foreign.inc"
#undef TL_FOREIGN
};

[[noreturn]] void refuse(const char* what, const char* advice) { fail(ErrorKind::unsupported, "this is {}: {}", what, advice); }

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool ends_with_extension(const std::string& path, std::string_view extension) {
  return std::filesystem::path(base_name(path)).extension() == extension;
}

[[noreturn]] void refuse_core_ai() {
  refuse("a Core AI model (.aimodel)", "export the source model to Core ML with coremltools");
}

[[noreturn]] void refuse_zip(std::span<const std::byte> bytes) {
  const std::vector<ZipMember> members = list_zip(bytes);
  const auto any = [&](std::string_view end) {
    return std::any_of(members.begin(), members.end(), [&](const ZipMember& m) { return m.name.ends_with(end); });
  };
  if (any("Manifest.json") || any("coremldata.bin")) refuse("a zipped Core ML model", "unpack it first");
  if (any("constants.pkl")) refuse("a TorchScript model", "convert it with coremltools, or trace it again and convert");
  if (any("data.pkl")) {
    refuse("a PyTorch checkpoint",
           "pickles can run code and are not read: save the weights as safetensors, or convert the model with coremltools");
  }
  if (any("archive_format")) refuse("a PyTorch exported program (.pt2)", "convert it with coremltools");
  if (any("model.weights.h5")) refuse("a Keras model", "load it with TensorFlow and convert it with coremltools");
  if (any(".npy")) refuse("a NumPy archive (.npz)", "it is data, not a model: pass it to `tl predict --in`");
  refuse("a zip archive", "unpack it first");
}

std::uint64_t varint(ByteReader& reader) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = reader.read<std::uint8_t>("protobuf number");
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return value;
  }
  fail(ErrorKind::bad_file, "protobuf number of over 64 bits");
}

enum class Message { core_ml, onnx, cut_core_ml, none };

// Looks at the outermost fields only: the spec of Core ML has a version, a description and one model type (from 200 up),
// an ONNX model has a graph (7).
Message classify_protobuf(std::span<const std::byte> bytes) {
  constexpr int max_fields = 100'000;
  bool version = false, description = false, graph = false;
  ByteReader reader(bytes);
  try {
    for (int i = 0; i < max_fields && reader.remaining() > 0; ++i) {
      const std::uint64_t key = varint(reader);
      const std::uint64_t field = key >> 3;
      if (field == 0 || field > 3000) return Message::none;
      version |= field == 1 && (key & 7) == 0;
      description |= field == 2 && (key & 7) == 2;
      graph |= field == 7 && (key & 7) == 2;
      if (version && description && field >= 200) return Message::core_ml;
      switch (key & 7) {
        case 0: varint(reader); break;
        case 1: reader.skip(8, "protobuf field"); break;
        case 2: reader.skip(varint(reader), "protobuf field"); break;
        case 5: reader.skip(4, "protobuf field"); break;
        default: return Message::none;
      }
    }
  } catch (const Error&) {
    if (graph) return Message::onnx;
    return version && description ? Message::cut_core_ml : Message::none;
  }
  if (graph) return Message::onnx;
  return version ? Message::core_ml : Message::none;
}

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 10 || bytes[8] != std::byte{'{'}) return false;
  return ByteReader(bytes).read<std::uint64_t>("header length") < (std::uint64_t{1} << 40);
}

Container detect_folder(const std::string& path) {
  const auto has = [&](const char* file) { return exists(path + "/" + file); };
  if (has("Manifest.json")) return Container::mlpackage;
  if (has("model.mil") || (has("model.mlmodel") && ends_with_extension(path, ".mlmodelc"))) return Container::mlmodelc;
  if (has("model.espresso.net") || has("model0")) {
    refuse("a compiled neuralnetwork or pipeline (.mlmodelc without model.mil)",
           "its weights are in a private format: use the .mlmodel it was compiled from");
  }
  if (has("coremldata.bin")) return Container::mlmodelc;
  if (ends_with_extension(path, ".aimodel")) refuse_core_ai();
  if (has("saved_model.pb")) refuse("a TensorFlow SavedModel", "convert it with coremltools");
  if (has("model.safetensors") || has("model.safetensors.index.json")) {
    refuse("a folder of safetensors files", "name one .safetensors file in it");
  }
  if (has("com.apple.CoreML")) refuse("the inside of a .mlpackage", "name the .mlpackage folder above it");
  if (ends_with_extension(path, ".mlpackage")) fail(ErrorKind::bad_file, "a .mlpackage without Manifest.json");
  fail(ErrorKind::bad_file,
       "a folder that is no model: neither Manifest.json (.mlpackage) nor model.mil (.mlmodelc) stands in it");
}

}  // namespace

Container detect_file(std::span<const std::byte> bytes, const std::string& path) {
  if (bytes.empty()) fail(ErrorKind::bad_file, "the file is empty");
  const std::string_view text = as_text(bytes);
  if (text.starts_with("GGUF")) return Container::gguf;
  if (looks_like_safetensors(bytes)) return Container::safetensors;
  if (ends_with_extension(path, ".aimodel")) refuse_core_ai();
  for (const Foreign& foreign : foreign_formats) {
    if (text.size() > foreign.offset && text.substr(foreign.offset).starts_with(foreign.magic))
      refuse(foreign.what, foreign.advice);
  }
  if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06")) refuse_zip(bytes);
  if (text.starts_with("{")) {
    if (text.substr(0, 1 << 20).find("\"weight_map\"") != std::string_view::npos) {
      refuse("the index of a model split into several safetensors files", "name one of the .safetensors files");
    }
    refuse("a JSON file", "give a model file");
  }
  if (text.starts_with("program("))
    refuse("MIL text on its own", "name the .mlmodelc folder it stands in (tl print reads the text alone)");
  switch (classify_protobuf(bytes)) {
    case Message::core_ml: return Container::mlmodel;
    case Message::onnx: refuse("an ONNX model", "convert the PyTorch or TensorFlow model it came from with coremltools");
    case Message::cut_core_ml: fail(ErrorKind::bad_file, "a Core ML model that is cut short or damaged");
    case Message::none: break;
  }
  if (ends_with_extension(path, ".safetensors")) fail(ErrorKind::bad_file, "not a safetensors file: no header at its start");
  fail(ErrorKind::bad_file, "no model format that is known (.mlpackage, .mlmodelc, .mlmodel, .safetensors and .gguf are)");
}

Container detect(const std::string& path) {
  if (is_directory(path)) return detect_folder(path);
  return detect_file(FileBytes::open(path)->bytes(), path);
}

ir::Model read_model(const std::string& path, const ReadOptions& options) {
  try {
    const Container container = detect(path);
    ir::Model model = [&] {
      switch (container) {
        case Container::mlpackage: return read_mlpackage(path, options);
        case Container::mlmodelc: return read_mlmodelc(path, options);
        case Container::mlmodel: return read_mlmodel(path, options);
        case Container::safetensors: return read_safetensors(path, options);
        case Container::gguf: return read_gguf(path, options);
      }
      fail(ErrorKind::internal, "unknown container");
    }();
    model.info.path = path;
    model.info.name = stem(path);
    return model;
  } catch (const Error& error) {
    if (error.where().starts_with(path)) throw;
    throw error.within(path);
  }
}

}  // namespace tl::format
