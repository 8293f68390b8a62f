#include "ir/text_literal.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/checked.hpp"
#include "base/elements.hpp"

namespace tl::ir {
namespace {

template <class T>
T parse_integer(TextScanner& scanner) {
  const std::size_t start = scanner.position();
  const std::string_view text = scanner.number();
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    scanner.rewind(start);
    scanner.stop("'{}' is not an integer in range", text);
  }
  return value;
}

double parse_real(TextScanner& scanner) {
  const std::size_t start = scanner.position();
  const std::string_view whole = scanner.number();
  std::string_view text = whole;
  const bool negative = text[0] == '-';
  if (text[0] == '-' || text[0] == '+') text.remove_prefix(1);
  const bool hex = text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  if (hex) text.remove_prefix(2);
  double value = 0;
  const bool signed_twice = !text.empty() && text[0] == '-';
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? std::chars_format::hex : std::chars_format::general);
  if (signed_twice || error != std::errc{} || end != text.data() + text.size()) {
    scanner.rewind(start);
    scanner.stop("'{}' is not a number", whole);
  }
  return negative ? -value : value;
}

std::int64_t parse_extent(TextScanner& scanner) {
  const auto extent = parse_integer<std::int64_t>(scanner);
  if (extent < 0) scanner.stop("a negative extent");
  return extent;
}

Dim parse_dim(TextScanner& scanner) {
  if (!scanner.accept("?")) return parse_extent(scanner);
  if (scanner.peek() < '0' || scanner.peek() > '9') return Dim::unknown();
  const std::int64_t id = parse_extent(scanner);
  if (id == std::numeric_limits<std::int64_t>::max()) scanner.stop("a symbol out of range");
  return Dim::symbol(id);
}

template <class Item>
auto parse_list(TextScanner& scanner, Item&& item) {
  std::vector<decltype(item())> result;
  scanner.expect("[");
  if (scanner.accept("]")) return result;
  do result.push_back(item());
  while (scanner.accept(","));
  scanner.expect("]");
  return result;
}

std::optional<Dims> parse_dims(TextScanner& scanner) {
  const std::size_t start = scanner.position();
  if (scanner.accept("[") && scanner.accept("...")) {
    scanner.expect("]");
    return std::nullopt;
  }
  scanner.rewind(start);
  return parse_list(scanner, [&] { return parse_dim(scanner); });
}

DType parse_dtype(TextScanner& scanner) {
  const std::size_t start = scanner.position();
  const std::string_view word = scanner.word();
  const auto dtype = dtype_from_name(word);
  if (!dtype) {
    scanner.rewind(start);
    scanner.stop("'{}' is not a data type", word);
  }
  return *dtype;
}

// The elements of a tensor literal, flat, and the extents that the brackets show.
struct Elements {
  Tensor make(TextScanner& scanner, const TensorType& type);

  void parse(TextScanner& scanner, DType dtype, std::size_t level) {
    if (!scanner.accept("[")) {
      if (leaf == unset) leaf = level;
      if (leaf != level) scanner.stop("the brackets are uneven");
      element(scanner, dtype);
      return;
    }
    if (level >= std::size_t{max_text_depth}) throw Error(ErrorKind::limit, "brackets are nested too deep", scanner.place());
    if (shape.size() <= level) shape.resize(level + 1, -1);
    std::int64_t count = 0;
    if (scanner.accept("]")) {
      if (leaf == unset) leaf = level + 1;
      if (leaf != level + 1) scanner.stop("the brackets are uneven");
    } else {
      do {
        parse(scanner, dtype, level + 1);
        ++count;
      } while (scanner.accept(","));
      scanner.expect("]");
    }
    if (shape[level] == -1) shape[level] = count;
    if (shape[level] != count) scanner.stop("a row of {} elements among rows of {}", count, shape[level]);
  }

