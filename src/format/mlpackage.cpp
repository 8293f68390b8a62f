#include "base/error.hpp"
#include "format/format.hpp"

namespace tl::format {

ir::Model read_mlpackage(const std::string&, const ReadOptions&) { fail(ErrorKind::unsupported, "not yet"); }
void write_mlpackage(const ir::Model&, const std::string&) { fail(ErrorKind::unsupported, "not yet"); }

}  // namespace tl::format
