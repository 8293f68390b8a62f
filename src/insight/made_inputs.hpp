#pragma once

#include <cstdint>

#include "tensorlogic/model.hpp"

namespace tl::insight {

// Made-up values of the declared (default) shapes for the inputs that `given` lacks, the same for the same seed: noise for
// arrays (0 to 1; integers are 0) and images. Throws Error{invalid_argument} for an input that cannot be made up.
void fill_inputs(NamedValues& given, const Interface& interface, std::uint64_t seed = 1);

}  // namespace tl::insight
