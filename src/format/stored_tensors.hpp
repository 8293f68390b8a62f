#pragma once

#include <string>
#include <vector>

#include "tensorlogic/feature.hpp"

namespace tl::format {

// The storage name that covers most bytes; empty for no tensors.
std::string majority_storage(const std::vector<StoredTensor>& tensors);
void sort_by_name(std::vector<StoredTensor>& tensors);

// Plain elements that lie in `bytes`, kept alive by `owner`: a view where alignment and contents allow, else a copy.
// Booleans other than 0 and 1 become 1.
Tensor plain_tensor(DType dtype, const Shape& shape, const std::byte* data, const std::shared_ptr<const void>& owner);

}  // namespace tl::format
