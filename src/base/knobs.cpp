#include "base/knobs.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace tl {
namespace {

constexpr std::array knobs = {
#define TL_KNOB(name, variable, fallback, doc) KnobInfo{Knob::name, #name, variable, fallback, doc},
#include "base/knobs.inc"
#undef TL_KNOB
};

std::int64_t read(const KnobInfo& knob) noexcept {
  const char* text = std::getenv(knob.variable);
  if (text == nullptr) return knob.fallback;
  std::int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, code] = std::from_chars(text, end, value);
  return code == std::errc() && stop == end ? value : knob.fallback;
}

}  // namespace

std::span<const KnobInfo> all_knobs() noexcept { return knobs; }

std::int64_t knob_value(Knob knob) noexcept {
  static const std::array<std::int64_t, knobs.size()> values = [] {
    std::array<std::int64_t, knobs.size()> result{};
    for (std::size_t i = 0; i < knobs.size(); ++i) result[i] = read(knobs[i]);
    return result;
  }();
  return values[static_cast<std::size_t>(knob)];
}

bool keeps_float_weights(std::int64_t rows, std::int64_t weights, bool linear_layer) noexcept {
  constexpr std::int64_t sequence = 64;
  constexpr std::int64_t few = std::int64_t{1} << 16;  // weights, whose floats stay in the second-level cache
  const bool wide = linear_layer || weights <= few;
  return rows >= sequence && knob_value(Knob::memory) == 0 && knob_value(Knob::wide_weights) >= (wide ? 1 : 2);
}

}  // namespace tl
