#include "cpu/level_finish.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/levels_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/levels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

void quantize(const void* x, Storage storage, const Requantized& levels, std::uint8_t* out, std::size_t count) {
  const auto* half = static_cast<const Half*>(x);
  const auto* single = static_cast<const float*>(x);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    store_levels(storage == Storage::f16 ? load_up_to(half + i, n) : load_up_to(single + i, n), levels, Storage::f32, out + i,
                 n);
  });
}

void dequantize(const std::uint8_t* x, const Requantized& levels, void* out, Storage storage, std::size_t count) {
  auto* half = static_cast<Half*>(out);
  auto* single = static_cast<float*>(out);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    const V level = load_levels(x + i, levels.is_signed, n);
    const V y = hn::Mul(constant(levels.scale), hn::Sub(level, constant(levels.zero)));
    if (storage == Storage::f16) {
      store_up_to(y, half + i, n);
    } else {
      store_up_to(y, single + i, n);
    }
  });
}

void relevel(const LevelFinish& f, std::uint8_t* table) {
  std::uint8_t bytes[256];
  for (std::size_t i = 0; i < 256; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  for_lanes(256, [&](std::size_t i, std::size_t n) HWY_ATTR {
    const V level = load_levels(bytes + i, f.middle.is_signed, n);
    const V y = as_stored(hn::Mul(constant(f.middle.scale), hn::Sub(level, constant(f.middle.zero))), f.storage);
    store_levels(activate(f.activation, y), f.levels, f.storage, table + i, n);
  });
}

}  // namespace

const LevelKernels& level_table() {
  static constexpr LevelKernels table = {&quantize, &dequantize, &relevel};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(level_table);
const LevelKernels& level_kernels() { return HWY_DYNAMIC_DISPATCH(level_table)(); }
}  // namespace tl::cpu
#endif
