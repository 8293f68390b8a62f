#include <gtest/gtest.h>

#include <cmath>

#include "base/f16.hpp"
#include "op/device_run.hpp"

// Activations of every finite float16, against the double of the C library.
namespace {

using namespace tl;
using namespace tl::test;

Tensor finite_halves() {
  std::vector<f16> values;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 value{static_cast<std::uint16_t>(bits)};
    if (std::isfinite(to_float(value))) values.push_back(value);
  }
  return Tensor::of<f16>({static_cast<std::int64_t>(values.size())}, values);
}

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

TEST(Activation, GeluOfEveryHalf) {
  const Tensor x = finite_halves();
  for (const DType dtype : {DType::f16, DType::f32}) {
    const Tensor got = run_on_device("gelu", {{"x", {x.cast(dtype)}}}).front().tensor();
    ASSERT_EQ(got.size(), x.size());
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double v = x.number_at(i), want = gelu(v);
      const double rounding = dtype == DType::f16 ? std::ldexp(std::fabs(want), -11) + std::ldexp(1.0, -25) : 0;
      ASSERT_NEAR(got.number_at(i), want, rounding + 3e-7 * std::fabs(v)) << name(dtype) << " gelu of " << v;
    }
  }
}

}  // namespace
