#include "tensorlogic/feature.hpp"

#include <fmt/core.h>

namespace tl {
namespace {

std::string describe_range(const Range& range) {
  if (range.upper < 0) return fmt::format("{}...", range.lower);
  return range.lower == range.upper ? std::to_string(range.lower) : fmt::format("{}...{}", range.lower, range.upper);
}

std::string describe_shape(const ArrayFeature& array) {
  if (!array.enumerated.empty()) {
    std::string text = "one of ";
    for (std::size_t i = 0; i < array.enumerated.size(); ++i) text += (i == 0 ? "" : ", ") + to_string(array.enumerated[i]);
    return text;
  }
  if (array.ranges.empty()) return to_string(array.shape);
  std::string text = "[";
  for (std::size_t i = 0; i < array.ranges.size(); ++i) text += (i == 0 ? "" : ", ") + describe_range(array.ranges[i]);
  return text + "]";
}

}  // namespace

std::string_view type_name(const Feature& feature) noexcept {
  static constexpr std::string_view names[] = {"array",  "image",      "int64",    "double",
                                               "string", "dictionary", "sequence", "state"};
  return names[feature.kind.index()];
}

std::string describe(const Feature& feature) {
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind))
    return fmt::format("{} {}", name(array->dtype), describe_shape(*array));
  if (const auto* state = std::get_if<StateFeature>(&feature.kind)) {
    return fmt::format("state of {} {}", name(state->array.dtype), describe_shape(state->array));
  }
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
    static constexpr const char* colors[] = {"grayscale", "grayscale fp16", "RGB", "BGR"};
    std::string size = fmt::format("{} x {}", image->width, image->height);
    if (image->width_range && image->height_range) {
      size = fmt::format("{} x {}", describe_range(*image->width_range), describe_range(*image->height_range));
    }
    for (const auto& [width, height] : image->enumerated) size += fmt::format(" or {} x {}", width, height);
    return fmt::format("{} {} image", size, colors[static_cast<int>(image->color)]);
  }
  if (std::holds_alternative<Int64Feature>(feature.kind)) return "int64";
  if (std::holds_alternative<DoubleFeature>(feature.kind)) return "double";
  if (std::holds_alternative<StringFeature>(feature.kind)) return "string";
  if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) {
    return dict->integer_keys ? "dictionary of int64 to double" : "dictionary of string to double";
  }
  const auto& sequence = std::get<SequenceFeature>(feature.kind);
  const char* items = sequence.integers ? "int64" : "string";
  // A range that is left out reads as 0 to 0.
  if (sequence.length.lower == 0 && sequence.length.upper <= 0) return fmt::format("sequence of {}", items);
  return fmt::format("sequence of {}, length {}", items, describe_range(sequence.length));
}

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
