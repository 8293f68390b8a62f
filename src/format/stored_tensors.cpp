#include "format/stored_tensors.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/checked.hpp"

namespace tl::format {

std::string majority_storage(const std::vector<StoredTensor>& tensors) {
  std::map<std::string, std::uint64_t> bytes;
  for (const StoredTensor& tensor : tensors) bytes[tensor.storage] += tensor.bytes;
  const auto largest =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return largest == bytes.end() ? std::string() : largest->first;
}

void sort_by_name(std::vector<StoredTensor>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
}

Tensor plain_tensor(DType dtype, const Shape& shape, const std::byte* data, const std::shared_ptr<const void>& owner) {
  const std::int64_t count = element_count(shape);
  if (dtype == DType::boolean) {
    const bool plain = std::all_of(data, data + count, [](std::byte b) { return b <= std::byte{1}; });
    if (!plain) {
      Tensor tensor(dtype, shape);
      std::transform(data, data + count, tensor.mutable_data(), [](std::byte b) { return std::byte{b != std::byte{0}}; });
      return tensor;
    }
  }
  const auto alignment = static_cast<std::uintptr_t>(std::max(1, bits(dtype) / 8));
  if (reinterpret_cast<std::uintptr_t>(data) % alignment == 0) return Tensor::view(dtype, shape, data, owner);
  Tensor tensor(dtype, shape);
  if (tensor.bytes() != 0) std::memcpy(tensor.mutable_data(), data, tensor.bytes());
  return tensor;
}

}  // namespace tl::format
