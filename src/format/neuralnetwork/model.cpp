#include "format/neuralnetwork/model.hpp"

#include <algorithm>

#include "format/neuralnetwork/network.hpp"

namespace tl::format::nn {

using namespace ir;

namespace {

// What the three model types have in common.
struct Source {
  const Layers* layers = nullptr;
  const google::protobuf::RepeatedPtrField<spec::NeuralNetworkPreprocessing>* preprocessing = nullptr;
  bool rank5_arrays = false;
  bool rank5_images = false;
};

template <class Message>
Source source_of(const Message& network) {
  return {&network.layers(), &network.preprocessing(), network.arrayinputshapemapping() == spec::RANK5_ARRAY_MAPPING,
          network.imageinputshapemapping() == spec::RANK5_IMAGE_MAPPING};
}

Source source_of(const spec::Model& message) {
  switch (message.Type_case()) {
    case spec::Model::kNeuralNetwork: return source_of(message.neuralnetwork());
    case spec::Model::kNeuralNetworkClassifier: return source_of(message.neuralnetworkclassifier());
    case spec::Model::kNeuralNetworkRegressor: return source_of(message.neuralnetworkregressor());
    default: fail(ErrorKind::internal, "not a neural network");
  }
}

Dim common(const std::vector<std::int64_t>& extents) {
  const bool same = std::all_of(extents.begin(), extents.end(), [&](std::int64_t e) { return e == extents[0]; });
  return same ? Dim(extents[0]) : Dim::unknown();
}

Dims array_dims(const ArrayFeature& array) {
  if (!array.ranges.empty()) {
    Dims dims;
    for (const Range& range : array.ranges) dims.push_back(range.lower == range.upper ? Dim(range.lower) : Dim::unknown());
    return dims;
  }
  Dims dims;
  for (std::size_t i = 0; i < array.shape.size(); ++i) {
    std::vector<std::int64_t> extents{array.shape[i]};
    for (const Shape& shape : array.enumerated) {
      if (shape.size() != array.shape.size()) fail(ErrorKind::unsupported, "its shapes have several ranks");
      extents.push_back(shape[i]);
    }
    dims.push_back(common(extents));
  }
  return dims;
}

Dims image_dims(const ImageFeature& image) {
  const bool gray = image.color == ColorSpace::grayscale || image.color == ColorSpace::grayscale_f16;
  std::vector<std::int64_t> heights{image.height}, widths{image.width};
  for (const auto& [width, height] : image.enumerated) {
    heights.push_back(height);
    widths.push_back(width);
  }
  const auto extent = [](const std::vector<std::int64_t>& listed, const std::optional<Range>& range) {
    if (range) return range->lower == range->upper ? Dim(range->lower) : Dim::unknown();
    return listed[0] == 0 ? Dim::unknown() : common(listed);
  };
  return {1, gray ? 1 : 3, extent(heights, image.height_range), extent(widths, image.width_range)};
}

// Pixels times the scale plus the biases, or minus the mean image.
Blob preprocessed(Emitter& e, const Blob& pixels, const ImageFeature& image, const spec::NeuralNetworkPreprocessing& step) {
  const bool gray = dims_of(pixels)[1] == Dim(1);
  if (step.has_scaler()) {
    const spec::NeuralNetworkImageScaler& scaler = step.scaler();
    const float red = scaler.redbias(), green = scaler.greenbias(), blue = scaler.bluebias();
    const bool bgr = image.color == ColorSpace::bgr;
    const Tensor bias = gray ? Tensor::of<float>({1, 1, 1, 1}, {scaler.graybias()})
                             : Tensor::of<float>({1, 3, 1, 1}, {bgr ? blue : red, green, bgr ? red : blue});
    Blob result = pixels;
    if (scaler.channelscale() != 1) result = e.binary("mul", result, Emitter::literal(scaler.channelscale()));
    const auto values = bias.values<float>();
    const bool shifted = std::any_of(values.begin(), values.end(), [](float v) { return v != 0; });
    return shifted ? e.binary("add", result, Emitter::literal(bias)) : result;
  }
  if (!step.has_meanimage()) return pixels;
  const auto& mean = step.meanimage().meanimage();
  const auto shape = shape_of(tensor_type(pixels));
  if (!shape) fail(ErrorKind::unsupported, "a mean image for an image of flexible size");
  if (element_count(*shape) != mean.size()) {
    fail(ErrorKind::bad_model, "a mean image of {} values, the image has {}", mean.size(), element_count(*shape));
  }
  return e.binary("sub", pixels,
                  e.weight(Tensor::of<float>(*shape, std::span<const float>(mean.data(), uz(mean.size()))), "mean_image"));
}

// The extents of an array as (sequence, batch, channel, height, width). Callers may give any sequence and batch.
Dims rank5_dims(const Dims& dims) {
  const Dim one = 1, any = Dim::unknown();
  switch (dims.size()) {
    case 1: return {any, any, dims[0], one, one};
    case 2: return {any, any, dims[1], one, one};
    case 3: return {any, any, dims[0], dims[1], dims[2]};
    case 4: return {any, any, dims[1], dims[2], dims[3]};
    case 5: return {any, any, dims[2], dims[3], dims[4]};
    default: fail(ErrorKind::bad_model, "rank {}, at most 5 is possible", dims.size());
  }
}

bool is_flexible(const Feature& feature) {
  const auto* array = std::get_if<ArrayFeature>(&feature.kind);
  const auto* image = std::get_if<ImageFeature>(&feature.kind);
  return (array != nullptr && (!array->ranges.empty() || !array->enumerated.empty())) ||
         (image != nullptr && (image->width_range || !image->enumerated.empty()));
}

// The shapes of the outputs that have one; only their rank where inputs are flexible.
FeatureDims output_dims(const Interface& interface) {
  const bool open = std::any_of(interface.inputs.begin(), interface.inputs.end(), is_flexible);
  FeatureDims result;
  for (const Feature& feature : interface.outputs) {
    const auto* array = std::get_if<ArrayFeature>(&feature.kind);
    if (array == nullptr || array->shape.empty()) continue;
    result[feature.name] = open || is_flexible(feature) ? Dims(array->shape.size(), Dim::unknown()) : ir::dims_of(array->shape);
  }
  return result;
}

// A value of an earlier stage as an input of type `type`: the dtype, and five axes where it has fewer.
Blob adapted(Emitter& e, const Blob& value, const Type& type) {
  Blob x = e.to_float(value);
  const Dims dims = dims_of(x);
  const Dims wanted = *type.tensor().dims;
  if (wanted.size() == dims.size()) return x;
  if (dims.empty()) return e.reshape(x, std::vector<std::int64_t>(wanted.size(), 1));
  if (wanted.size() != 5 || dims.size() == 4)
    fail(ErrorKind::bad_model, "rank {} is given, expected {}", dims.size(), wanted.size());
  if (dims.size() == 3) return e.expand(x, {0, 1});
  return e.expand(x, dims.size() == 1 ? std::vector<std::int64_t>{0, 1, 3, 4} : std::vector<std::int64_t>{0, 3, 4});
}

class Translator {
 public:
  Translator(Emitter& emitter, std::shared_ptr<const void> owner, const spec::Model& message, const Interface& interface,
             std::string* refusal)
      : emitter_(emitter),
        message_(message),
        interface_(interface),
        source_(source_of(message)),
        network_(emitter, std::move(owner), source_.rank5_arrays, output_dims(interface), refusal) {}

