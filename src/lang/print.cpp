#include <charconv>
#include <cmath>

#include "base/f16.hpp"
#include "lang/value.hpp"

namespace tl::lang {

namespace {

std::string tidy_exponent(std::string text) {
  const std::size_t e = text.find('e');
  if (e == std::string::npos) return text;
  std::string digits = text.substr(e + 1);
  const bool negative = digits[0] == '-';
  digits.erase(0, digits.find_first_not_of("+-0"));
  return text.substr(0, e + 1) + (negative ? "-" : "") + digits;
}

template <class T>
std::string shortest(T value) {
  const T size = std::abs(value);
  const bool plain = size == 0 || (size >= T(1e-4) && size < T(1e16));
  char buffer[64];
  const auto result =
      std::to_chars(buffer, buffer + sizeof buffer, value, plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer, result.ptr);
  return text == "-0" ? "0" : tidy_exponent(text);
}

std::string shortest_half(float value) {
  for (int digits = 1; digits <= 5; ++digits) {
    const std::string text = fmt::format("{:.{}e}", value, digits - 1);
    const double back = std::strtod(text.c_str(), nullptr);
    if (to_f16(back).bits == to_f16(value).bits) return shortest(back);
  }
  return shortest(value);
}

std::string with_decimals(double value, int decimals) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text[0] == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string number_text(double value, DType dtype) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (dtype == DType::f16) return shortest_half(static_cast<float>(value));
  if (dtype == DType::f32) return shortest(static_cast<float>(value));
  return shortest(value);
}

std::string element_text(const Tensor& t, std::int64_t i, int decimals) {
  if (t.dtype() == DType::string) return "\"" + t.strings()[static_cast<std::size_t>(i)] + "\"";
  if (t.dtype() == DType::boolean) return t.integer_at(i) != 0 ? "true" : "false";
  if (is_integer(t.dtype())) return fmt::format("{}", t.integer_at(i));
  return with_decimals(t.number_at(i), decimals);
}

std::string nested(const Tensor& t, std::size_t axis, std::int64_t& next, int decimals) {
  if (axis == t.rank()) return element_text(t, next++, decimals);
  std::string text = "[";
  for (std::int64_t i = 0; i < t.dim(axis); ++i) {
    if (i > 0) text += ", ";
    text += nested(t, axis + 1, next, decimals);
    if (text.size() > 100000) return text + "...";
  }
  return text + "]";
}

std::string short_dtype(DType dtype) {
  switch (dtype) {
    case DType::f16: return "f16";
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    default: return std::string(name(dtype));
  }
}

std::string tensor_text(const Tensor& t, int decimals) {
  if (t.rank() == 0) {
    if (!is_floating(t.dtype())) return t.dtype() == DType::string ? t.strings()[0] : element_text(t, 0, 0);
    return decimals >= 0 ? with_decimals(t.number_at(0), decimals) : number_text(t.number_at(0), t.dtype());
  }
  const int places = decimals >= 0 ? decimals : 4;
  if (t.size() <= 64 && t.rank() <= 32) {
    std::int64_t next = 0;
    return nested(t, 0, next, places);
  }
  if (t.rank() == 1) {
    return fmt::format("[{}, {}, ..., {}] (len={})", element_text(t, 0, places), element_text(t, 1, places),
                       element_text(t, t.size() - 1, places), t.size());
  }
  return fmt::format("Tensor<{}>(shape={})", short_dtype(t.dtype()), tl::to_string(t.shape()));
}

constexpr int max_print_depth = 64;

std::string text_of(const Datum& value, bool quoted, int decimals, int depth) {
  if (depth > max_print_depth) return "...";
  if (value.is_void()) return "void";
  if (const auto* b = value.as<bool>()) return *b ? "true" : "false";
  if (const auto* i = value.as<std::int64_t>())
    return decimals >= 0 ? with_decimals(static_cast<double>(*i), decimals) : fmt::format("{}", *i);
  if (const auto* f = value.as<double>()) return decimals >= 0 ? with_decimals(*f, decimals) : number_text(*f, DType::f64);
  if (const auto* s = value.as<std::string>()) return quoted ? "\"" + *s + "\"" : *s;
  if (const auto* t = value.as<TensorPtr>()) return tensor_text((*t)->data, decimals);
  if (const auto* a = value.as<ArrayPtr>()) {
    const auto& items = (*a)->items;
    const auto one = [&](std::size_t i) { return text_of(items[i], true, decimals, depth + 1); };
    if (items.size() > 64 && items[0].is_number()) {
      return fmt::format("[{}, {}, ..., {}] (len={})", one(0), one(1), one(items.size() - 1), items.size());
    }
    std::string text = "[";
    for (std::size_t i = 0; i < items.size() && text.size() < (1U << 20); ++i) text += (i > 0 ? ", " : "") + one(i);
    return text + "]";
  }
  if (const auto* o = value.as<ObjectPtr>()) {
    std::string text = (*o)->type + " {";
    for (const auto& [name, field] : (*o)->fields) {
      text += (text.back() == '{' ? " " : ", ") + name + ": " + text_of(field, true, decimals, depth + 1);
      if (text.size() > (1U << 20)) break;
    }
    return text + " }";
  }
  if (const auto* image = value.as<std::shared_ptr<ImageBox>>()) {
    return fmt::format("Image({} x {})", (*image)->image.width(), (*image)->image.height());
  }
  if (const auto* m = value.as<std::shared_ptr<ModelBox>>()) {
    return fmt::format("Model({}, {})", (*m)->model.info().name, tl::to_string((*m)->model.info().format));
  }
  if (const auto* f = value.as<Function>()) return "fn " + f->name;
  return "entity " + value.as<EntityType>()->name;
}

}  // namespace

std::string to_text(const Datum& value, bool quoted, int decimals) { return text_of(value, quoted, decimals, 0); }

}  // namespace tl::lang
