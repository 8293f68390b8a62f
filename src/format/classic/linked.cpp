#include "format/classic/linked.hpp"

#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"

namespace tl::format {

namespace fs = std::filesystem;

std::string find_linked(const spec::LinkedModelFile& link, const std::string& folder) {
  const std::string& file = link.linkedmodelfilename().defaultvalue();
  if (file.empty()) fail(ErrorKind::bad_model, "the linked file has no name");
  std::vector<std::string> names{file};
  if (const fs::path given(file); given.extension() == ".mlmodelc") {
    for (const char* extension : {".mlpackage", ".mlmodel"})
      names.push_back(fs::path(given).replace_extension(extension).string());
  }
  const std::string& places = link.linkedmodelsearchpath().defaultvalue();
  std::string tried;
  for (std::size_t begin = 0; begin <= places.size();) {
    const std::size_t end = std::min(places.find(':', begin), places.size());
    const std::string place = places.substr(begin, end - begin);
    begin = end + 1;
    tried += (tried.empty() ? "'" : ", '") + (place.empty() ? "." : place) + "'";
    // $BUNDLE_MAIN and the like are folders of an app.
    if (place.rfind('$', 0) == 0) continue;
    for (const std::string& name : names) {
      const std::string path = (fs::path(folder.empty() ? "." : folder) / place / name).lexically_normal().string();
      if (exists(path)) return path;
    }
  }
  fail(ErrorKind::not_found, "the linked model '{}' is in none of the places that the file names: {}", file, tried);
}

}  // namespace tl::format
