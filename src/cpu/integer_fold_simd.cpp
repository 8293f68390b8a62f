#include <cstring>
#include <limits>

#include "cpu/integer_fold.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/integer_fold_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

using I32 = hn::Rebind<std::int32_t, F32>;
using W = hn::Vec<I32>;
constexpr I32 i32{};

// The first n <= lanes elements; the others load as zero and are not stored.
HWY_INLINE W words(const std::int32_t* HWY_RESTRICT p, std::size_t n) {
  if (n == lanes) return hn::LoadU(i32, p);
  HWY_ALIGN std::int32_t buffer[lanes] = {};
  std::memcpy(buffer, p, HWY_MIN(n, lanes) * sizeof(std::int32_t));
  return hn::Load(i32, buffer);
}
HWY_INLINE void put(W v, std::int32_t* HWY_RESTRICT p, std::size_t n) {
  if (n == lanes) return hn::StoreU(v, i32, p);
  HWY_ALIGN std::int32_t buffer[lanes];
  hn::Store(v, i32, buffer);
  std::memcpy(p, buffer, HWY_MIN(n, lanes) * sizeof(std::int32_t));
}

// `step` takes in an element, `join` two totals.
template <class Step, class Join>
HWY_INLINE void fold_as(const IntegerBlock& b, std::int32_t start, Step step, Join join) {
  if (b.inner != 1) {
    for (std::size_t i = b.first; i < b.last; i += 2 * lanes) {
      const std::size_t n = HWY_MIN(lanes, b.last - i), more = HWY_MIN(lanes, b.last - i - n);
      W low = hn::Set(i32, start), high = low;
      for (std::size_t k = 0; k < b.count; ++k) {
        low = step(low, words(b.x + k * b.inner + i, n));
        if (more != 0) high = step(high, words(b.x + k * b.inner + i + lanes, more));
      }
      put(low, b.out + i, n);
      if (more != 0) put(high, b.out + i + lanes, more);
    }
    return;
  }
  W totals[4];
  TL_UNROLL for (int v = 0; v < 4; ++v) totals[v] = hn::Set(i32, start);
  std::size_t i = 0;
  for (; i + 4 * lanes <= b.count; i += 4 * lanes) {
    TL_UNROLL for (std::size_t v = 0; v < 4; ++v) totals[v] = step(totals[v], hn::LoadU(i32, b.x + i + v * lanes));
  }
  for (; i < b.count; i += lanes) {
    const std::size_t n = HWY_MIN(lanes, b.count - i);
    totals[0] = hn::IfThenElse(hn::FirstN(i32, n), step(totals[0], words(b.x + i, n)), totals[0]);
  }
  HWY_ALIGN std::int32_t parts[lanes];
  hn::Store(join(join(totals[0], totals[1]), join(totals[2], totals[3])), i32, parts);
  W all = hn::Set(i32, parts[0]);
  for (std::size_t l = 1; l < lanes; ++l) all = join(all, hn::Set(i32, parts[l]));
  b.out[0] = hn::GetLane(all);
}

void fold(const IntegerBlock& b) {
  using Limits = std::numeric_limits<std::int32_t>;
  const auto add = [](W a, W x) HWY_ATTR { return hn::Add(a, x); };
  const auto mul = [](W a, W x) HWY_ATTR { return hn::Mul(a, x); };
  const auto max = [](W a, W x) HWY_ATTR { return hn::Max(a, x); };
  const auto min = [](W a, W x) HWY_ATTR { return hn::Min(a, x); };
  switch (b.kind) {
    case IntegerFold::l1_norm:
      return fold_as(
          b, 0, [](W a, W x) HWY_ATTR { return hn::Add(a, hn::Abs(x)); }, add);
    case IntegerFold::max: return fold_as(b, Limits::min(), max, max);
    case IntegerFold::min: return fold_as(b, Limits::max(), min, min);
    case IntegerFold::prod: return fold_as(b, 1, mul, mul);
    case IntegerFold::sum: return fold_as(b, 0, add, add);
    case IntegerFold::sum_square:
      return fold_as(
          b, 0, [](W a, W x) HWY_ATTR { return hn::Add(a, hn::Mul(x, x)); }, add);
  }
}

using FoldPointer = void (*)(const IntegerBlock&);
FoldPointer fold_pointer() { return &fold; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(fold_pointer);
void (*integer_fold_kernel())(const IntegerBlock&) { return HWY_DYNAMIC_DISPATCH(fold_pointer)(); }
}  // namespace tl::cpu
#endif
