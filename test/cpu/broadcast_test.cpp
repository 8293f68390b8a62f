#include <gtest/gtest.h>

#include <random>

#include "ir/text.hpp"
#include "op/device_run.hpp"

// Operands that begin anew with every row, beside others that go on, against the reference: one rounding of an exact result,
// so that both give the same bits.
namespace {

using namespace tl;
using namespace tl::test;

Tensor noise(DType dtype, const Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> value(0.5F, 3.0F);
  Tensor values(DType::f32, shape);
  for (float& v : values.mutable_values<float>()) v = value(generator);
  return values.cast(dtype);
}

void expect_identical(const std::string& op, const Tensor& x, const Tensor& y) {
  const std::vector<Argument> arguments = {{"x", {x}}, {"y", {y}}};
  const Tensor want = run_eagerly(op, arguments).front().tensor();
  EXPECT_TRUE(run_on_device(op, arguments).front().tensor().identical(want))
      << op << " of " << name(x.dtype()) << ' ' << to_string(x.shape()) << ' ' << to_string(y.shape());
}

constexpr std::int64_t lengths[] = {1, 2, 3, 7, 15, 16, 17, 24, 31, 33, 72, 120, 333, 1023, 1024, 1025};

TEST(Broadcast, RowsOfAnyLength) {
  for (const DType dtype : {DType::f16, DType::f32}) {
    for (const std::int64_t n : lengths) {
      const Tensor rows = noise(dtype, {5, n}, 1), once = noise(dtype, {n}, 2), each = noise(dtype, {5, 1}, 3);
      for (const char* op : {"add", "sub", "mul", "real_div", "maximum", "minimum", "mod"}) {
        expect_identical(op, rows, once);
        expect_identical(op, once, rows);
        expect_identical(op, rows, each);
        expect_identical(op, each, rows);
      }
      // Two groups of rows, with an operand of their own each; the middle axis alone goes round.
      expect_identical("sub", noise(dtype, {2, 3, n}, 4), noise(dtype, {2, 1, n}, 5));
      expect_identical("sub", noise(dtype, {2, 1, n}, 6), noise(dtype, {2, 3, n}, 7));
      expect_identical("sub", noise(dtype, {2, 3, n}, 8), noise(dtype, {3, n}, 9));
    }
  }
}

TEST(Broadcast, PowersOfRows) {
  const Tensor x = Tensor::of<float>({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Tensor y = Tensor::of<float>({3}, {0, 1, 2});
  const Tensor got = run_on_device("pow", {{"x", {x}}, {"y", {y}}}).front().tensor();
  const std::vector<double> want = {1, 2, 9, 1, 5, 36, 1, 8, 81};
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got.number_at(static_cast<std::int64_t>(i)), want[i], want[i] * 1e-6);
}

// The result takes over the buffer of what was read; threads share long runs at the starts of rows.
TEST(Broadcast, InPlaceOnAnyNumberOfThreads) {
  for (const auto& [rows, n] : {std::array<std::int64_t, 2>{3, 21}, {1600, 120}, {2, 20001}, {4001, 9}}) {
    const std::string wide = fmt::format("tensor<fp16, [{}, {}]>", rows, n);
    const auto parsed = ir::parse_mil(
        fmt::format("program(1.3)\n{{\n  func main<ios18>({0} x, tensor<fp16, [1, {1}]> g) {{\n"
                    "    {0} a = square(x = x)[name = string(\"a\")];\n    {0} b = mul(x = a, y = g)[name = string(\"b\")];\n"
                    "    {0} c = sub(x = g, y = b)[name = string(\"c\")];\n  }} -> (c);\n}}\n",
                    wide, n));
    const std::shared_ptr<ir::Function> function = std::move(parsed->functions.front());
    ir::verify(*function);
    const std::vector<Value> inputs = {noise(DType::f16, {rows, n}, 1), noise(DType::f16, {1, n}, 2)};
    const auto run = [&](const plan::Device* device, int threads) {
      return plan::Session(function, device, std::make_shared<ThreadPool>(threads)).run(inputs, {}).front().tensor();
    };
    const Tensor want = run(nullptr, 1);
    for (const int threads : {1, 2, 4})
      EXPECT_TRUE(run(&plan::cpu_device(), threads).identical(want)) << wide << ' ' << threads;
  }
}

}  // namespace
