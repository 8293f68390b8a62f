#pragma once

#include <string>

#include "format/format.hpp"
#include "format/spec_bytes.hpp"

namespace tl::format {

// A path that a file names, kept inside `folder`; throws Error{bad_file} when it leaves it.
std::string path_inside(const std::string& folder, const std::string& relative);

// Serves the blobs of a program whose "@model_path/" is `folder`; each weight file is opened once.
BlobReader folder_blobs(const std::string& folder, bool copy);

}  // namespace tl::format
