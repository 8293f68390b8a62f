#include "tensorlogic/dtype.hpp"

#include <array>

namespace tl {
namespace {

constexpr std::array table = {
#define TL_DTYPE(id, name, bits, kind, proto, blob) DTypeInfo{DType::id, name, bits, DTypeKind::kind, proto, blob},
#include "tensorlogic/dtypes.inc"
#undef TL_DTYPE
};

template <class Match>
std::optional<DType> find(Match match) noexcept {
  for (const DTypeInfo& row : table) {
    if (match(row)) return row.dtype;
  }
  return std::nullopt;
}

}  // namespace

const DTypeInfo& info(DType dtype) noexcept { return table[static_cast<std::size_t>(dtype)]; }

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
  return find([&](const DTypeInfo& row) { return row.name == name; });
}
std::optional<DType> dtype_from_proto(int value) noexcept {
  return find([&](const DTypeInfo& row) { return row.proto == value; });
}
std::optional<DType> dtype_from_blob(int value) noexcept {
  return find([&](const DTypeInfo& row) { return row.blob == value && value != 0; });
}

}  // namespace tl
