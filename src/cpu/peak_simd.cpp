#include "cpu/peak_simd.hpp"

#include "cpu/peak.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/peak_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t chains = 12;  // sums that do not wait for each other

float multiply_add(std::size_t times) {
  V sums[chains];
  TL_UNROLL
  for (std::size_t i = 0; i < chains; ++i) sums[i] = hn::Set(f32, static_cast<float>(i));
  const V a = hn::Set(f32, 0.999F), b = hn::Set(f32, 0.001F);
  for (std::size_t t = 0; t < times; ++t) {
    TL_UNROLL
    for (std::size_t i = 0; i < chains; ++i) sums[i] = hn::MulAdd(sums[i], a, b);
  }
  V total = sums[0];
  TL_UNROLL
  for (std::size_t i = 1; i < chains; ++i) total = hn::Add(total, sums[i]);
  return hn::GetLane(hn::SumOfLanes(f32, total));
}

void scale(const float* x, float* y, std::size_t count) {
  const V factor = hn::Set(f32, 1.5F);
  for (std::size_t i = 0; i < count; i += 4 * lanes) {
    for (std::size_t k = 0; k < 4; ++k) store(hn::Mul(load(x + i + k * lanes), factor), y + i + k * lanes);
  }
}

PeakLoops loops() { return {&multiply_add, &scale, 2.0 * chains * static_cast<double>(lanes), TL_TARGET_NAME}; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(loops);
PeakLoops peak_loops() { return HWY_DYNAMIC_DISPATCH(loops)(); }
std::string instruction_set() { return peak_loops().target; }
}  // namespace tl::cpu
#endif
