#include "insight/scopes.hpp"

#include <algorithm>
#include <map>
#include <string_view>

namespace tl::insight {
namespace {

constexpr std::size_t max_depth = 24;
constexpr std::size_t fewest = 3;  // members that make a group worth while

struct Part {
  std::string text;  // with its separator: "/layer", "_0"
  std::size_t members = 0;
  std::size_t first = 0, last = 0;  // of the members
  std::map<std::string, std::size_t, std::less<>> below;
};

std::vector<std::string> parts_of(std::string_view name) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t i = 1; i <= name.size() && parts.size() < max_depth; ++i) {
    if (i < name.size() && name[i] != '/' && name[i] != '.' && name[i] != '_') continue;
    parts.emplace_back(name.substr(start, i - start));
    start = i;
  }
  return parts;
}

std::string bare(const std::string& text) {
  const std::size_t begin = text.find_first_not_of("/._");
  return begin == std::string::npos ? text : text.substr(begin);
}

using Path = std::vector<std::size_t>;

class Tree {
 public:
  Tree() : parts_(1) {}

  // The way to the group of a name: all but its last part.
  Path add(std::string_view name) {
    Path path;
    std::vector<std::string> parts = parts_of(name);
    if (!parts.empty()) parts.pop_back();
    std::size_t at = 0;
    for (std::string& part : parts) {
      const auto [found, fresh] = parts_[at].below.emplace(part, parts_.size());
      const std::size_t next = found->second;
      if (fresh) {
        parts_.emplace_back();
        parts_.back().text = std::move(part);
      }
      path.push_back(at = next);
    }
    return path;
  }
  void count(const Path& path, std::size_t index) {
    ++parts_[0].members;
    for (const std::size_t at : path) {
      Part& part = parts_[at];
      if (part.members++ == 0) part.first = index;
      part.last = index;
    }
  }
  // Parts that hold all that the part above holds go into one title. Groups go that are too small, hold nearly everything, or
  // whose members are scattered.
  std::vector<std::string> titles(const Path& path) const {
    std::vector<std::string> result;
    std::string pending, word;
    for (std::size_t i = 0; i < path.size(); ++i) {
      const Part& part = parts_[path[i]];
      if (part.members < fewest) break;
      pending += part.text;
      const bool number = part.text.find_first_not_of("/._0123456789") == std::string::npos;
      const bool splits = i + 1 == path.size() || parts_[path[i + 1]].members < part.members;
      if (!splits) {
        if (!number) word = bare(part.text);
        continue;
      }
      const bool scattered = part.members * 2 < part.last - part.first + 1;
      if (!scattered && part.members < parts_[0].members - parts_[0].members / 10) {
        std::string title = bare(pending);
        const bool digits = !title.empty() && title.find_first_not_of("0123456789") == std::string::npos;
        result.push_back(digits && !word.empty() ? word + " " + title : title);
      }
      pending.clear();
      if (!number) word = bare(part.text);
    }
    return result;
  }

 private:
  std::vector<Part> parts_;
};

}  // namespace

std::vector<std::vector<std::string>> scopes_of(const std::vector<std::string>& names) {
  Tree tree;
  std::vector<Path> paths(names.size());
  std::vector<bool> known(names.size(), false);
  for (std::size_t i = 0; i < names.size(); ++i) {
    known[i] = !names[i].empty();
    if (known[i]) paths[i] = tree.add(names[i]);
  }
  // What has no name stands in what the known ones before and after it have in common.
  std::vector<std::size_t> after(names.size() + 1, names.size());
  for (std::size_t i = names.size(); i-- > 0;) after[i] = known[i] ? i : after[i + 1];
  std::size_t before = names.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (known[i]) {
      before = i;
    } else if (before < names.size() && after[i] < names.size()) {
      const Path& a = paths[before];
      const Path& b = paths[after[i]];
      const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
      paths[i] = Path(a.begin(), end);
    }
  }
  for (std::size_t i = 0; i < paths.size(); ++i) tree.count(paths[i], i);
  std::vector<std::vector<std::string>> result;
  result.reserve(names.size());
  for (const Path& path : paths) result.push_back(tree.titles(path));
  return result;
}

}  // namespace tl::insight
