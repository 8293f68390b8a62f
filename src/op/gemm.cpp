#include "op/gemm.hpp"

#include <algorithm>
#include <atomic>

namespace tl::op {
namespace {

constexpr std::int64_t lanes = 8;
constexpr std::int64_t columns = 4;
constexpr std::int64_t panel = 64;  // rows of `b` that stay in cache while `a` passes

// out[c] = a . b[c], for `width` consecutive rows of b.
template <std::int64_t width>
void dot(const float* __restrict a, const float* __restrict b, float* out, std::int64_t depth) noexcept {
  float sums[width][lanes] = {};
  std::int64_t k = 0;
  for (; k + lanes <= depth; k += lanes) {
    for (std::int64_t c = 0; c < width; ++c) {
      for (std::int64_t l = 0; l < lanes; ++l) sums[c][l] += a[k + l] * b[c * depth + k + l];
    }
  }
  for (std::int64_t c = 0; c < width; ++c) {
    float total = 0;
    for (std::int64_t l = 0; l < lanes; ++l) total += sums[c][l];
    for (std::int64_t t = k; t < depth; ++t) total += a[t] * b[c * depth + t];
    out[c] = total;
  }
}

std::atomic<Products> device_products = nullptr;
thread_local ThreadPool* device_pool = nullptr;

}  // namespace

void offer_products(Products products) noexcept { device_products = products; }

DeviceProducts::DeviceProducts(ThreadPool& pool) noexcept : before_(device_pool) { device_pool = &pool; }
DeviceProducts::~DeviceProducts() { device_pool = before_; }

void gemm_rows(const float* a, const float* b, const float* bias, float* out, std::int64_t m, std::int64_t n,
               std::int64_t depth) noexcept {
  if (const Products products = device_products; products != nullptr && device_pool != nullptr)
    return products(a, b, bias, out, m, n, depth, *device_pool);
  for (std::int64_t first = 0; first < n; first += panel) {
    const std::int64_t last = std::min(n, first + panel);
    for (std::int64_t i = 0; i < m; ++i) {
      float* row = out + i * n;
      std::int64_t j = first;
      for (; j + columns <= last; j += columns) dot<columns>(a + i * depth, b + j * depth, row + j, depth);
      for (; j < last; ++j) dot<1>(a + i * depth, b + j * depth, row + j, depth);
      if (bias == nullptr) continue;
      for (j = first; j < last; ++j) row[j] += bias[j];
    }
  }
}

void gemm_rows(const std::int32_t* a, const std::int32_t* b, const std::int32_t* bias, std::int32_t* out, std::int64_t m,
               std::int64_t n, std::int64_t depth) noexcept {
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      std::uint32_t total = bias == nullptr ? 0 : static_cast<std::uint32_t>(bias[j]);
      for (std::int64_t k = 0; k < depth; ++k) {
        total += static_cast<std::uint32_t>(a[i * depth + k]) * static_cast<std::uint32_t>(b[j * depth + k]);
      }
      out[i * n + j] = static_cast<std::int32_t>(total);
    }
  }
}

}  // namespace tl::op