  void element(TextScanner& scanner, DType dtype) {
    if (dtype == DType::string) {
      strings.push_back(scanner.string());
    } else if (dtype == DType::boolean) {
      if (scanner.accept("true")) {
        integers.push_back(1);
      } else {
        scanner.expect("false");
        integers.push_back(0);
      }
    } else if (is_floating(dtype)) {
      reals.push_back(parse_real(scanner));
    } else if (dtype == DType::u64) {
      integers.push_back(static_cast<std::int64_t>(parse_integer<std::uint64_t>(scanner)));
    } else {
      integers.push_back(parse_integer<std::int64_t>(scanner));
      const int width = bits(dtype);
      const std::int64_t value = integers.back();
      if (info(dtype).kind == DTypeKind::unsigned_integer
              ? value < 0 || value >> width != 0
              : width < 64 && (value >> (width - 1) != 0 && value >> (width - 1) != -1)) {
        scanner.stop("{} does not fit {}", value, name(dtype));
      }
    }
  }

  static constexpr std::size_t unset = static_cast<std::size_t>(-1);
  std::vector<double> reals;
  std::vector<std::int64_t> integers;
  std::vector<std::string> strings;
  Shape shape;
  std::size_t leaf = unset;
};

Tensor Elements::make(TextScanner& scanner, const TensorType& type) {
  const DType dtype = type.dtype;
  const std::size_t count = std::max({reals.size(), integers.size(), strings.size()});
  Shape target = shape;
  if (const auto declared = shape_of(type)) {
    target = *declared;
    const bool flat = shape.size() == 1 && !target.empty();
    if (element_count(target) != iz(count) || (shape != target && !flat && count != 0)) {
      scanner.stop("{} values of shape {} for {}", count, to_string(shape), to_string(Type(type)));
    }
  } else if (type.dims && !compatible(Type(type), Type(dtype, dims_of(shape)))) {
    scanner.stop("values of shape {} for {}", to_string(shape), to_string(Type(type)));
  }
  if (dtype == DType::string) return Tensor::of_strings(target, std::move(strings));
  if (is_floating(dtype)) return Tensor::of<double>(target, std::span<const double>(reals)).cast(dtype);
  Tensor wide = Tensor::of<std::int64_t>(target, std::span<const std::int64_t>(integers));
  if (dtype != DType::u64) return wide.cast(dtype);
  std::vector<std::uint64_t> values(integers.begin(), integers.end());
  return Tensor::of<std::uint64_t>(target, std::span<const std::uint64_t>(values));
}

Value parse_value(TextScanner& scanner, const Type& type, int depth) {
  if (depth > max_text_depth) throw Error(ErrorKind::limit, "values are nested too deep", scanner.place());
  if (const auto* list = type.as<ListType>()) {
    List result;
    result.items = parse_list(scanner, [&] { return parse_value(scanner, *list->element, depth + 1); });
    if (list->length.known() && list->length.extent() != iz(result.items.size())) {
      scanner.stop("{} items for {}", result.items.size(), to_string(type));
    }
    return result;
  }
  if (const auto* dict = type.as<DictType>()) {
    Dict result;
    scanner.expect("{");
    if (scanner.accept("}")) return result;
    do {
      scanner.expect("{");
      Value key = parse_value(scanner, *dict->key, depth + 1);
      scanner.expect(",");
      Value value = parse_value(scanner, *dict->value, depth + 1);
      scanner.expect("}");
      result.items.emplace_back(std::move(key), std::move(value));
    } while (scanner.accept(","));
    scanner.expect("}");
    return result;
  }
  if (const auto* tuple = type.as<TupleType>()) {
    List result;
    scanner.expect("(");
    for (std::size_t i = 0; i < tuple->elements.size(); ++i) {
      if (i != 0) scanner.expect(",");
      result.items.push_back(parse_value(scanner, tuple->elements[i], depth + 1));
    }
    scanner.expect(")");
    return result;
  }
  if (!type.is_tensor()) scanner.stop("no literal of type {}", to_string(type));
  const TensorType& tensor = type.tensor();
  Elements elements;
  elements.parse(scanner, tensor.dtype, 0);
  return elements.make(scanner, tensor);
}

