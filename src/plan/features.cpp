#include "plan/features.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/checked.hpp"
#include "base/elements.hpp"

namespace tl::plan {
namespace {

bool inside(const Range& range, std::int64_t extent) {
  return extent >= range.lower && (range.upper < 0 || extent <= range.upper);
}

// Core ML's words for a shape outside of what is declared, which programs look for; empty where it is of another rank.
std::string flexible_shape_error(const ArrayFeature& array, const Shape& shape) {
  if (!array.enumerated.empty())
    return fmt::format("MultiArray Shape ({}) was not in enumerated set of allowed shapes; ", fmt::join(shape, " x "));
  for (std::size_t i = 0; shape.size() == array.ranges.size() && i < shape.size(); ++i) {
    const Range& range = array.ranges[i];
    if (!inside(range, shape[i]))
      return fmt::format("Size ({}) of dimension ({}) is not in allowed range ({}..{}); ", shape[i], i, range.lower,
                         range.upper);
  }
  return "";
}

void check_shape(const ArrayFeature& array, const Shape& shape) {
  bool fits = true;
  if (!array.enumerated.empty()) {
    fits = shape == array.shape || std::find(array.enumerated.begin(), array.enumerated.end(), shape) != array.enumerated.end();
  } else if (!array.ranges.empty()) {
    fits = shape.size() == array.ranges.size();
    for (std::size_t i = 0; fits && i < shape.size(); ++i) fits = inside(array.ranges[i], shape[i]);
  } else if (!array.shape.empty()) {
    fits = shape == array.shape;
  }
  if (!fits) {
    Feature feature;
    feature.kind = array;
    fail(ErrorKind::invalid_argument, "{}shape {} is given, the model takes {}", flexible_shape_error(array, shape),
         to_string(shape), describe(feature));
  }
}

// An array for a network of the old convention, whose values are (sequence, batch, channel, height, width). The shape of one
// item is declared; what stands before it in the given shape is the batch, and the sequence before that.
Tensor to_rank5(const ArrayFeature& array, const Tensor& tensor) {
  const std::size_t item = std::max(array.shape.size(), array.ranges.size());
  const Shape& shape = tensor.shape();
  if (shape.size() == 5) {
    const Shape last(shape.end() - static_cast<std::ptrdiff_t>(item == 1 ? 3 : item), shape.end());
    check_shape(array, item == 1 && last[1] == 1 && last[2] == 1 ? Shape{last[0]} : last);
    return tensor;
  }
  if (shape.size() < item || (shape.size() > item && item != 1 && item != 3)) check_shape(array, shape);
  const std::size_t leading = shape.size() - item;
  check_shape(array, Shape(shape.begin() + static_cast<std::ptrdiff_t>(leading), shape.end()));
  Shape full = shape;
  if (item <= 2) full.insert(full.end(), {1, 1});
  if (item == 2 && leading == 0) full.insert(full.begin() + 1, 1);
  if (full.size() > 5) check_shape(array, shape);
  full.insert(full.begin(), 5 - full.size(), 1);
  return tensor.reshaped(full);
}

void check_pixels(const ImageFeature& image, std::int64_t channels, std::int64_t height, std::int64_t width) {
  const bool gray = image.color == ColorSpace::grayscale || image.color == ColorSpace::grayscale_f16;
  if (channels != (gray ? 1 : 3)) {
    fail(ErrorKind::invalid_argument, "pixels with {} channels are given, the model takes {}", channels, gray ? 1 : 3);
  }
  const bool sized = image.enumerated.empty() && !image.width_range;
  const auto size_fits = [&] {
    if (width == image.width && height == image.height) return true;
    if (sized) return image.width == 0;
    for (const auto& [w, h] : image.enumerated) {
      if (w == width && h == height) return true;
    }
    return image.width_range && image.height_range && inside(*image.width_range, width) && inside(*image.height_range, height);
  };
  if (!size_fits()) {
    Feature feature;
    feature.kind = image;
    fail(ErrorKind::invalid_argument, "an image of {} x {} is given, the model takes {}", width, height, describe(feature));
  }
}

Tensor pixels_to_planes(const Tensor& pixels, const ImageFeature& image, DType dtype) {
  const std::int64_t height = pixels.dim(0);
  const std::int64_t width = pixels.dim(1);
  const std::int64_t channels = pixels.rank() == 3 ? pixels.dim(2) : 1;
  check_pixels(image, channels, height, width);
  const Tensor wide = pixels.cast(dtype);
  Tensor planes(dtype, {1, channels, height, width});
  const std::int64_t area = height * width;
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto in = wide.values<T>();
    auto out = planes.mutable_values<T>();
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t source = image.color == ColorSpace::bgr ? channels - 1 - c : c;
      for (std::int64_t i = 0; i < area; ++i) out[uz(c * area + i)] = in[uz(i * channels + source)];
    }
  });
  return planes;
}

