#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tl {

enum class Knob {
#define TL_KNOB(name, variable, fallback, doc) name,
#include "base/knobs.inc"
#undef TL_KNOB
};

struct KnobInfo {
  Knob knob;
  std::string_view name;
  const char* variable;
  std::int64_t fallback;
  std::string_view doc;
};

std::span<const KnobInfo> all_knobs() noexcept;
// The variable's value when it is a whole number, else the default.
std::int64_t knob_value(Knob knob) noexcept;
// Whether the fp16 weights of a product of so many rows are kept as floats: the knobs `memory` and `wide_weights`.
bool keeps_float_weights(std::int64_t rows, std::int64_t weights, bool linear_layer) noexcept;

}  // namespace tl
