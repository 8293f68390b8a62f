#include "format/spec_description.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace tl::format {
namespace {

Range read_range(const spec::SizeRange& message) {
  return {checked_cast<std::int64_t>(message.lowerbound(), "lower bound"), message.upperbound()};
}

ArrayFeature read_array(const spec::ArrayFeatureType& message) {
  ArrayFeature array;
  switch (message.datatype()) {
    case spec::ArrayFeatureType::FLOAT32: array.dtype = DType::f32; break;
    case spec::ArrayFeatureType::DOUBLE: array.dtype = DType::f64; break;
    case spec::ArrayFeatureType::INT32: array.dtype = DType::i32; break;
    case spec::ArrayFeatureType::INT8: array.dtype = DType::i8; break;
    case spec::ArrayFeatureType::FLOAT16: array.dtype = DType::f16; break;
    default: fail(ErrorKind::bad_model, "unknown data type {} of an array", static_cast<int>(message.datatype()));
  }
  array.shape.assign(message.shape().begin(), message.shape().end());
  element_count(array.shape);
  for (const auto& shape : message.enumeratedshapes().shapes())
    array.enumerated.emplace_back(shape.shape().begin(), shape.shape().end());
  for (const auto& range : message.shaperange().sizeranges()) array.ranges.push_back(read_range(range));
  switch (message.defaultOptionalValue_case()) {
    case spec::ArrayFeatureType::kIntDefaultValue: array.default_value = message.intdefaultvalue(); break;
    case spec::ArrayFeatureType::kFloatDefaultValue:
      array.default_value = static_cast<double>(message.floatdefaultvalue());
      break;
    case spec::ArrayFeatureType::kDoubleDefaultValue: array.default_value = message.doubledefaultvalue(); break;
    case spec::ArrayFeatureType::DEFAULTOPTIONALVALUE_NOT_SET: break;
  }
  return array;
}

ImageFeature read_image(const spec::ImageFeatureType& message) {
  ImageFeature image;
  image.width = message.width();
  image.height = message.height();
  switch (message.colorspace()) {
    case spec::ImageFeatureType::GRAYSCALE: image.color = ColorSpace::grayscale; break;
    case spec::ImageFeatureType::GRAYSCALE_FLOAT16: image.color = ColorSpace::grayscale_f16; break;
    case spec::ImageFeatureType::BGR: image.color = ColorSpace::bgr; break;
    default: image.color = ColorSpace::rgb; break;
  }
  for (const auto& size : message.enumeratedsizes().sizes()) {
    image.enumerated.emplace_back(checked_cast<std::int64_t>(size.width(), "width"),
                                  checked_cast<std::int64_t>(size.height(), "height"));
  }
  if (message.has_imagesizerange()) {
    image.width_range = read_range(message.imagesizerange().widthrange());
    image.height_range = read_range(message.imagesizerange().heightrange());
  }
  return image;
}

Feature read_feature(const spec::FeatureDescription& message) {
  return within(
      [&] { return fmt::format("feature '{}'", message.name()); },
      [&] {
        Feature feature;
        feature.name = message.name();
        feature.doc = message.shortdescription();
        const spec::FeatureType& type = message.type();
        feature.optional = type.isoptional();
        switch (type.Type_case()) {
          case spec::FeatureType::kInt64Type: feature.kind = Int64Feature{}; break;
          case spec::FeatureType::kDoubleType: feature.kind = DoubleFeature{}; break;
          case spec::FeatureType::kStringType: feature.kind = StringFeature{}; break;
          case spec::FeatureType::kImageType: feature.kind = read_image(type.imagetype()); break;
          case spec::FeatureType::kMultiArrayType: feature.kind = read_array(type.multiarraytype()); break;
          case spec::FeatureType::kDictionaryType: feature.kind = DictFeature{type.dictionarytype().has_int64keytype()}; break;
          case spec::FeatureType::kSequenceType:
            feature.kind = SequenceFeature{type.sequencetype().has_int64type(), read_range(type.sequencetype().sizerange())};
            break;
          case spec::FeatureType::kStateType: feature.kind = StateFeature{read_array(type.statetype().arraytype())}; break;
          case spec::FeatureType::TYPE_NOT_SET: fail(ErrorKind::bad_model, "the type is missing");
        }
        return feature;
      });
}

template <class Message>
Interface read_interface(const std::string& function, const Message& message) {
  Interface interface;
  interface.function = function;
  for (const auto& feature : message.input()) interface.inputs.push_back(read_feature(feature));
  for (const auto& feature : message.output()) interface.outputs.push_back(read_feature(feature));
  for (const auto& feature : message.state()) interface.states.push_back(read_feature(feature));
  interface.predicted_feature = message.predictedfeaturename();
  interface.predicted_probabilities = message.predictedprobabilitiesname();
  return interface;
}

void write_range(const Range& range, spec::SizeRange& message) {
  message.set_lowerbound(static_cast<std::uint64_t>(std::max<std::int64_t>(range.lower, 0)));
  message.set_upperbound(range.upper);
}

void write_array(const ArrayFeature& array, spec::ArrayFeatureType& message) {
  switch (array.dtype) {
    case DType::f64: message.set_datatype(spec::ArrayFeatureType::DOUBLE); break;
    case DType::i32: message.set_datatype(spec::ArrayFeatureType::INT32); break;
    case DType::i8: message.set_datatype(spec::ArrayFeatureType::INT8); break;
    case DType::f16: message.set_datatype(spec::ArrayFeatureType::FLOAT16); break;
    default: message.set_datatype(spec::ArrayFeatureType::FLOAT32); break;
  }
  for (const std::int64_t extent : array.shape) message.add_shape(extent);
  for (const Shape& shape : array.enumerated) {
    auto* target = message.mutable_enumeratedshapes()->add_shapes();
    for (const std::int64_t extent : shape) target->add_shape(extent);
  }
  for (const Range& range : array.ranges) write_range(range, *message.mutable_shaperange()->add_sizeranges());
  if (array.default_value) {
    if (array.dtype == DType::i32 || array.dtype == DType::i8) {
      message.set_intdefaultvalue(static_cast<std::int32_t>(*array.default_value));
    } else if (array.dtype == DType::f64) {
      message.set_doubledefaultvalue(*array.default_value);
    } else {
      message.set_floatdefaultvalue(static_cast<float>(*array.default_value));
    }
  }
}

void write_image(const ImageFeature& image, spec::ImageFeatureType& message) {
  message.set_width(image.width);
  message.set_height(image.height);
  static constexpr spec::ImageFeatureType::ColorSpace spaces[] = {spec::ImageFeatureType::GRAYSCALE,
                                                                  spec::ImageFeatureType::GRAYSCALE_FLOAT16,
                                                                  spec::ImageFeatureType::RGB, spec::ImageFeatureType::BGR};
  message.set_colorspace(spaces[static_cast<int>(image.color)]);
  for (const auto& [width, height] : image.enumerated) {
    auto* size = message.mutable_enumeratedsizes()->add_sizes();
    size->set_width(static_cast<std::uint64_t>(width));
    size->set_height(static_cast<std::uint64_t>(height));
  }
  if (image.width_range) write_range(*image.width_range, *message.mutable_imagesizerange()->mutable_widthrange());
  if (image.height_range) write_range(*image.height_range, *message.mutable_imagesizerange()->mutable_heightrange());
}

void write_feature(const Feature& feature, spec::FeatureDescription& message) {
  message.set_name(feature.name);
  message.set_shortdescription(feature.doc);
  spec::FeatureType& type = *message.mutable_type();
  type.set_isoptional(feature.optional);
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) write_array(*array, *type.mutable_multiarraytype());
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) write_image(*image, *type.mutable_imagetype());
  if (std::holds_alternative<Int64Feature>(feature.kind)) type.mutable_int64type();
  if (std::holds_alternative<DoubleFeature>(feature.kind)) type.mutable_doubletype();
  if (std::holds_alternative<StringFeature>(feature.kind)) type.mutable_stringtype();
  if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) {
    if (dict->integer_keys) {
      type.mutable_dictionarytype()->mutable_int64keytype();
    } else {
      type.mutable_dictionarytype()->mutable_stringkeytype();
    }
  }
  if (const auto* sequence = std::get_if<SequenceFeature>(&feature.kind)) {
    if (sequence->integers) {
      type.mutable_sequencetype()->mutable_int64type();
    } else {
      type.mutable_sequencetype()->mutable_stringtype();
    }
    write_range(sequence->length, *type.mutable_sequencetype()->mutable_sizerange());
  }
  if (const auto* state = std::get_if<StateFeature>(&feature.kind))
    write_array(state->array, *type.mutable_statetype()->mutable_arraytype());
}

