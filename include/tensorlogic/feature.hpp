#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tensorlogic/tensor.hpp"

namespace tl {

struct Range {
  std::int64_t lower = 1;
  std::int64_t upper = -1;  // -1: unbounded
};

// Extents that an input may take: the default, else one of `enumerated`, else inside `ranges` (per axis); both empty: fixed.
struct ArrayFeature {
  DType dtype = DType::f32;
  Shape shape;  // may be empty in old models: any rank
  std::vector<Shape> enumerated;
  std::vector<Range> ranges;
  std::optional<double> default_value;
};
enum class ColorSpace { grayscale, grayscale_f16, rgb, bgr };
struct ImageFeature {
  std::int64_t width = 0;
  std::int64_t height = 0;
  ColorSpace color = ColorSpace::rgb;
  std::vector<std::pair<std::int64_t, std::int64_t>> enumerated;  // width, height
  std::optional<Range> width_range, height_range;
};
struct Int64Feature {};
struct DoubleFeature {};
struct StringFeature {};
struct DictFeature {
  bool integer_keys = false;
};
struct SequenceFeature {
  bool integers = false;
  Range length;
};
struct StateFeature {
  ArrayFeature array;
};

struct Feature {
  std::string name;
  std::string doc;
  bool optional = false;
  std::variant<ArrayFeature, ImageFeature, Int64Feature, DoubleFeature, StringFeature, DictFeature, SequenceFeature,
               StateFeature>
      kind;
};

// "array", "image", "int64", "double", "string", "dictionary", "sequence", "state"
std::string_view type_name(const Feature& feature) noexcept;
// "fp16 [1, 3, 224, 224]", "fp32 [1...4096, 1024]", "224 x 224 RGB image"
std::string describe(const Feature& feature);

// What a caller sees of one function of a model.
struct Interface {
  std::string function = "main";
  std::vector<Feature> inputs;
  std::vector<Feature> outputs;
  std::vector<Feature> states;
  std::string predicted_feature;        // classifiers: name of the label output
  std::string predicted_probabilities;  // classifiers: name of the dictionary output
};

enum class Format { core_ml, safetensors, gguf };
std::string_view to_string(Format format) noexcept;  // "CoreML", "SafeTensors", "GGUF"

// A stored tensor of any format.
struct StoredTensor {
  std::string name;
  Shape shape;
  std::string storage;           // "F16", "W8", "P6", "Q4_K"
  std::uint64_t bytes = 0;       // as stored
  std::function<Tensor()> read;  // plain elements: quantized types dequantized to float32, palettes expanded to their own type
};

// What a model file says about itself.
struct ModelInfo {
  Format format = Format::core_ml;
  std::string path;
  std::string name;        // file name without extension
  std::string container;   // "mlpackage", "mlmodelc", "mlmodel", "safetensors", "gguf"
  std::string model_type;  // "mlprogram", "neuralnetwork", "treeEnsembleClassifier", "pipeline", ...; GGUF: the architecture
  int specification_version = 0;
  std::string author, license, version, short_description;
  std::map<std::string, std::string> user_metadata;
  std::string quantization;           // of the majority of weight bytes: "F16", "W8", "P6", "Q4_K"
  std::vector<Interface> interfaces;  // one per function, the default one first; empty for plain tensor files
  std::vector<std::string> string_labels;
  std::vector<std::int64_t> integer_labels;

  const Interface* interface(std::string_view function) const noexcept;
};

}  // namespace tl
