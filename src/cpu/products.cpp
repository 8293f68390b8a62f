#include "cpu/products.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/thread_pool.hpp"
#include "op/gemm.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t panel = 64;               // rows of `b` that stay in cache while `a` passes
constexpr std::size_t least_products = 100000;  // below, a second thread costs more than it brings

void products(const float* a, const float* b, const float* bias, float* out, std::int64_t m, std::int64_t n, std::int64_t depth,
              ThreadPool& pool) noexcept {
  static const ProductKernel kernel = product_kernel();
  const std::size_t rows = uz(m), columns = uz(n);
  const std::size_t panels = (columns + panel - 1) / panel;
  const auto threads = uz(pool.threads());
  const bool alone = rows * columns * uz(depth) < least_products;
  const std::size_t parts = alone ? 1 : std::min((rows + 3) / 4, (threads * 2 + panels - 1) / std::max<std::size_t>(panels, 1));
  const auto task = [&](std::size_t i, std::size_t) {
    const std::size_t first = i / parts * panel, part = i % parts;
    kernel({a, b, bias, out, columns, uz(depth), rows * part / parts, rows * (part + 1) / parts, first,
            std::min(columns, first + panel)});
  };
  if (rows == 0 || columns == 0) return;
  if (alone) {
    for (std::size_t i = 0; i < panels * parts; ++i) task(i, 0);
  } else {
    pool.parallel(panels * parts, task);
  }
}

}  // namespace

void offer_products() { op::offer_products(&products); }

}  // namespace tl::cpu
