#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tl {

// Columns padded with spaces; those named in `right` (by index) are aligned to the right. The first row is the heading.
// Control characters show as '?'.
std::string text_table(const std::vector<std::vector<std::string>>& rows, const std::vector<std::size_t>& right = {});

std::string bytes_text(std::uint64_t bytes);  // "8.8 MB"
std::string per_cent(double share);           // 0.123: "12.3 %"
std::string joined(const std::vector<std::string>& parts, std::string_view between);

}  // namespace tl
