#include "base/error.hpp"

namespace tl {

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::invalid_argument: return "invalid argument";
    case ErrorKind::not_found: return "not found";
    case ErrorKind::io: return "input/output";
    case ErrorKind::bad_file: return "bad file";
    case ErrorKind::bad_model: return "bad model";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::limit: return "limit";
    case ErrorKind::script: return "script";
    case ErrorKind::internal: return "internal";
  }
  return "unknown";
}

Error::Error(ErrorKind kind, std::string message, std::string where)
    : kind_(kind), message_(std::move(message)), where_(std::move(where)) {
  what_ = where_.empty() ? message_ : where_ + ": " + message_;
}

Error Error::within(std::string_view outer) const {
  if (outer.empty()) return *this;
  std::string path(outer);
  if (!where_.empty()) path += ": " + where_;
  return {kind_, message_, std::move(path)};
}

}  // namespace tl
