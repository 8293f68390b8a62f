#include "apple/target.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.hpp"

namespace tl::apple {
namespace {

using enum Platform;

constexpr Chip rows[] = {
#define TL_CHIP(name, generation, platform, tops, source) {name, generation, platform, tops, source},
#include "apple/chips.inc"
#undef TL_CHIP
};

// Lower case without blanks.
std::string plain(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c != ' ') result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

bool drop_suffix(std::string& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.resize(text.size() - suffix.size());
  return true;
}

constexpr int max_version = 99;

// "17.4" -> 17, 4.
bool read_version(std::string_view text, System& system) {
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, system.major);
  if (error != std::errc() || system.major < 1 || system.major > max_version) return false;
  if (at == end) return true;
  if (*at != '.') return false;
  const auto minor = std::from_chars(at + 1, end, system.minor);
  return minor.ec == std::errc() && minor.ptr == end && system.minor >= 0 && system.minor <= max_version;
}

}  // namespace

std::string_view to_string(Unit unit) noexcept { return unit == cpu ? "CPU" : unit == gpu ? "GPU" : "ANE"; }

std::span<const Chip> chips() noexcept { return rows; }

const Chip& chip_named(std::string_view name) {
  std::string wanted = plain(name);
  for (const char* suffix : {"pro", "max", "ultra"}) {
    if (drop_suffix(wanted, suffix)) break;
  }
  for (const Chip& chip : rows) {
    if (plain(chip.name) == wanted) return chip;
  }
  std::string names;
  for (const Chip& chip : rows) names += (names.empty() ? "" : ", ") + std::string(chip.name);
  fail(ErrorKind::invalid_argument, "no chip '{}'; there are: {}", name, names);
}

int System::specification() const noexcept {
  // iOS and macOS that came together; from 26 on they share a number.
  constexpr std::array<std::array<int, 3>, 6> versions = {
      {{14, 11, 5}, {15, 12, 6}, {16, 13, 7}, {17, 14, 8}, {18, 15, 9}, {26, 26, 10}}};
  int result = 4;
  for (const auto& [ios_major, macos_major, specification] : versions) {
    if (major >= (platform == Platform::ios ? ios_major : macos_major)) result = specification;
  }
  return result;
}

System system_named(std::string_view name, const Chip& chip) {
  System system;
  system.platform = chip.platform;
  if (name.empty()) {
    system.major = chip.platform == ios ? 18 : 15;
    return system;
  }
  std::string text = plain(name);
  bool named = true;
  if (text.starts_with("macos")) {
    system.platform = macos;
    text.erase(0, 5);
  } else if (text.starts_with("ios") || text.starts_with("ipados")) {
    system.platform = ios;
    text.erase(0, text.find("os") + 2);
  } else {
    named = false;
  }
  if (!named || !read_version(text, system))
    fail(ErrorKind::invalid_argument, "no system '{}'; expected 'macOS 15' or 'iOS 18', with or without a minor version", name);
  return system;
}

std::string to_string(const System& system) {
  const char* platform = system.platform == ios ? "iOS" : "macOS";
  return system.minor == 0 ? fmt::format("{} {}", platform, system.major)
                           : fmt::format("{} {}.{}", platform, system.major, system.minor);
}

}  // namespace tl::apple