Tensor planes_to_pixels(const Tensor& computed, const ImageFeature& image) {
  const Shape& shape = computed.shape();
  if (shape.size() < 3) fail(ErrorKind::bad_model, "an image output of shape {}", to_string(shape));
  const std::int64_t width = shape[shape.size() - 1];
  const std::int64_t height = shape[shape.size() - 2];
  const std::int64_t channels = shape[shape.size() - 3];
  const std::int64_t area = height * width;
  const bool gray = channels == 1;
  if (computed.size() != channels * area) fail(ErrorKind::bad_model, "an image output of shape {}", to_string(shape));
  if (image.color == ColorSpace::grayscale_f16) return computed.cast(DType::f16).reshaped({height, width});
  const Tensor wide = computed.cast(DType::f32);
  const auto in = wide.values<float>();
  Tensor pixels(DType::u8, gray ? Shape{height, width} : Shape{height, width, channels});
  auto out = pixels.mutable_values<std::uint8_t>();
  for (std::int64_t c = 0; c < channels; ++c) {
    const std::int64_t target = image.color == ColorSpace::bgr ? channels - 1 - c : c;
    for (std::int64_t i = 0; i < area; ++i) {
      const float value = std::nearbyint(in[uz(c * area + i)]);
      out[uz(i * channels + target)] = convert_element<std::uint8_t>(value);
    }
  }
  return pixels;
}

// A scalar feature in the rank that the function declares.
Tensor scalar_input(const Tensor& given, const ir::Type& target) {
  if (given.size() != 1)
    fail(ErrorKind::invalid_argument, "one value is expected, shape {} is given", to_string(given.shape()));
  const ir::TensorType& type = target.tensor();
  const std::size_t rank = type.dims ? type.dims->size() : 0;
  return (type.dtype == DType::string ? given : given.cast(type.dtype)).reshaped(Shape(rank, 1));
}

// Keys of the declared type (text that spells a number counts as one), values as doubles.
Value dictionary_input(const Value& given, const DictFeature& feature) {
  Dict result;
  for (const auto& [key, value] : given.dict().items) {
    const Tensor& name = key.tensor();
    if (name.size() != 1) fail(ErrorKind::invalid_argument, "a key of shape {}", to_string(name.shape()));
    const bool text = name.dtype() == DType::string;
    Tensor typed = name;
    if (feature.integer_keys && text) {
      const std::string& spelled = name.strings()[0];
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(spelled.data(), spelled.data() + spelled.size(), number);
      if (error != std::errc() || end != spelled.data() + spelled.size())
        fail(ErrorKind::invalid_argument, "key '{}', the model takes integers", spelled);
      typed = Tensor::scalar(number);
    } else if (feature.integer_keys) {
      typed = Tensor::scalar(name.integer_at(0));
    } else if (!text) {
      typed = Tensor::scalar(std::to_string(name.integer_at(0)));
    }
    const Tensor& amount = value.tensor();
    if (amount.size() != 1 || amount.dtype() == DType::string) fail(ErrorKind::invalid_argument, "a value is no number");
    result.items.emplace_back(std::move(typed), Tensor::scalar(amount.number_at(0)));
  }
  return result;
}

