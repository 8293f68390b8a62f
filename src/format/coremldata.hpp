#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tensorlogic/feature.hpp"

namespace tl::format {

// `coremldata.bin` of a compiled model: the model type, the specification version and the spec's description of the interface
// behind a short header. Fills `info`; throws Error{bad_file}.
void read_coremldata(std::span<const std::byte> bytes, ModelInfo& info);
std::vector<std::byte> write_coremldata(const ModelInfo& info);

// `metadata.json`, what people and tools read; the interface without ranges. Throws Error{bad_file}.
void read_metadata_json(const std::string& text, ModelInfo& info);
std::string write_metadata_json(const ModelInfo& info);

}  // namespace tl::format
