#pragma once

#include <cstdint>

namespace tl {
class ThreadPool;
}

namespace tl::op {

// out[i * n + j] = sum over k of a[i * depth + k] * b[j * depth + k], plus bias[j] when given: rows of `a` against rows of `b`.
// Sums in single precision over a fixed number of lanes, so results do not depend on n or m.
void gemm_rows(const float* a, const float* b, const float* bias, float* out, std::int64_t m, std::int64_t n,
               std::int64_t depth) noexcept;

// Another way to compute gemm_rows, on a pool; as exact, in another order of the sums.
using Products = void (*)(const float* a, const float* b, const float* bias, float* out, std::int64_t m, std::int64_t n,
                          std::int64_t depth, ThreadPool& pool) noexcept;
// What gemm_rows calls on a thread while a DeviceProducts lives there. Set once, by the device.
void offer_products(Products products) noexcept;
class DeviceProducts {
 public:
  explicit DeviceProducts(ThreadPool& pool) noexcept;
  ~DeviceProducts();
  DeviceProducts(const DeviceProducts&) = delete;
  DeviceProducts& operator=(const DeviceProducts&) = delete;

 private:
  ThreadPool* before_;
};

// The same modulo 2^32.
void gemm_rows(const std::int32_t* a, const std::int32_t* b, const std::int32_t* bias, std::int32_t* out, std::int64_t m,
               std::int64_t n, std::int64_t depth) noexcept;

}  // namespace tl::op