template <class Message>
void write_interface(const Interface& interface, Message& message) {
  for (const Feature& feature : interface.inputs) write_feature(feature, *message.add_input());
  for (const Feature& feature : interface.outputs) write_feature(feature, *message.add_output());
  for (const Feature& feature : interface.states) write_feature(feature, *message.add_state());
  message.set_predictedfeaturename(interface.predicted_feature);
  message.set_predictedprobabilitiesname(interface.predicted_probabilities);
}

}  // namespace

void read_description(const spec::ModelDescription& message, ModelInfo& info) {
  const spec::Metadata& metadata = message.metadata();
  info.author = metadata.author();
  info.license = metadata.license();
  info.version = metadata.versionstring();
  info.short_description = metadata.shortdescription();
  for (const auto& [key, value] : metadata.userdefined()) info.user_metadata[key] = value;
  if (message.functions_size() == 0) {
    info.interfaces.push_back(read_interface("main", message));
    return;
  }
  for (const auto& function : message.functions()) info.interfaces.push_back(read_interface(function.name(), function));
  const std::string& first = message.defaultfunctionname();
  std::stable_partition(info.interfaces.begin(), info.interfaces.end(),
                        [&](const Interface& i) { return i.function == first; });
}

void write_description(const ModelInfo& info, spec::ModelDescription& message) {
  spec::Metadata& metadata = *message.mutable_metadata();
  metadata.set_author(info.author);
  metadata.set_license(info.license);
  metadata.set_versionstring(info.version);
  metadata.set_shortdescription(info.short_description);
  for (const auto& [key, value] : info.user_metadata) (*metadata.mutable_userdefined())[key] = value;
  if (info.interfaces.size() == 1 && info.interfaces[0].function == "main") {
    write_interface(info.interfaces[0], message);
    return;
  }
  for (const Interface& interface : info.interfaces) {
    spec::FunctionDescription& function = *message.add_functions();
    function.set_name(interface.function);
    write_interface(interface, function);
  }
  if (!info.interfaces.empty()) message.set_defaultfunctionname(info.interfaces[0].function);
}

