#include "cli/describe.hpp"

#include <array>
#include <nlohmann/json.hpp>

namespace tl::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string color_text(ColorSpace color) {
  switch (color) {
    case ColorSpace::grayscale: return "grayscale";
    case ColorSpace::grayscale_f16: return "grayscale fp16";
    case ColorSpace::rgb: return "RGB";
    case ColorSpace::bgr: return "BGR";
  }
  return "";
}

Json json_of(const Range& range) { return {range.lower, range.upper < 0 ? Json(nullptr) : Json(range.upper)}; }

Json array_json(const char* kind, const ArrayFeature& f) {
  Json json = {{"kind", kind}, {"dtype", name(f.dtype)}, {"shape", f.shape}};
  if (!f.enumerated.empty()) json["shapes"] = f.enumerated;
  if (!f.ranges.empty()) {
    json["ranges"] = Json::array();
    for (const Range& range : f.ranges) json["ranges"].push_back(json_of(range));
  }
  if (f.default_value) json["default"] = *f.default_value;
  return json;
}

struct ToJson {
  Json operator()(const ArrayFeature& f) const { return array_json("array", f); }
  Json operator()(const ImageFeature& f) const {
    Json json = {{"kind", "image"}, {"width", f.width}, {"height", f.height}, {"color", color_text(f.color)}};
    if (!f.enumerated.empty()) json["sizes"] = f.enumerated;
    if (f.width_range) json["width_range"] = json_of(*f.width_range);
    if (f.height_range) json["height_range"] = json_of(*f.height_range);
    return json;
  }
  Json operator()(const Int64Feature&) const { return {{"kind", "int64"}}; }
  Json operator()(const DoubleFeature&) const { return {{"kind", "double"}}; }
  Json operator()(const StringFeature&) const { return {{"kind", "string"}}; }
  Json operator()(const DictFeature& f) const {
    return {{"kind", "dictionary"}, {"keys", f.integer_keys ? "int64" : "string"}};
  }
  Json operator()(const SequenceFeature& f) const {
    return {{"kind", "sequence"}, {"items", f.integers ? "int64" : "string"}, {"length", json_of(f.length)}};
  }
  Json operator()(const StateFeature& f) const { return array_json("state", f.array); }
};

}  // namespace

Json to_json(const Feature& feature) {
  Json json = {{"name", feature.name}};
  json.update(std::visit(ToJson{}, feature.kind));
  if (feature.optional) json["optional"] = true;
  if (!feature.doc.empty()) json["description"] = feature.doc;
  return json;
}

std::string pretty(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::string lowest_system(int specification_version) {
  constexpr std::array systems = {"",
                                  "iOS 11, macOS 10.13",
                                  "iOS 11.2, macOS 10.13.2",
                                  "iOS 12, macOS 10.14",
                                  "iOS 13, macOS 10.15",
                                  "iOS 14, macOS 11",
                                  "iOS 15, macOS 12",
                                  "iOS 16, macOS 13",
                                  "iOS 17, macOS 14",
                                  "iOS 18, macOS 15",
                                  "iOS 26, macOS 26"};
  if (specification_version < 1 || specification_version >= static_cast<int>(systems.size())) return {};
  return systems[static_cast<std::size_t>(specification_version)];
}

}  // namespace tl::cli
