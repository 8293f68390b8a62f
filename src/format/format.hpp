#pragma once

#include <map>
#include <memory>
#include <string>

#include "ir/model.hpp"

namespace tl::format {

struct ReadOptions {
  bool copy = false;     // read instead of mapping
  bool weights = true;   // false: interface and metadata only (tl info on huge files)
  int links = 0;         // of linked models: how many led here
  bool lenient = false;  // what is not translated becomes an op without a definition, and `refusal` says why; to look at only
};

// Reads any model file or folder, told by content. Throws Error{io, not_found, bad_file, bad_model, unsupported} whose `where`
// starts with the path.
ir::Model read_model(const std::string& path, const ReadOptions& options = {});

// One reader per format; each throws without the path, `read_model` adds it.
ir::Model read_mlpackage(const std::string& path, const ReadOptions& options);
ir::Model read_mlmodelc(const std::string& path, const ReadOptions& options);
ir::Model read_mlmodel(const std::string& path, const ReadOptions& options);
ir::Model read_safetensors(const std::string& path, const ReadOptions& options);
ir::Model read_gguf(const std::string& path, const ReadOptions& options);

// Writers; to a temporary name, synced, renamed. Program models only for the Core ML ones.
void write_mlpackage(const ir::Model& model, const std::string& path);
void write_mlmodelc(const ir::Model& model, const std::string& path);
// Tensors with their names; any whole-byte dtype.
void write_safetensors(const std::vector<std::pair<std::string, Tensor>>& tensors, const std::string& path,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace tl::format
