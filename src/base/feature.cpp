#include "tensorlogic/feature.hpp"

namespace tl {

std::string_view to_string(Format format) noexcept {
  switch (format) {
    case Format::core_ml: return "CoreML";
    case Format::safetensors: return "SafeTensors";
    case Format::gguf: return "GGUF";
  }
  return "unknown";
}

const Interface* ModelInfo::interface(std::string_view function) const noexcept {
  for (const Interface& candidate : interfaces) {
    if (candidate.function == function) return &candidate;
  }
  return nullptr;
}

}  // namespace tl