// A list of text or int64: from such a tensor, or a list of single values.
Value sequence_input(const Value& given, const SequenceFeature& feature) {
  std::vector<std::string> texts;
  std::vector<std::int64_t> integers;
  const auto add = [&](const Tensor& tensor) {
    if (tensor.rank() > 1)
      fail(ErrorKind::invalid_argument, "a list is expected, shape {} is given", to_string(tensor.shape()));
    const bool text = tensor.dtype() == DType::string;
    if (text == feature.integers || (!text && !is_integer(tensor.dtype())))
      fail(ErrorKind::invalid_argument, "{} are given, the model takes {}", text ? "texts" : name(tensor.dtype()),
           feature.integers ? "integers" : "texts");
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      if (text) texts.push_back(tensor.strings()[uz(i)]);
      if (!text) integers.push_back(tensor.integer_at(i));
    }
  };
  if (given.is_list()) {
    for (const Value& item : given.list().items) add(item.tensor());
  } else if (given.tensor().size() != 0) {
    add(given.tensor());
  }
  const std::int64_t count = iz(texts.size() + integers.size());
  // A range that is left out says nothing.
  const bool bounded = feature.length.lower != 0 || feature.length.upper != 0;
  if (bounded && !inside(feature.length, count)) {
    Feature described;
    described.kind = feature;
    fail(ErrorKind::invalid_argument, "{} items are given, the model takes a {}", count, describe(described));
  }
  if (!feature.integers) return Tensor::of_strings({count}, std::move(texts));
  return Tensor::of<std::int64_t>({count}, std::span<const std::int64_t>(integers));
}

// Planes that are laid out as the network takes them.
Tensor planes_input(const Tensor& tensor, const ImageFeature& image, DType dtype) {
  const Shape& shape = tensor.shape();
  if (shape[0] != 1) fail(ErrorKind::invalid_argument, "one image is expected, shape {} is given", to_string(shape));
  check_pixels(image, shape[1], shape[2], shape[3]);
  return tensor.cast(dtype);
}

}  // namespace

Value to_input(const Feature& feature, const Value& given, const ir::Type& target) {
  return within([&] { return fmt::format("input '{}'", feature.name); },
                [&]() -> Value {
                  if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) return dictionary_input(given, *dict);
                  if (const auto* list = std::get_if<SequenceFeature>(&feature.kind)) return sequence_input(given, *list);
                  const Tensor& tensor = given.tensor();
                  if (tensor.dtype() == DType::string && !std::holds_alternative<StringFeature>(feature.kind)) {
                    fail(ErrorKind::invalid_argument, "text is given, the model takes {}", describe(feature));
                  }
                  if (tensor.dtype() != DType::string && std::holds_alternative<StringFeature>(feature.kind)) {
                    fail(ErrorKind::invalid_argument, "{} is given, the model takes text", name(tensor.dtype()));
                  }
                  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
                    const DType dtype = target.tensor().dtype;
                    if (tensor.rank() == 4) return planes_input(tensor, *image, dtype);
                    if (tensor.rank() != 2 && tensor.rank() != 3) {
                      fail(ErrorKind::invalid_argument,
                           "pixels are [height, width] or [height, width, channels], shape {} is given",
                           to_string(tensor.shape()));
                    }
                    return pixels_to_planes(tensor, *image, dtype);
                  }
                  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
                    const ir::TensorType& type = target.tensor();
                    const std::size_t declared = std::max(array->shape.size(), array->ranges.size());
                    if (type.dims && type.dims->size() == 5 && declared != 0 && declared < 5) {
                      return to_rank5(*array, tensor).cast(type.dtype);
                    }
                    check_shape(*array, tensor.shape());
                    return tensor.cast(type.dtype);
                  }
                  return scalar_input(tensor, target);
                });
}

Value to_output(const Feature& feature, const Value& computed) {
  return within([&] { return fmt::format("output '{}'", feature.name); },
                [&]() -> Value {
                  if (!computed.is_tensor()) return computed;
                  const Tensor& tensor = computed.tensor();
                  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) return planes_to_pixels(tensor, *image);
                  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
                    const Tensor result = tensor.dtype() == DType::string ? tensor : tensor.cast(array->dtype);
                    // Old networks declare the shape without the axes that their values have in front.
                    const bool fixed = !array->shape.empty() && array->ranges.empty() && array->enumerated.empty();
                    if (fixed && result.rank() != array->shape.size() && result.size() == element_count(array->shape))
                      return result.reshaped(array->shape);
                    return result.rank() == 0 ? result.reshaped({1}) : result;
                  }
                  const bool listed = std::holds_alternative<SequenceFeature>(feature.kind);
                  if (tensor.dtype() != DType::string && tensor.size() == 1 && !listed) {
                    const bool integer = std::holds_alternative<Int64Feature>(feature.kind);
                    return tensor.cast(integer ? DType::i64 : DType::f64).reshaped({});
                  }
                  return computed;
                });
}

}  // namespace tl::plan
