#pragma once

#include <span>
#include <string>

namespace tl::format {

enum class Container { mlpackage, mlmodelc, mlmodel, safetensors, gguf };

// What a path holds, by content. Throws Error{unsupported} that says what to do for the formats of others,
// Error{bad_file} for bytes of no known format, Error{not_found, io} for what is no readable file or folder.
Container detect(const std::string& path);
// The same for the bytes of a file; `path` serves messages only.
Container detect_file(std::span<const std::byte> bytes, const std::string& path);

}  // namespace tl::format
