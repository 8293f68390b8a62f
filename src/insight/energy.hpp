#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tl::insight {

// The energy counters of the processor packages (RAPL, /sys/class/powercap).
class EnergyMeter {
 public:
  explicit EnergyMeter(const std::string& folder = "/sys/class/powercap");
  void start();
  // Joules since `start`; nothing where the machine has no counter that may be read.
  std::optional<double> joules() const;
  const std::string& note() const noexcept { return note_; }  // why there is none

 private:
  struct Counter {
    std::string path;
    double range = 0;  // where it starts again from 0, in microjoules
    double at_start = 0;
  };
  std::vector<Counter> counters_;
  std::string note_;
};

}  // namespace tl::insight
