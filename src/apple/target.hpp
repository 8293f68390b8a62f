#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tl::apple {

// Where an op may run. A set of units is the sum of their bits.
enum Unit : std::uint8_t { cpu = 1, gpu = 2, ane = 4 };
using Units = std::uint8_t;
constexpr Units all_units = cpu | gpu | ane;
std::string_view to_string(Unit unit) noexcept;  // "CPU", "GPU", "ANE"

enum class Platform { ios, macos };

struct Chip {
  std::string_view name;
  int generation;
  Platform platform;
  double tops;  // 0: unpublished
  std::string_view source;
};
std::span<const Chip> chips() noexcept;
// By name, in any case and with "Pro", "Max", "Ultra" after it. Throws Error{invalid_argument} that lists the names.
const Chip& chip_named(std::string_view name);

struct System {
  Platform platform = Platform::macos;
  int major = 15;
  int minor = 0;
  // The newest specification version that it loads.
  int specification() const noexcept;
};
// "macOS 15", "ios17.4", "iOS 18"; empty: the newest whose placement was measured, for the chip's platform.
// Throws Error{invalid_argument}.
System system_named(std::string_view name, const Chip& chip);
std::string to_string(const System& system);  // "macOS 15", "iOS 17.4"

}  // namespace tl::apple
