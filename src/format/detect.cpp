#include "base/error.hpp"
#include "format/format.hpp"

namespace tl::format {

ir::Model read_model(const std::string&, const ReadOptions&) { fail(ErrorKind::unsupported, "not yet"); }

}  // namespace tl::format
