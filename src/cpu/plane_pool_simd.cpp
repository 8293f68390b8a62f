#include "cpu/plane_pool.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/plane_pool_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

void split(const float* HWY_RESTRICT in, std::size_t count, std::size_t stride, float* HWY_RESTRICT phases,
           std::size_t length) {
  std::size_t i = 0;  // of the elements of a phase
#if HWY_TARGET != HWY_SCALAR
  V a, b, c, d;
  if (stride == 2) {
    for (; (i + lanes) * 2 <= count; i += lanes) {
      hn::LoadInterleaved2(f32, in + i * 2, a, b);
      store(a, phases + i);
      store(b, phases + length + i);
    }
  } else if (stride == 3) {
    for (; (i + lanes) * 3 <= count; i += lanes) {
      hn::LoadInterleaved3(f32, in + i * 3, a, b, c);
      store(a, phases + i);
      store(b, phases + length + i);
      store(c, phases + 2 * length + i);
    }
  } else if (stride == 4) {
    for (; (i + lanes) * 4 <= count; i += lanes) {
      hn::LoadInterleaved4(f32, in + i * 4, a, b, c, d);
      store(a, phases + i);
      store(b, phases + length + i);
      store(c, phases + 2 * length + i);
      store(d, phases + 3 * length + i);
    }
  }
#endif
  for (; i * stride < count; ++i) {
    const std::size_t some = HWY_MIN(stride, count - i * stride);
    for (std::size_t p = 0; p < some; ++p) phases[p * length + i] = in[i * stride + p];
  }
}

template <class Meet>
HWY_INLINE void meet_as(const float* HWY_RESTRICT from, float* HWY_RESTRICT sums, std::size_t count, Meet meet) {
  for_lanes(count, [&](std::size_t i, std::size_t n)
                       HWY_ATTR { store_up_to(meet(load_up_to(sums + i, n), load_up_to(from + i, n)), sums + i, n); });
}

void meet(Pool kind, const float* from, float* sums, std::size_t count) {
  switch (kind) {
    case Pool::max:
      return meet_as(from, sums, count,
                     [](V s, V v) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Gt(v, s), hn::IsNaN(v)), v, s); });
    case Pool::average: return meet_as(from, sums, count, [](V s, V v) HWY_ATTR { return hn::Add(s, v); });
    case Pool::l2: return meet_as(from, sums, count, [](V s, V v) HWY_ATTR { return hn::Add(s, hn::Mul(v, v)); });
  }
}

void finish(Pool kind, float* sums, float outer, const float* areas, std::size_t count) {
  if (kind == Pool::l2) {
    for_lanes(count,
              [&](std::size_t i, std::size_t n) HWY_ATTR { store_up_to(hn::Sqrt(load_up_to(sums + i, n)), sums + i, n); });
  } else if (kind == Pool::average) {
    const V all = hn::Set(f32, outer);
    for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
      store_up_to(hn::Div(load_up_to(sums + i, n), hn::Mul(all, load_up_to(areas + i, n))), sums + i, n);
    });
  }
}

const PlanePools* pools_pointer() {
  static constexpr PlanePools pools{&split, &meet, &finish};
  return &pools;
}

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(pools_pointer);
const PlanePools& plane_pools() { return *HWY_DYNAMIC_DISPATCH(pools_pointer)(); }
}  // namespace tl::cpu
#endif
