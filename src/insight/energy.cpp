#include "insight/energy.hpp"

#include <filesystem>
#include <fstream>

namespace tl::insight {
namespace {

std::optional<double> number_in(const std::string& path) {
  std::ifstream file(path);
  double value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

}  // namespace

EnergyMeter::EnergyMeter(const std::string& folder) {
  std::error_code error;
  bool seen = false;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::string name;
    std::ifstream(entry->path() / "name") >> name;
    if (!name.starts_with("package")) continue;
    seen = true;
    const std::string path = (entry->path() / "energy_uj").string();
    if (!number_in(path)) continue;
    counters_.push_back({path, number_in((entry->path() / "max_energy_range_uj").string()).value_or(0), 0});
  }
  if (!counters_.empty()) return;
  note_ = seen ? folder + ": the energy counters may be read by root only" : folder + ": this machine offers no energy counter";
}

void EnergyMeter::start() {
  for (Counter& counter : counters_) counter.at_start = number_in(counter.path).value_or(0);
}

std::optional<double> EnergyMeter::joules() const {
  if (counters_.empty()) return std::nullopt;
  double total = 0;
  for (const Counter& counter : counters_) {
    const auto now = number_in(counter.path);
    if (!now) return std::nullopt;
    double spent = *now - counter.at_start;
    if (spent < 0) spent += counter.range;
    total += spent * 1e-6;
  }
  return total;
}

}  // namespace tl::insight
