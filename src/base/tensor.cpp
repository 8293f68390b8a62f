#include "tensorlogic/tensor.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/checked.hpp"
#include "base/elements.hpp"

namespace tl {

struct Tensor::Storage {
  std::shared_ptr<const void> owner;
  std::vector<std::string> strings;
  std::byte* allocated = nullptr;
  bool writable = false;

  Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() { std::free(allocated); }
};

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) fail(ErrorKind::invalid_argument, "negative extent {} in shape {}", extent, to_string(shape));
    count = checked_mul(count, extent, "element count");
  }
  return count;
}

std::size_t packed_bytes(DType dtype, std::int64_t count) {
  const std::int64_t total = checked_mul(count, static_cast<std::int64_t>(bits(dtype)), "tensor size");
  return uz(checked_add<std::int64_t>(total, 7, "tensor size") / 8);
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(element_count(shape_)),
      bytes_(packed_bytes(dtype, size_)),
      storage_(std::make_shared<Storage>()) {
  storage_->writable = true;
  if (dtype == DType::string) {
    storage_->strings.resize(uz(size_));
    return;
  }
  const std::size_t rounded = checked_add<std::size_t>(bytes_, 63, "tensor size") / 64 * 64;
  storage_->allocated = static_cast<std::byte*>(std::aligned_alloc(64, rounded == 0 ? 64 : rounded));
  if (storage_->allocated == nullptr) fail(ErrorKind::limit, "no memory for a tensor of {} bytes", bytes_);
  data_ = storage_->allocated;
}

Tensor Tensor::view(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner) {
  Tensor t;
  t.dtype_ = dtype;
  t.shape_ = std::move(shape);
  t.size_ = element_count(t.shape_);
  t.bytes_ = packed_bytes(dtype, t.size_);
  t.data_ = const_cast<std::byte*>(static_cast<const std::byte*>(data));
  t.storage_ = std::make_shared<Storage>();
  t.storage_->owner = std::move(owner);
  return t;
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
  Tensor t(dtype, std::move(shape));
  if (t.bytes_ != 0) std::memset(t.data_, 0, t.bytes_);
  return t;
}

Tensor Tensor::of_strings(Shape shape, std::vector<std::string> values) {
  Tensor t(DType::string, std::move(shape));
  if (values.size() != uz(t.size_))
    fail(ErrorKind::invalid_argument, "{} strings for shape {}", values.size(), to_string(t.shape_));
  t.storage_->strings = std::move(values);
  return t;
}

Tensor Tensor::copied(DType dtype, Shape shape, const void* data, std::size_t count) {
  Tensor t(dtype, std::move(shape));
  if (count != uz(t.size_)) fail(ErrorKind::invalid_argument, "{} values for shape {}", count, to_string(t.shape_));
  if (t.bytes_ != 0) std::memcpy(t.data_, data, t.bytes_);
  return t;
}

void Tensor::require(DType dtype) const {
  if (dtype != dtype_) fail(ErrorKind::internal, "tensor of {} read as {}", name(dtype_), name(dtype));
}

std::byte* Tensor::mutable_data() {
  if (storage_ == nullptr || !storage_->writable) fail(ErrorKind::internal, "write to a borrowed tensor");
  return data_;
}

const std::vector<std::string>& Tensor::strings() const {
  require(DType::string);
  return storage_->strings;
}

std::vector<std::string>& Tensor::mutable_strings() {
  require(DType::string);
  return storage_->strings;
}

Tensor Tensor::reshaped(Shape shape) const {
  if (element_count(shape) != size_) {
    fail(ErrorKind::invalid_argument, "cannot reshape {} elements of {} to {}", size_, to_string(shape_), to_string(shape));
  }
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::clone() const {
  if (dtype_ == DType::string) return of_strings(shape_, storage_->strings);
  Tensor t(dtype_, shape_);
  if (bytes_ != 0) std::memcpy(t.data_, data_, bytes_);
  return t;
}

bool Tensor::identical(const Tensor& other) const {
  if (dtype_ != other.dtype_ || shape_ != other.shape_) return false;
  if (dtype_ == DType::string) return strings() == other.strings();
  return bytes_ == 0 || std::memcmp(data_, other.data_, bytes_) == 0;
}

std::int32_t packed_element(const std::byte* data, DType dtype, std::int64_t index) noexcept {
  const auto width = static_cast<std::uint64_t>(bits(dtype));
  const std::uint64_t bit = static_cast<std::uint64_t>(index) * width;
  const std::uint64_t byte = bit / 8;
  const auto shift = static_cast<unsigned>(bit % 8);
  auto window = static_cast<std::uint32_t>(data[byte]);
  if (shift + width > 8) window |= static_cast<std::uint32_t>(data[byte + 1]) << 8;
  const auto value = static_cast<std::int32_t>((window >> shift) & ((1U << width) - 1U));
  return dtype == DType::i4 && value >= 8 ? value - 16 : value;
}

void set_packed_element(std::byte* data, DType dtype, std::int64_t index, std::int32_t value) noexcept {
  const auto width = static_cast<std::uint64_t>(bits(dtype));
  for (std::uint64_t i = 0; i < width; ++i) {
    const std::uint64_t bit = static_cast<std::uint64_t>(index) * width + i;
    const auto mask = static_cast<std::byte>(1U << (bit % 8));
    if (((static_cast<std::uint32_t>(value) >> i) & 1U) != 0) {
      data[bit / 8] |= mask;
    } else {
      data[bit / 8] &= ~mask;
    }
  }
}

void convert_elements(DType from, const std::byte* in, DType to, std::byte* out, std::size_t count) noexcept {
  visit_dtype(to, [&](auto to_tag) {
    using To = decltype(to_tag);
    auto* __restrict target = reinterpret_cast<To*>(out);
    visit_dtype(from, [&](auto from_tag) {
      const auto* __restrict source = reinterpret_cast<const decltype(from_tag)*>(in);
      for (std::size_t i = 0; i < count; ++i) target[i] = convert_element<To>(source[i]);
    });
  });
}

double Tensor::number_at(std::int64_t index) const {
  if (index < 0 || index >= size_)
    fail(ErrorKind::invalid_argument, "element {} of a tensor of shape {}", index, to_string(shape_));
  if (is_sub_byte(dtype_)) return packed_element(data_, dtype_, index);
  return visit_dtype(dtype_, [&](auto tag) { return static_cast<double>(load_element(values<decltype(tag)>()[uz(index)])); });
}

std::int64_t Tensor::integer_at(std::int64_t index) const {
  if (index < 0 || index >= size_)
    fail(ErrorKind::invalid_argument, "element {} of a tensor of shape {}", index, to_string(shape_));
  if (is_sub_byte(dtype_)) return packed_element(data_, dtype_, index);
  return visit_dtype(dtype_, [&](auto tag) { return convert_element<std::int64_t>(values<decltype(tag)>()[uz(index)]); });
}

Tensor Tensor::cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  if (dtype == DType::string || dtype_ == DType::string)
    fail(ErrorKind::unsupported, "no cast from {} to {}", name(dtype_), name(dtype));
  Tensor result(dtype, shape_);
  if (dtype_ == DType::f16 && dtype == DType::f32) {
    f16_to_f32(values<f16>().data(), result.mutable_values<float>().data(), uz(size_));
    return result;
  }
  if (dtype_ == DType::f32 && dtype == DType::f16) {
    f32_to_f16(values<float>().data(), result.mutable_values<f16>().data(), uz(size_));
    return result;
  }
  if (is_sub_byte(dtype)) {
    std::memset(result.data_, 0, result.bytes_);
    for (std::int64_t i = 0; i < size_; ++i) {
      const std::int64_t low = dtype == DType::i4 ? -8 : 0;
      const std::int64_t high = dtype == DType::i4 ? 7 : (1 << bits(dtype)) - 1;
      const std::int64_t value = integer_at(i);
      set_packed_element(result.data_, dtype, i, static_cast<std::int32_t>(value < low ? low : value > high ? high : value));
    }
    return result;
  }
  if (!is_sub_byte(dtype_)) {
    convert_elements(dtype_, data_, dtype, result.data_, uz(size_));
    return result;
  }
  visit_dtype(dtype, [&](auto to) {
    using To = decltype(to);
    auto out = result.mutable_values<To>();
    for (std::int64_t i = 0; i < size_; ++i) out[uz(i)] = convert_element<To>(packed_element(data_, dtype_, i));
  });
  return result;
}

}  // namespace tl
