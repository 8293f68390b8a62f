#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/checked.hpp"
#include "format/array_files.hpp"
#include "format/byte_reader.hpp"

namespace tl::format {
namespace {

struct NpyType {
  std::string_view code;  // without byte order
  DType dtype;
};
constexpr std::array npy_types = {
    NpyType{"f2", DType::f16}, NpyType{"f4", DType::f32}, NpyType{"f8", DType::f64}, NpyType{"i1", DType::i8},
    NpyType{"i2", DType::i16}, NpyType{"i4", DType::i32}, NpyType{"i8", DType::i64}, NpyType{"u1", DType::u8},
    NpyType{"u2", DType::u16}, NpyType{"u4", DType::u32}, NpyType{"u8", DType::u64}, NpyType{"b1", DType::boolean},
};

struct NpyHeader {
  std::string descr;
  bool fortran = false;
  Shape shape;
};

// The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : text_(text) {}

  NpyHeader read() {
    NpyHeader header;
    bool descr = false, fortran = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        if (peek() == '[') fail(ErrorKind::unsupported, "npy: structured elements are not read");
        header.descr = quoted();
        descr = true;
      } else if (key == "fortran_order") {
        header.fortran = boolean();
        fortran = true;
      } else if (key == "shape") {
        header.shape = tuple();
        shape = true;
      } else {
        fail(ErrorKind::bad_file, "npy: unknown header key '{}'", key);
      }
      accept(',');
    }
    if (!descr || !fortran || !shape) fail(ErrorKind::bad_file, "npy: the header lacks descr, fortran_order or shape");
    return header;
  }

 private:
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(ErrorKind::bad_file, "npy: header: '{}' expected at byte {}", c, at_);
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail(ErrorKind::bad_file, "npy: header: text expected at byte {}", at_);
    const auto end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail(ErrorKind::bad_file, "npy: header: unfinished text at byte {}", at_);
    std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }
  bool boolean() {
    peek();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    fail(ErrorKind::bad_file, "npy: header: True or False expected at byte {}", at_);
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      peek();
      std::int64_t extent = 0;
      const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (code != std::errc() || extent < 0) fail(ErrorKind::bad_file, "npy: header: an extent expected at byte {}", at_);
      if (shape.size() == 64) fail(ErrorKind::limit, "npy: more than 64 axes");
      at_ = static_cast<std::size_t>(end - text_.data());
      shape.push_back(extent);
      accept(',');
    }
    return shape;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void swap_bytes(Tensor& tensor, std::size_t width) {
  std::byte* data = tensor.mutable_data();
  for (std::size_t i = 0; i + width <= tensor.bytes(); i += width) std::reverse(data + i, data + i + width);
}

// Columns first to rows first.
Tensor to_row_major(const Tensor& tensor, const Shape& shape) {
  Tensor result(tensor.dtype(), shape);
  const std::size_t width = uz(bits(tensor.dtype()) / 8);
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t from = 0;
  std::byte* out = result.mutable_data();
  for (std::int64_t i = 0; i < result.size(); ++i, out += width) {
    std::memcpy(out, tensor.data() + uz(from) * width, width);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

void append_utf8(std::string& out, std::uint32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) fail(ErrorKind::bad_file, "npy: {} is no character", c);
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | (c >> 6));
  } else {
    if (c < 0x10000) {
      put(0xE0 | (c >> 12));
    } else {
      put(0xF0 | (c >> 18));
      put(0x80 | ((c >> 12) & 63));
    }
    put(0x80 | ((c >> 6) & 63));
  }
  put(0x80 | (c & 63));
}

