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

class Builder {
 public:
  Builder(const std::shared_ptr<const spec::Model>& message, ModelInfo& info)
      : message_(message),
        info_(info),
        interface_(info.interfaces.at(0)),
        source_(source_of(*message)),
        function_(std::make_unique<Function>()),
        emitter_(function_->body),
        network_(emitter_, message, source_.rank5_arrays) {}

  std::unique_ptr<Program> build() {
    function_->name = interface_.function;
    function_->opset = "ios18";
    // Names of the interface stay free for its values.
    for (const Feature& feature : interface_.inputs) {
      names_.push_back(emitter_.unique(feature.name));
      if (names_.back() != feature.name) fail(ErrorKind::bad_model, "two inputs are named '{}'", feature.name);
    }
    for (Feature& feature : interface_.inputs) input(feature);
    network_.run(*source_.layers);
    if (message_->has_neuralnetworkclassifier()) classify(message_->neuralnetworkclassifier());
    for (const Feature& feature : interface_.outputs) output(feature);
    auto program = std::make_unique<Program>();
    program->functions.push_back(std::move(function_));
    return program;
  }

 private:
  void input(Feature& feature) {
    within([&] { return fmt::format("input '{}'", feature.name); },
           [&] {
             auto var = std::make_unique<Var>();
             var->name = feature.name;
             Blob value = var.get();
             if (auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
               if (array->shape.empty() && array->ranges.empty()) fail(ErrorKind::unsupported, "its shape is left open");
               // Networks take zeros for optional inputs that are not given.
               if (feature.optional && !array->default_value) array->default_value = 0;
               const Dims dims = array_dims(*array);
               var->type = Type(DType::f32, source_.rank5_arrays ? rank5_dims(dims) : dims);
             } else if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
               var->type = Type(DType::f32, image_dims(*image));
               value = preprocess(feature.name, *image, value);
               if (source_.rank5_images) value = emitter_.expand(value, {0});
             } else if (std::holds_alternative<Int64Feature>(feature.kind) ||
                        std::holds_alternative<DoubleFeature>(feature.kind)) {
               var->type = Type(DType::f32, source_.rank5_arrays ? Dims{1, 1, 1, 1, 1} : Dims{1});
             } else {
               fail(ErrorKind::unsupported, "networks take arrays and images, not a {}", type_name(feature));
             }
             network_.set(feature.name, value);
             function_->inputs.push_back(std::move(var));
           });
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
    Tensor classes;
    if (classifier.has_stringclasslabels()) {
      const auto& labels = classifier.stringclasslabels().vector();
      classes = Tensor::of_strings({labels.size()}, {labels.begin(), labels.end()});
    } else if (classifier.has_int64classlabels()) {
      const auto& labels = classifier.int64classlabels().vector();
      classes = Tensor(DType::i64, {labels.size()});
      std::copy(labels.begin(), labels.end(), classes.mutable_values<std::int64_t>().begin());
    } else {
      fail(ErrorKind::bad_model, "the classifier has no labels");
    }
    if (const auto shape = shape_of(tensor_type(probabilities)); shape && element_count(*shape) != classes.size()) {
      fail(ErrorKind::bad_model, "{} labels for {} probabilities", classes.size(), element_count(*shape));
    }
    const auto results = emitter_.ops("classify", {{"probabilities", probabilities}, {"classes", Emitter::literal(classes)}});
    label_ = results[0];
    dictionary_ = results[1];
  }

  void output(const Feature& feature) {
    within([&] { return fmt::format("output '{}'", feature.name); },
           [&] {
             Blob value;
             if (label_ && feature.name == interface_.predicted_feature) {
               value = *label_;
             } else if (dictionary_ && std::holds_alternative<DictFeature>(feature.kind)) {
               value = *dictionary_;
             } else {
               value = network_.get(feature.name);
             }
             function_->body.outputs.push_back(finish(value, feature.name));
           });
  }

  // A variable of that name: the value itself when it is free to take the name, else a copy.
  Var* finish(const Blob& value, const std::string& name) {
    auto& outputs = function_->body.outputs;
    auto* const* given = std::get_if<Var*>(&value);
    Var* var = given == nullptr ? nullptr : *given;
    if (var != nullptr && var->producer == nullptr && var->name == name) return var;
    const bool taken = var == nullptr || var->producer == nullptr || var->constant != nullptr ||
                       std::find(outputs.begin(), outputs.end(), var) != outputs.end();
    if (taken) var = std::get<Var*>(emitter_.compressed("identity", {{"x", value}}, name));
    if (var->name == name) return var;
    if (std::find(names_.begin(), names_.end(), name) != names_.end())
      fail(ErrorKind::unsupported, "an input has the same name");
    for_each_op(function_->body, [&](const Op& op) {
      for (const auto& other : op.outputs) {
        if (other->name == name) other->name = emitter_.unique(name);
      }
    });
    var->name = name;
    return var;
  }

  const std::shared_ptr<const spec::Model>& message_;
  ModelInfo& info_;
  Interface& interface_;
  Source source_;
  std::unique_ptr<Function> function_;
  Emitter emitter_;
  Network network_;
  std::vector<std::string> names_;
  std::optional<Blob> label_, dictionary_;
};

}  // namespace

std::unique_ptr<Program> translate_network(const std::shared_ptr<const spec::Model>& message, ModelInfo& info) {
  if (info.interfaces.size() != 1) fail(ErrorKind::bad_model, "a neural network has one interface");
  return Builder(message, info).build();
}

}  // namespace tl::format::nn
