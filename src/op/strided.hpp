#pragma once

#include <cstring>

#include "ir/op_def.hpp"

namespace tl::op {

// Row-major strides in elements.
inline std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// The `count` elements that end with the one at `last`, in reverse: words of 64 bits where they hold several.
template <class Element>
void copy_reversed(const std::byte* last, std::byte* to, std::int64_t count) {
  constexpr std::int64_t width = sizeof(Element), per_word = 8 / width;
  std::int64_t i = 0;
  for (; per_word > 1 && i + per_word <= count; i += per_word) {
    std::uint64_t word;
    std::memcpy(&word, last - (i + per_word - 1) * width, 8);
    word = word >> 32 | word << 32;
    if (width <= 2) word = (word & 0xffff0000ffff0000U) >> 16 | (word & 0x0000ffff0000ffffU) << 16;
    if (width == 1) word = (word & 0xff00ff00ff00ff00U) >> 8 | (word & 0x00ff00ff00ff00ffU) << 8;
    std::memcpy(to + i * width, &word, 8);
  }
  for (; i < count; ++i) std::memcpy(to + i * width, last - i * width, sizeof(Element));
}

template <class Element>
void copy_line(const std::byte* from, std::int64_t from_stride, std::byte* to, std::int64_t to_stride, std::int64_t count) {
  constexpr std::int64_t width = sizeof(Element);
  if (from_stride == -1 && to_stride == 1) return copy_reversed<Element>(from, to, count);
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * to_stride * width, from + i * from_stride * width, sizeof(Element));
}

// Copies a box of `shape` elements of `element` bytes between two strided layouts (strides in elements, may be negative or 0).
inline void copy_strided(const std::byte* from, const std::vector<std::int64_t>& from_strides, std::byte* to,
                         const std::vector<std::int64_t>& to_strides, const Shape& shape, std::size_t element) {
  const std::int64_t count = element_count(shape);
  if (count == 0) return;
  // Trailing axes that are contiguous on both sides move in one piece.
  std::size_t rank = shape.size();
  std::int64_t run = 1;
  while (rank > 0 && (shape[rank - 1] == 1 || (from_strides[rank - 1] == run && to_strides[rank - 1] == run)))
    run *= shape[--rank];
  const std::size_t bytes = uz(run) * element;
  // Single elements move by lines of the last axis that is left.
  std::int64_t line = 1;
  const auto copy_lines = [&]() -> decltype(&copy_line<std::uint8_t>) {
    if (run != 1 || rank == 0) return nullptr;
    switch (element) {
      case 1: return copy_line<std::uint8_t>;
      case 2: return copy_line<std::uint16_t>;
      case 4: return copy_line<std::uint32_t>;
      case 8: return copy_line<std::uint64_t>;
      default: return nullptr;
    }
  }();
  if (copy_lines != nullptr) line = shape[--rank];
  std::vector<std::int64_t> position(rank, 0);
  std::int64_t source = 0;
  std::int64_t target = 0;
  const auto width = static_cast<std::int64_t>(element);
  for (std::int64_t done = 0; done < count; done += run * line) {
    if (copy_lines != nullptr)
      copy_lines(from + source * width, from_strides[rank], to + target * width, to_strides[rank], line);
    else
      std::memcpy(to + target * width, from + source * width, bytes);
    for (std::size_t axis = rank; axis-- > 0;) {
      source += from_strides[axis];
      target += to_strides[axis];
      if (++position[axis] < shape[axis]) break;
      source -= from_strides[axis] * shape[axis];
      target -= to_strides[axis] * shape[axis];
      position[axis] = 0;
    }
  }
}

// Bytes of an element of a whole-byte dtype; refuses text and sub-byte types by name.
inline std::size_t element_bytes(const ir::OpView& view, std::string_view param, DType dtype) {
  if (bits(dtype) < 8) view.reject(param, "elements of {} cannot be moved", name(dtype));
  return uz(bits(dtype) / 8);
}

}  // namespace tl::op
