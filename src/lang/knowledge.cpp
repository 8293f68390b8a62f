#include "lang/knowledge.hpp"

#include <algorithm>

namespace tl::lang {

bool Knowledge::is_entity(const std::string& name) const {
  return std::any_of(entities.begin(), entities.end(), [&](const auto& type) {
    return std::find(type.second.begin(), type.second.end(), name) != type.second.end();
  });
}

std::size_t Knowledge::order(const std::string& constant) const {
  return static_cast<std::size_t>(std::find(appearance.begin(), appearance.end(), constant) - appearance.begin());
}

void Knowledge::note(const std::string& constant) {
  if (std::find(appearance.begin(), appearance.end(), constant) == appearance.end()) appearance.push_back(constant);
}

}  // namespace tl::lang
