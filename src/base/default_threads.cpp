#include <sched.h>

#include <algorithm>
#include <thread>

#include "base/knobs.hpp"
#include "base/thread_pool.hpp"

namespace tl {

int default_threads() {
  const std::int64_t asked = knob_value(Knob::threads);
  if (asked > 0) return static_cast<int>(std::min<std::int64_t>(asked, 1024));
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

}  // namespace tl