  Values run(const Values& inputs) {
    for (const Feature& feature : interface_.inputs) {
      within([&] { return fmt::format("input '{}'", feature.name); },
             [&] {
               const auto given = inputs.find(feature.name);
               if (given == inputs.end()) fail(ErrorKind::bad_model, "no earlier stage gives it");
               input(feature, given->second);
             });
    }
    network_.run(*source_.layers);
    if (message_.has_neuralnetworkclassifier()) classify(message_.neuralnetworkclassifier());
    Values outputs;
    for (const Feature& feature : interface_.outputs) {
      within([&] { return fmt::format("output '{}'", feature.name); }, [&] { outputs[feature.name] = output(feature); });
    }
    return outputs;
  }

 private:
  void input(const Feature& feature, const Blob& given) {
    Blob value = adapted(emitter_, given, network_input_type(message_, feature));
    if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
      value = preprocess(feature.name, *image, value);
      if (source_.rank5_images) value = emitter_.expand(value, {0});
    }
    network_.set(feature.name, value);
  }

  Blob preprocess(const std::string& name, const ImageFeature& image, Blob value) {
    emitter_.prefix(name + "_preprocessed");
    const auto images = std::count_if(interface_.inputs.begin(), interface_.inputs.end(),
                                      [](const Feature& f) { return std::holds_alternative<ImageFeature>(f.kind); });
    for (const auto& step : *source_.preprocessing) {
      const bool only = step.featurename().empty() && images == 1;
      if (only || step.featurename() == name) value = preprocessed(emitter_, value, image, step);
    }
    return value;
  }

  void classify(const spec::NeuralNetworkClassifier& classifier) {
    emitter_.prefix("classify");
    const std::string& name =
        classifier.labelprobabilitylayername().empty() ? network_.last() : classifier.labelprobabilitylayername();
    const Blob probabilities = network_.get(name);
    const Tensor classes = class_labels(classifier);
    if (const auto shape = shape_of(tensor_type(probabilities)); shape && element_count(*shape) != classes.size()) {
      fail(ErrorKind::bad_model, "{} labels for {} probabilities", classes.size(), element_count(*shape));
    }
    const auto results = emitter_.ops("classify", {{"probabilities", probabilities}, {"classes", Emitter::literal(classes)}});
    label_ = results[0];
    dictionary_ = results[1];
  }

  Blob output(const Feature& feature) {
    if (label_ && feature.name == interface_.predicted_feature) return *label_;
    if (dictionary_ && std::holds_alternative<DictFeature>(feature.kind)) return *dictionary_;
    return network_.get(feature.name);
  }

  Emitter& emitter_;
  const spec::Model& message_;
  const Interface& interface_;
  Source source_;
  Network network_;
  std::optional<Blob> label_, dictionary_;
};

}  // namespace

Type network_input_type(const spec::Model& message, const Feature& feature) {
  const Source source = source_of(message);
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
    if (array->shape.empty() && array->ranges.empty()) fail(ErrorKind::unsupported, "its shape is left open");
    const Dims dims = array_dims(*array);
    return {DType::f32, source.rank5_arrays ? rank5_dims(dims) : dims};
  }
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) return {DType::f32, image_dims(*image)};
  if (std::holds_alternative<Int64Feature>(feature.kind) || std::holds_alternative<DoubleFeature>(feature.kind))
    return {DType::f32, source.rank5_arrays ? Dims{1, 1, 1, 1, 1} : Dims{1}};
  fail(ErrorKind::unsupported, "networks take arrays and images, not a {}", type_name(feature));
}

Values translate_network(Emitter& emitter, std::shared_ptr<const void> owner, const spec::Model& message,
                         const Interface& interface, const Values& inputs, std::string* refusal) {
  return Translator(emitter, std::move(owner), message, interface, refusal).run(inputs);
}

}  // namespace tl::format::nn
