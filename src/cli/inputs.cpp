#include "cli/inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "cli/describe.hpp"
#include "cli/output.hpp"
#include "format/array_files.hpp"
#include "tensorlogic/image.hpp"

namespace tl::cli {
namespace {

const Feature* find(const std::vector<Feature>& features, std::string_view name) {
  const auto found = std::find_if(features.begin(), features.end(), [&](const Feature& f) { return f.name == name; });
  return found == features.end() ? nullptr : &*found;
}

std::string names_of(const std::vector<Feature>& features) {
  std::string text;
  for (const Feature& feature : features) text += (text.empty() ? "" : ", ") + feature.name;
  return text.empty() ? "none" : text;
}

// The largest centred part of the model's proportions, scaled; or the whole, stretched.
Tensor fit_image(const Tensor& pixels, const ImageFeature& feature, const std::string& fit, const std::string& name,
                 const Context& context) {
  const Image image{pixels};
  const std::int64_t width = feature.width, height = feature.height;
  const bool flexible = feature.width_range.has_value() || feature.height_range.has_value() || !feature.enumerated.empty();
  if (flexible || fit == "exact" || width < 1 || height < 1 || (image.width() == width && image.height() == height))
    return pixels;
  if (!context.quiet)
    note(fmt::format("input '{}': the image of {}x{} is {} to {}x{}", name, image.width(), image.height(),
                     fit == "crop" ? "cropped and scaled" : "stretched", width, height));
  if (fit == "stretch") return resize(image, width, height).pixels;
  const std::int64_t across = std::min(image.width(), std::max<std::int64_t>(1, image.height() * width / height));
  const std::int64_t down = std::min(image.height(), std::max<std::int64_t>(1, image.width() * height / width));
  return resize(center_crop(image, across, down), width, height).pixels;
}

Value dict_for(const Dict& dict, const DictFeature& feature) {
  Dict result;
  for (const auto& [key, item] : dict.items) {
    Value number = item.tensor().cast(DType::f64);
    if (!feature.integer_keys) {
      result.items.emplace_back(key, number);
      continue;
    }
    const std::string& text = key.tensor().strings().at(0);
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size())
      fail(ErrorKind::invalid_argument, "key '{}' is no integer", text);
    result.items.emplace_back(Tensor::scalar(value), number);
  }
  return result;
}

Value sequence_for(const Tensor& tensor) {
  List list;
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    list.items.emplace_back(tensor.dtype() == DType::string ? Tensor::scalar(tensor.strings()[uz(i)])
                                                            : Tensor::scalar(tensor.integer_at(i)));
  }
  return list;
}

Value adapt(Value value, const Feature& feature, const InputArguments& arguments, const Context& context) {
  return within([&] { return fmt::format("input '{}'", feature.name); },
                [&]() -> Value {
                  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
                    const Tensor& pixels = value.tensor();
                    if (pixels.dtype() == DType::u8 && (pixels.rank() == 3 || pixels.rank() == 2))
                      return fit_image(pixels, *image, arguments.fit, feature.name, context);
                  }
                  if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) return dict_for(value.dict(), *dict);
                  if (std::holds_alternative<SequenceFeature>(feature.kind)) return sequence_for(value.tensor());
                  return value;
                });
}

bool is_literal(const std::string& text) {
  return !text.empty() && std::string_view("[{\"-0123456789tf").find(text[0]) != std::string_view::npos;
}

Value read_value(const std::string& text, const std::string& name) {
  if (exists(text)) {
    if (text.ends_with(".npz") || text.ends_with(".safetensors")) {
      auto tensors = format::read_arrays(text);
      const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == name; });
      if (found != tensors.end()) return found->second;
    }
    return format::read_array(text);
  }
  if (!is_literal(text)) return format::read_array(text);
  return within([&] { return fmt::format("input '{}'", name); }, [&] { return format::decode_json(text); });
}

}  // namespace

void add_inputs(Command command, InputArguments& arguments) {
  command
      .add_option("--in", arguments.specs,
                  "An input: NAME=FILE (.npy .npz .safetensors .png .jpg .webp .wav .json), NAME=JSON (numbers, lists, "
                  "\"text\", an object), or "
                  "FILE alone: the only input, or an archive whose members are named as the inputs; may be given again")
      .hint("[NAME=]FILE ...")
      .repeated();
  command
      .add_option("--fit", arguments.fit,
                  "How an image comes to the size that the model wants: crop (largest centred part), stretch, or exact (it "
                  "must have it)")
      .one_of({"crop", "stretch", "exact"})
      .hint("HOW [crop]");
}

NamedValues read_inputs(const InputArguments& arguments, const Interface& interface, const Context& context) {
  NamedValues values;
  const auto put = [&](const std::string& name, Value value) {
    const Feature* feature = find(interface.inputs, name);
    if (feature == nullptr)
      fail(ErrorKind::invalid_argument, "the model has no input '{}'; it takes: {}", name, names_of(interface.inputs));
    values[name] = adapt(std::move(value), *feature, arguments, context);
  };
  for (const std::string& spec : arguments.specs) {
    const auto equals = spec.find('=');
    if (equals != std::string::npos && !exists(spec)) {
      const std::string name = spec.substr(0, equals);
      if (find(interface.inputs, name) == nullptr) put(name, {});
      put(name, read_value(spec.substr(equals + 1), name));
      continue;
    }
    auto tensors =
        spec.ends_with(".npz") || spec.ends_with(".safetensors") ? format::read_arrays(spec) : format::NamedTensors{};
    std::size_t taken = 0;
    for (const auto& [name, tensor] : tensors) {
      if (find(interface.inputs, name) == nullptr) continue;
      put(name, tensor);
      ++taken;
    }
    if (taken > 0) continue;
    if (interface.inputs.size() != 1) {
      throw Error(ErrorKind::invalid_argument,
                  fmt::format("the model takes {}: say which with --in NAME=FILE", names_of(interface.inputs)), spec);
    }
    put(interface.inputs.front().name, read_value(spec, interface.inputs.front().name));
  }
  return values;
}

}  // namespace tl::cli
