#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tl {

enum class DType : std::uint8_t {
#define TL_DTYPE(id, name, bits, kind, proto, blob) id,
#include "tensorlogic/dtypes.inc"
#undef TL_DTYPE
};

enum class DTypeKind : std::uint8_t { floating, signed_integer, unsigned_integer, boolean, string };

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as MIL spells it: "fp16", "int32", "bool"
  int bits;               // per element in packed storage; 0 for strings
  DTypeKind kind;
  int proto;  // DataType of the MIL message
  int blob;   // data type of a weight blob, 0: none
};

const DTypeInfo& info(DType dtype) noexcept;
inline std::string_view name(DType dtype) noexcept { return info(dtype).name; }
inline int bits(DType dtype) noexcept { return info(dtype).bits; }
std::optional<DType> dtype_from_name(std::string_view name) noexcept;
std::optional<DType> dtype_from_proto(int value) noexcept;
std::optional<DType> dtype_from_blob(int value) noexcept;

inline bool is_floating(DType t) noexcept { return info(t).kind == DTypeKind::floating; }
inline bool is_integer(DType t) noexcept {
  return info(t).kind == DTypeKind::signed_integer || info(t).kind == DTypeKind::unsigned_integer;
}
inline bool is_sub_byte(DType t) noexcept { return bits(t) > 0 && bits(t) < 8; }

// Storage types of elements that C++ lacks: the bits only; conversions are in base/f16.hpp.
struct f16 {
  std::uint16_t bits;
};
struct bf16 {
  std::uint16_t bits;
};
struct f8e4m3 {
  std::uint8_t bits;
};
struct f8e5m2 {
  std::uint8_t bits;
};

// DType of a storage type; boolean elements are `bool`, one byte each.
template <class T>
struct dtype_of;
#define TL_DTYPE_OF(type, id)                 \
  template <>                                 \
  struct dtype_of<type> {                     \
    static constexpr DType value = DType::id; \
  };
TL_DTYPE_OF(f16, f16)
TL_DTYPE_OF(bf16, bf16)
TL_DTYPE_OF(f8e4m3, f8e4m3)
TL_DTYPE_OF(f8e5m2, f8e5m2)
TL_DTYPE_OF(float, f32)
TL_DTYPE_OF(double, f64)
TL_DTYPE_OF(std::int8_t, i8)
TL_DTYPE_OF(std::int16_t, i16)
TL_DTYPE_OF(std::int32_t, i32)
TL_DTYPE_OF(std::int64_t, i64)
TL_DTYPE_OF(std::uint8_t, u8)
TL_DTYPE_OF(std::uint16_t, u16)
TL_DTYPE_OF(std::uint32_t, u32)
TL_DTYPE_OF(std::uint64_t, u64)
TL_DTYPE_OF(bool, boolean)
#undef TL_DTYPE_OF

}  // namespace tl
