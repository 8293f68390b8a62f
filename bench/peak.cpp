#include "peak.hpp"

#include <chrono>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tl::bench::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Twelve different sums hide the latency of an addition; returned so that they are made.
double burst(int steps) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f);
  auto a = hn::Set(d, 0.05f);
  auto b = hn::Set(d, 0.10f);
  auto c = hn::Set(d, 0.15f);
  auto e = hn::Set(d, 0.20f);
  auto f = hn::Set(d, 0.25f);
  auto g = hn::Set(d, 0.30f);
  auto h = hn::Set(d, 0.35f);
  auto i = hn::Set(d, 0.40f);
  auto j = hn::Set(d, 0.45f);
  auto k = hn::Set(d, 0.50f);
  auto l = hn::Set(d, 0.55f);
  auto m = hn::Set(d, 0.60f);
  for (int n = 0; n < steps; ++n) {
    a = hn::MulAdd(a, x, x);
    b = hn::MulAdd(b, x, x);
    c = hn::MulAdd(c, x, x);
    e = hn::MulAdd(e, x, x);
    f = hn::MulAdd(f, x, x);
    g = hn::MulAdd(g, x, x);
    h = hn::MulAdd(h, x, x);
    i = hn::MulAdd(i, x, x);
    j = hn::MulAdd(j, x, x);
    k = hn::MulAdd(k, x, x);
    l = hn::MulAdd(l, x, x);
    m = hn::MulAdd(m, x, x);
  }
  const auto sum = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)),
                           hn::Add(hn::Add(hn::Add(f, g), hn::Add(h, i)), hn::Add(hn::Add(j, k), hn::Add(l, m))));
  return static_cast<double>(hn::GetLane(sum));
}

double measure() {
  constexpr int steps = 4'000'000;
  double best = 0;
  volatile double keep = burst(steps / 10);
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    keep = burst(steps);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double flops = 12.0 * 2.0 * static_cast<double>(hn::Lanes(hn::ScalableTag<float>())) * steps / seconds;
    if (flops > best) best = flops;
  }
  return static_cast<void>(keep), best;
}

}  // namespace

double peak_pointer() { return measure(); }

}  // namespace tl::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::bench {
HWY_EXPORT(peak_pointer);
double peak_flops() { return HWY_DYNAMIC_DISPATCH(peak_pointer)(); }
}  // namespace tl::bench
#endif
