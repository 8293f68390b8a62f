#include "insight/roofline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/file.hpp"

namespace tl::insight {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t largest_cache = 1 << 16;

std::string cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && cache[0] == '/')
    return std::string(cache) + "/tensorlogic";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::string(home) + "/.cache/tensorlogic";
  return {};
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name") || line.starts_with("CPU part")) return line.substr(line.find(':') + 1);
  }
  return "unknown";
}

// A peak that a file names for this very machine; flops 0 when it doesn't.
cpu::Peak read_peak(const std::string& path, const Json& key) {
  cpu::Peak peak;
  try {
    if (!exists(path)) return peak;
    const Json json = Json::parse(read_text(path, largest_cache), nullptr, false);
    if (!json.is_object() || json.value("key", Json()) != key || !json.contains("flops") || !json["flops"].is_number())
      return peak;
    cpu::Peak read;
    for (const Json& entry : json.value("bandwidth", Json::array())) {
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number() || !entry[1].is_number()) return peak;
      read.bandwidth.emplace_back(entry[0].get<double>(), entry[1].get<double>());
      if (!(read.bandwidth.back().second > 0)) return peak;
    }
    read.flops = json["flops"].get<double>();
    if (read.flops > 0 && std::isfinite(read.flops) && !read.bandwidth.empty()) return read;
  } catch (const Error&) {
  }
  return peak;
}

// Where the cache of this machine stands (empty: nowhere), and what identifies it.
struct Place {
  Place(ThreadPool& pool, const std::string& given) : folder(given.empty() ? cache_folder() : given) {
    key = {{"processor", processor()}, {"threads", pool.threads()}, {"instructions", cpu::instruction_set()}};
    if (!folder.empty()) path = fmt::format("{}/roofline_{}_{}.json", folder, cpu::instruction_set(), pool.threads());
  }
  std::string folder, path;
  Json key;
};

void keep(const cpu::Peak& peak, const Place& place) {
  if (place.path.empty()) return;
  Json json = {{"key", place.key}, {"flops", peak.flops}, {"bandwidth", Json::array()}};
  for (const auto& [size, rate] : peak.bandwidth) json["bandwidth"].push_back({size, rate});
  std::error_code error;
  std::filesystem::create_directories(place.folder, error);
  try {
    if (!error) write_file(place.path, json.dump(2) + "\n");
  } catch (const Error&) {
  }
}

}  // namespace

cpu::Peak roofline(ThreadPool& pool, const std::string& folder, bool anew) {
  const Place place(pool, folder);
  if (!anew && !place.path.empty()) {
    if (cpu::Peak cached = read_peak(place.path, place.key); cached.flops > 0) return cached;
  }
  cpu::Peak peak = cpu::measure_peak(pool);
  keep(peak, place);
  return peak;
}

cpu::Peak better_roofline(ThreadPool& pool, const std::string& folder, cpu::Peak peak) {
  const cpu::Peak again = cpu::measure_peak(pool);
  peak.flops = std::max(peak.flops, again.flops);
  for (std::size_t i = 0; i < peak.bandwidth.size() && i < again.bandwidth.size(); ++i)
    peak.bandwidth[i].second = std::max(peak.bandwidth[i].second, again.bandwidth[i].second);
  keep(peak, Place(pool, folder));
  return peak;
}

}  // namespace tl::insight
