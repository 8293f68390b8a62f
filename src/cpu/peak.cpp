#include "cpu/peak.hpp"

#include <algorithm>
#include <chrono>
#include <functional>

#include "cpu/peak_simd.hpp"
#include "plan/memory.hpp"

namespace tl::cpu {
namespace {

constexpr int rounds = 5;
constexpr double shortest = 0.012;  // seconds of one measurement

double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The best time of one call of `body(times)`, over `times` that make it long enough.
double best_seconds(const std::function<void(std::size_t)>& body) {
  std::size_t times = 1;
  double taken = seconds_of([&] { body(times); });
  while (taken < shortest && times < (std::size_t{1} << 40)) {
    times *= 2;
    taken = seconds_of([&] { body(times); });
  }
  double best = taken;
  for (int round = 1; round < rounds; ++round) best = std::min(best, seconds_of([&] { body(times); }));
  return best / static_cast<double>(times);
}

}  // namespace

double Peak::bound(double operations, double bytes) const {
  double rate = 0;
  for (const auto& [size, speed] : bandwidth) {
    rate = speed;
    if (bytes <= size) break;
  }
  return std::max(flops > 0 ? operations / flops : 0, rate > 0 ? bytes / rate : 0);
}

Peak measure_peak(ThreadPool& pool) {
  const auto threads = static_cast<std::size_t>(pool.threads());
  const PeakLoops loops = peak_loops();
  Peak peak;
  std::vector<float> sink(threads * 16, 0);
  const double block = best_seconds([&](std::size_t times) {
    pool.parallel(threads, [&](std::size_t i, std::size_t) { sink[i * 16] += loops.multiply_add(times * 1000); });
  });
  peak.flops = static_cast<double>(threads) * loops.operations * 1000 / block;
  for (const std::size_t size : {std::size_t{128} << 10, std::size_t{1} << 20, std::size_t{16} << 20, std::size_t{128} << 20}) {
    const std::size_t count = size / sizeof(float) / 2 / threads / 64 * 64;
    std::vector<plan::AlignedBytes> buffers;
    for (std::size_t i = 0; i < threads; ++i) {
      buffers.push_back(plan::allocate_aligned(2 * count * sizeof(float)));
      std::fill_n(reinterpret_cast<float*>(buffers.back().get()), 2 * count, 1.0F);
    }
    const double pass = best_seconds([&](std::size_t times) {
      pool.parallel(threads, [&](std::size_t i, std::size_t) {
        auto* x = reinterpret_cast<float*>(buffers[i].get());
        for (std::size_t t = 0; t < times; ++t) loops.scale(x, x + count, count);
      });
    });
    peak.bandwidth.emplace_back(static_cast<double>(size), static_cast<double>(2 * count * sizeof(float) * threads) / pass);
  }
  return peak;
}

}  // namespace tl::cpu
