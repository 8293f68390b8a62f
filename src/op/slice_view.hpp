#pragma once

#include "ir/op_def.hpp"

namespace tl::op {

// Where the result of a `slice_by_index` starts in its x, in elements, when it is one run of x and all is known.
std::optional<std::int64_t> slice_view(const ir::Op& op);

}  // namespace tl::op