std::string model_type_name(const spec::Model& message) {
  switch (message.Type_case()) {
    case spec::Model::kMlProgram: return "mlprogram";
    case spec::Model::kNeuralNetwork: return "neuralnetwork";
    case spec::Model::kNeuralNetworkClassifier: return "neuralnetwork";
    case spec::Model::kNeuralNetworkRegressor: return "neuralnetwork";
    case spec::Model::kPipeline: return "pipeline";
    case spec::Model::kPipelineClassifier: return "pipelineClassifier";
    case spec::Model::kPipelineRegressor: return "pipelineRegressor";
    case spec::Model::kGlmRegressor: return "glmRegressor";
    case spec::Model::kGlmClassifier: return "glmClassifier";
    case spec::Model::kSupportVectorRegressor: return "supportVectorRegressor";
    case spec::Model::kSupportVectorClassifier: return "supportVectorClassifier";
    case spec::Model::kTreeEnsembleRegressor: return "treeEnsembleRegressor";
    case spec::Model::kTreeEnsembleClassifier: return "treeEnsembleClassifier";
    case spec::Model::kBayesianProbitRegressor: return "bayesianProbitRegressor";
    case spec::Model::kKNearestNeighborsClassifier: return "kNearestNeighborsClassifier";
    case spec::Model::kItemSimilarityRecommender: return "itemSimilarityRecommender";
    case spec::Model::kCustomModel: return "customModel";
    case spec::Model::kLinkedModel: return "linkedModel";
    case spec::Model::kClassConfidenceThresholding: return "classConfidenceThresholding";
    case spec::Model::kOneHotEncoder: return "oneHotEncoder";
    case spec::Model::kImputer: return "imputer";
    case spec::Model::kFeatureVectorizer: return "featureVectorizer";
    case spec::Model::kDictVectorizer: return "dictVectorizer";
    case spec::Model::kScaler: return "scaler";
    case spec::Model::kCategoricalMapping: return "categoricalMapping";
    case spec::Model::kNormalizer: return "normalizer";
    case spec::Model::kArrayFeatureExtractor: return "arrayFeatureExtractor";
    case spec::Model::kNonMaximumSuppression: return "nonMaximumSuppression";
    case spec::Model::kIdentity: return "identity";
    case spec::Model::kTextClassifier: return "textClassifier";
    case spec::Model::kWordTagger: return "wordTagger";
    case spec::Model::kVisionFeaturePrint: return "visionFeaturePrint";
    case spec::Model::kSoundAnalysisPreprocessing: return "soundAnalysisPreprocessing";
    case spec::Model::kGazetteer: return "gazetteer";
    case spec::Model::kWordEmbedding: return "wordEmbedding";
    case spec::Model::kAudioFeaturePrint: return "audioFeaturePrint";
    case spec::Model::kSerializedModel: return "serializedModel";
    case spec::Model::TYPE_NOT_SET: return "";
  }
  return "";
}

}  // namespace tl::format