BlobRef parse_blob(TextScanner& scanner) {
  BlobRef ref;
  scanner.expect("(");
  scanner.expect("path");
  scanner.expect("=");
  const ConstantPtr path = parse_literal(scanner, {});
  scanner.expect(",");
  scanner.expect("offset");
  scanner.expect("=");
  const ConstantPtr offset = parse_literal(scanner, {});
  scanner.expect(")");
  const auto scalar = [](const ConstantPtr& c, DType dtype) {
    return c->value.is_tensor() && c->value.tensor().dtype() == dtype && c->value.tensor().size() == 1;
  };
  if (!scalar(path, DType::string) || !scalar(offset, DType::u64)) scanner.stop("BLOBFILE takes a string and a uint64");
  ref.file = path->value.tensor().strings()[0];
  ref.offset = offset->value.tensor().values<std::uint64_t>()[0];
  return ref;
}

}  // namespace

bool starts_type(std::string_view word) noexcept {
  return word == "tensor" || word == "tensor_buffer" || word == "list" || word == "tuple" || word == "dict" ||
         word == "state" || dtype_from_name(word).has_value();
}

Type parse_type(TextScanner& scanner, int depth) {
  if (depth > max_text_depth) throw Error(ErrorKind::limit, "types are nested too deep", scanner.place());
  const std::size_t start = scanner.position();
  const std::string_view word = scanner.word();
  if (const auto dtype = dtype_from_name(word)) return {*dtype, {}};
  if (!starts_type(word)) {
    scanner.rewind(start);
    scanner.stop("'{}' is not a type", word);
  }
  const auto inner = [&] { return std::make_shared<const Type>(parse_type(scanner, depth + 1)); };
  scanner.expect("<");
  Type result;
  if (word == "tensor") {
    const DType dtype = parse_dtype(scanner);
    scanner.expect(",");
    result = TensorType{dtype, parse_dims(scanner)};
  } else if (word == "tensor_buffer") {
    BufferType buffer;
    buffer.tensor.dtype = parse_dtype(scanner);
    scanner.expect(",");
    scanner.expect("shape");
    scanner.expect("=");
    buffer.tensor.dims = parse_dims(scanner);
    const auto integers = [&](std::string_view key) {
      scanner.expect(",");
      scanner.expect(key);
      scanner.expect("=");
      return parse_list(scanner, [&] { return parse_integer<std::int64_t>(scanner); });
    };
    buffer.strides = integers("strides");
    buffer.interleave_factors = integers("interleave_factors");
    result = std::move(buffer);
  } else if (word == "list") {
    auto element = inner();
    scanner.expect(",");
    result = ListType{std::move(element), parse_dim(scanner)};
  } else if (word == "dict") {
    auto key = inner();
    scanner.expect(",");
    result = DictType{std::move(key), inner()};
  } else if (word == "state") {
    auto wrapped = inner();
    if (!wrapped->is_tensor()) scanner.stop("a state wraps a tensor");
    result = StateType{std::move(wrapped)};
  } else {
    TupleType tuple;
    if (scanner.peek() != '>') {
      do tuple.elements.push_back(parse_type(scanner, depth + 1));
      while (scanner.accept(","));
    }
    result = std::move(tuple);
  }
  scanner.expect(">");
  return result;
}

ConstantPtr parse_literal(TextScanner& scanner, const TextBlobReader& blobs) {
  auto result = std::make_shared<Constant>();
  result->type = parse_type(scanner);
  scanner.expect("(");
  if (scanner.accept("BLOBFILE")) {
    const std::string place = scanner.place();
    result->blob = parse_blob(scanner);
    if (!result->type.is_tensor()) scanner.stop("BLOBFILE holds tensors only");
    const auto shape = shape_of(result->type.tensor());
    if (!shape) scanner.stop("a weight without a fixed shape");
    if (blobs)
      result->value = within([&] { return place; }, [&] { return blobs(*result->blob, result->type.tensor().dtype, *shape); });
  } else {
    result->value = parse_value(scanner, result->type, 0);
  }
  scanner.expect(")");
  return result;
}

Attributes parse_attributes(TextScanner& scanner, const TextBlobReader& blobs) {
  Attributes result;
  if (scanner.accept("]")) return result;
  do {
    std::string name = scanner.name();
    scanner.expect("=");
    result.emplace_back(std::move(name), parse_literal(scanner, blobs));
  } while (scanner.accept(","));
  scanner.expect("]");
  return result;
}

}  // namespace tl::ir
