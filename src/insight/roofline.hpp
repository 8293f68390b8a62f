#pragma once

#include <string>

#include "cpu/peak.hpp"

namespace tl::insight {

// The machine's peak for this many threads: measured once and kept in `folder` (empty: the user's cache folder), or `anew`.
// A cache that cannot be written or read is no error.
cpu::Peak roofline(ThreadPool& pool, const std::string& folder, bool anew);
// When a kernel was faster than the peak, something disturbed its measurement: measures again and keeps the better.
cpu::Peak better_roofline(ThreadPool& pool, const std::string& folder, cpu::Peak peak);

}  // namespace tl::insight
