#include "format/array_files.hpp"

#include <algorithm>
#include <filesystem>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/zip.hpp"
#include "tensorlogic/image.hpp"

namespace tl::format {
namespace {

constexpr std::uint64_t max_unpacked = std::uint64_t{1} << 36;

enum class ArrayKind { npy, npz, safetensors, wav, image, json };

ArrayKind kind_of(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\x93NUMPY")) return ArrayKind::npy;
  if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06")) return ArrayKind::npz;
  if (text.starts_with("RIFF") && text.substr(0, 12).ends_with("WAVE")) return ArrayKind::wav;
  if (text.starts_with("\xFF\xD8\xFF") || text.starts_with("\x89PNG") || text.starts_with("RIFF")) return ArrayKind::image;
  if (text.size() > 8 && text[8] == '{' && std::any_of(text.begin() + 4, text.begin() + 8, [](char c) { return c == '\0'; })) {
    return ArrayKind::safetensors;
  }
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && std::string_view("[{\"-0123456789tfn").find(text[first]) != std::string_view::npos)
    return ArrayKind::json;
  if (bytes.empty()) fail(ErrorKind::bad_file, "the file is empty");
  fail(ErrorKind::bad_file, "no data that is known (.npy, .npz, .safetensors, .png, .jpg, .webp, .wav and .json are)");
}

NamedTensors read_npz(std::span<const std::byte> bytes) {
  NamedTensors tensors;
  for (const ZipMember& member : list_zip(bytes)) {
    if (!member.name.ends_with(".npy")) continue;
    within([&] { return fmt::format("'{}'", member.name); },
           [&] {
             const auto unpacked = unpack_member(bytes, member, max_unpacked);
             tensors.emplace_back(member.name.substr(0, member.name.size() - 4), decode_npy(unpacked));
           });
  }
  return tensors;
}

NamedTensors read_named(const std::string& path) {
  NamedTensors tensors;
  for (const StoredTensor& tensor : read_safetensors(path, {}).tensors) tensors.emplace_back(tensor.name, tensor.read());
  return tensors;
}

// Errors that do not name the path yet get it.
template <class Body>
auto with_path(const std::string& path, Body&& body) {
  try {
    return body();
  } catch (const Error& error) {
    if (error.where().starts_with(path)) throw;
    throw error.within(path);
  }
}

std::string_view text_of(const FileBytes& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

const Tensor& only(const NamedTensors& tensors) {
  if (tensors.size() != 1)
    fail(ErrorKind::invalid_argument, "this format holds one array, {} are to be written: use .npz or .safetensors",
         tensors.size());
  return tensors.front().second;
}

std::vector<std::byte> encode_npz(const NamedTensors& tensors) {
  std::vector<std::pair<std::string, std::vector<std::byte>>> members;
  for (const auto& [name, tensor] : tensors) members.emplace_back(name + ".npy", encode_npy(tensor));
  return make_zip(members);
}

}  // namespace

Value read_array(const std::string& path) {
  const auto file = FileBytes::open(path);
  return with_path(path, [&]() -> Value {
    switch (kind_of(file->bytes())) {
      case ArrayKind::npy: return decode_npy(file->bytes());
      case ArrayKind::wav: return decode_wav(file->bytes());
      case ArrayKind::image: return decode_image(file->bytes()).pixels;
      case ArrayKind::json: return decode_json(text_of(*file));
      case ArrayKind::npz:
      case ArrayKind::safetensors: break;
    }
    NamedTensors tensors = read_arrays(path);
    if (tensors.size() != 1) fail(ErrorKind::invalid_argument, "holds {} arrays, one is needed", tensors.size());
    return std::move(tensors.front().second);
  });
}

NamedTensors read_arrays(const std::string& path) {
  const auto file = FileBytes::open(path);
  return with_path(path, [&]() -> NamedTensors {
    switch (kind_of(file->bytes())) {
      case ArrayKind::npz: return read_npz(file->bytes());
      case ArrayKind::safetensors: return read_named(path);
      default: return {{"", read_array(path).tensor()}};
    }
  });
}

void write_arrays(const std::string& path, const NamedTensors& tensors) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  with_path(path, [&] {
    if (extension == ".npz") return write_file(path, encode_npz(tensors));
    if (extension == ".npy") return write_file(path, encode_npy(only(tensors)));
    if (extension == ".safetensors") return write_safetensors(tensors, path);
    if (extension == ".png" || extension == ".jpg" || extension == ".jpeg") return save_image({only(tensors)}, path);
    if (extension == ".json") {
      Dict dict;
      for (const auto& [name, tensor] : tensors) dict.items.emplace_back(Tensor::scalar(name), tensor);
      return write_file(path, encode_json(dict) + "\n");
    }
    fail(ErrorKind::invalid_argument, "arrays are written as .npy, .npz, .safetensors, .json, .png or .jpg");
  });
}

}  // namespace tl::format
