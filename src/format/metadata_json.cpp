#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "format/coremldata.hpp"

namespace tl::format {
namespace {

using nlohmann::ordered_json;

constexpr std::pair<DType, std::string_view> dtypes[] = {
    {DType::f32, "Float32"}, {DType::f64, "Double"}, {DType::i32, "Int32"}, {DType::i8, "Int8"}, {DType::f16, "Float16"}};
constexpr std::pair<ColorSpace, std::string_view> colors[] = {{ColorSpace::grayscale, "Grayscale"},
                                                              {ColorSpace::grayscale_f16, "Grayscale16Half"},
                                                              {ColorSpace::rgb, "RGB"},
                                                              {ColorSpace::bgr, "BGR"}};

// Texts of numbers, as the file has them.
std::int64_t integer(const ordered_json& value) {
  return value.is_string() ? ordered_json::parse(value.get<std::string>()).get<std::int64_t>() : value.get<std::int64_t>();
}

ArrayFeature read_array(const ordered_json& json) {
  ArrayFeature array;
  const std::string dtype = json.value("dataType", "Float32");
  for (const auto& [id, name] : dtypes) {
    if (name == dtype) array.dtype = id;
  }
  if (json.contains("shape")) array.shape = ordered_json::parse(json.at("shape").get<std::string>()).get<Shape>();
  for (const std::int64_t extent : array.shape) {
    if (extent < 0) fail(ErrorKind::bad_file, "a negative extent");
  }
  return array;
}

Feature read_feature(const ordered_json& json) {
  Feature feature;
  feature.name = json.at("name");
  feature.doc = json.value("shortDescription", "");
  feature.optional = json.value("isOptional", "0") == "1";
  const std::string type = json.at("type");
  if (type == "MultiArray") {
    feature.kind = read_array(json);
  } else if (type == "State") {
    feature.kind = StateFeature{read_array(json)};
  } else if (type == "Image") {
    ImageFeature image;
    image.width = integer(json.at("width"));
    image.height = integer(json.at("height"));
    const std::string color = json.value("colorspace", "RGB");
    for (const auto& [id, name] : colors) {
      if (name == color) image.color = id;
    }
    feature.kind = image;
  } else if (type == "Int64") {
    feature.kind = Int64Feature{};
  } else if (type == "Double") {
    feature.kind = DoubleFeature{};
  } else if (type == "String") {
    feature.kind = StringFeature{};
  } else if (type == "Dictionary") {
    feature.kind = DictFeature{json.value("keyType", "String") != "String"};
  } else {
    fail(ErrorKind::unsupported, "feature '{}' of type '{}'", feature.name, type);
  }
  return feature;
}

ordered_json write_feature(const Feature& feature) {
  ordered_json json;
  json["name"] = feature.name;
  json["shortDescription"] = feature.doc;
  json["isOptional"] = feature.optional ? "1" : "0";
  json["formattedType"] = describe(feature);
  const auto array = [&](const ArrayFeature& value) {
    for (const auto& [id, name] : dtypes) {
      if (id == value.dtype) json["dataType"] = name;
    }
    json["shape"] = to_string(value.shape);
    json["hasShapeFlexibility"] = value.ranges.empty() && value.enumerated.empty() ? "0" : "1";
  };
  if (const auto* value = std::get_if<ArrayFeature>(&feature.kind)) {
    json["type"] = "MultiArray";
    array(*value);
  } else if (const auto* state = std::get_if<StateFeature>(&feature.kind)) {
    json["type"] = "State";
    array(state->array);
  } else if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
    json["type"] = "Image";
    json["width"] = std::to_string(image->width);
    json["height"] = std::to_string(image->height);
    for (const auto& [id, name] : colors) {
      if (id == image->color) json["colorspace"] = name;
    }
    json["hasSizeFlexibility"] = image->enumerated.empty() && !image->width_range ? "0" : "1";
  } else if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) {
    json["type"] = "Dictionary";
    json["keyType"] = dict->integer_keys ? "Int64" : "String";
  } else if (std::holds_alternative<Int64Feature>(feature.kind)) {
    json["type"] = "Int64";
  } else if (std::holds_alternative<DoubleFeature>(feature.kind)) {
    json["type"] = "Double";
  } else if (std::holds_alternative<StringFeature>(feature.kind)) {
    json["type"] = "String";
  } else {
    json["type"] = "Sequence";
  }
  return json;
}

}  // namespace

void read_metadata_json(const std::string& text, ModelInfo& info) {
  try {
    const ordered_json file = ordered_json::parse(text);
    const ordered_json& root = file.at(0);
    info.specification_version = root.value("specificationVersion", 0);
    info.author = root.value("author", "");
    info.license = root.value("license", "");
    info.version = root.value("version", "");
    info.short_description = root.value("shortDescription", "");
    if (root.contains("userDefinedMetadata"))
      info.user_metadata = root.at("userDefinedMetadata").get<std::map<std::string, std::string>>();
    Interface interface;
    for (const auto& item : root.at("inputSchema")) interface.inputs.push_back(read_feature(item));
    for (const auto& item : root.at("outputSchema")) interface.outputs.push_back(read_feature(item));
    if (root.contains("stateSchema")) {
      for (const auto& item : root.at("stateSchema")) interface.states.push_back(read_feature(item));
    }
    interface.predicted_feature = root.value("predictedFeatureName", "");
    info.interfaces.push_back(std::move(interface));
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorKind::bad_file, "{}", error.what());
  }
}

std::string write_metadata_json(const ModelInfo& info) {
  ordered_json root;
  root["metadataOutputVersion"] = "3.0";
  root["specificationVersion"] = info.specification_version;
  root["modelType"] = {{"name", "MLModelType_mlProgram"}};
  root["author"] = info.author;
  root["license"] = info.license;
  root["version"] = info.version;
  root["shortDescription"] = info.short_description;
  root["userDefinedMetadata"] = info.user_metadata;
  root["isUpdatable"] = "0";
  root["method"] = "predict";
  for (const char* key : {"inputSchema", "outputSchema", "stateSchema"}) root[key] = ordered_json::array();
  if (!info.interfaces.empty()) {
    const Interface& interface = info.interfaces[0];
    for (const Feature& feature : interface.inputs) root["inputSchema"].push_back(write_feature(feature));
    for (const Feature& feature : interface.outputs) root["outputSchema"].push_back(write_feature(feature));
    for (const Feature& feature : interface.states) root["stateSchema"].push_back(write_feature(feature));
    if (!interface.predicted_feature.empty()) root["predictedFeatureName"] = interface.predicted_feature;
  }
  return ordered_json::array({root}).dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace tl::format