Tensor decode_unicode(const NpyHeader& header, ByteReader& reader) {
  std::uint64_t width = 0;
  const char* begin = header.descr.data() + 2;
  if (std::from_chars(begin, header.descr.data() + header.descr.size(), width).ec != std::errc() || header.descr[0] == '>') {
    fail(ErrorKind::unsupported, "npy: elements of type '{}' are not read", header.descr);
  }
  const auto count = static_cast<std::uint64_t>(element_count(header.shape));
  const std::uint64_t bytes = checked_mul(checked_mul(width, std::uint64_t{4}, "the byte count"), count, "the byte count");
  if (count > reader.remaining() + 1 || header.fortran)
    fail(ErrorKind::bad_file, "npy: {} strings of {} characters do not fit", count, width);
  ByteReader data(reader.take(bytes, "npy data"));
  std::vector<std::string> values(count);
  for (std::string& value : values) {
    for (std::uint64_t i = 0; i < width; ++i) {
      const auto c = data.read<std::uint32_t>("npy data");
      if (c != 0) append_utf8(value, c);
    }
  }
  return Tensor::of_strings(header.shape, std::move(values));
}

// What NumPy can hold.
Tensor widened(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::bf16:
    case DType::f8e4m3:
    case DType::f8e5m2: return tensor.cast(DType::f32);
    case DType::i4: return tensor.cast(DType::i8);
    case DType::string: fail(ErrorKind::unsupported, "strings cannot be written as .npy: use .json");
    default: return is_sub_byte(tensor.dtype()) ? tensor.cast(DType::u8) : tensor;
  }
}

}  // namespace

Tensor decode_npy(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  if (reader.text(6, "npy magic") != "\x93NUMPY") fail(ErrorKind::bad_file, "npy: wrong magic");
  const auto major = reader.read<std::uint8_t>("npy version");
  reader.skip(1, "npy version");
  if (major < 1 || major > 3) fail(ErrorKind::unsupported, "npy: version {} is not read", major);
  const std::uint64_t length = major == 1 ? reader.read<std::uint16_t>("npy header") : reader.read<std::uint32_t>("npy header");
  const NpyHeader header = LiteralReader(reader.text(length, "npy header")).read();
  if (header.descr.size() < 3) fail(ErrorKind::bad_file, "npy: element type '{}'", header.descr);
  if (header.descr[1] == 'U') return decode_unicode(header, reader);
  const auto* const type = std::find_if(npy_types.begin(), npy_types.end(),
                                        [&](const NpyType& t) { return t.code == std::string_view(header.descr).substr(1); });
  if (type == npy_types.end()) fail(ErrorKind::unsupported, "npy: elements of type '{}' are not read", header.descr);
  const std::size_t size = packed_bytes(type->dtype, element_count(header.shape));
  const auto data = reader.take(size, "npy data");
  Tensor tensor(type->dtype, header.shape);
  if (size != 0) std::memcpy(tensor.mutable_data(), data.data(), size);
  if (header.descr[0] == '>') swap_bytes(tensor, uz(bits(type->dtype) / 8));
  if (type->dtype == DType::boolean) {
    std::transform(data.begin(), data.end(), tensor.mutable_data(), [](std::byte b) { return std::byte{b != std::byte{0}}; });
  }
  return header.fortran && header.shape.size() > 1 ? to_row_major(tensor, header.shape) : tensor;
}

std::vector<std::byte> encode_npy(const Tensor& original) {
  const Tensor tensor = widened(original);
  const auto* const type =
      std::find_if(npy_types.begin(), npy_types.end(), [&](const NpyType& t) { return t.dtype == tensor.dtype(); });
  if (type == npy_types.end()) fail(ErrorKind::unsupported, "npy: no type for {}", name(tensor.dtype()));
  std::string shape;
  for (const std::int64_t extent : tensor.shape()) shape += std::to_string(extent) + ", ";
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);
  if (tensor.rank() == 1) shape.pop_back();
  const char order = bits(tensor.dtype()) == 8 ? '|' : '<';
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}", order, type->code, shape);
  constexpr std::size_t prefix = 10, alignment = 64;
  header.append((alignment - (prefix + header.size() + 1) % alignment) % alignment, ' ');
  header += '\n';
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(header.size() & 255);
  start += static_cast<char>(header.size() >> 8);
  start += header;
  std::vector<std::byte> bytes(start.size() + tensor.bytes());
  std::memcpy(bytes.data(), start.data(), start.size());
  if (tensor.bytes() != 0) std::memcpy(bytes.data() + start.size(), tensor.data(), tensor.bytes());
  return bytes;
}

}  // namespace tl::format
