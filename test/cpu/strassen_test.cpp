#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "base/knobs.hpp"
#include "base/thread_pool.hpp"
#include "ir/build.hpp"
#include "ir/op_def.hpp"
#include "plan/device.hpp"
#include "plan/memory.hpp"

// Strassen's products against sums in double of the same fp16 values, the same bits for 1, 2 and 4 threads.
namespace {

using namespace tl;

struct Product {
  std::int64_t rows, depth, columns;
  const char* activation = "clamp";
  bool residual = false, scale = false;
};

using Change = std::function<void(std::span<float>)>;

Tensor noise(const Shape& shape, unsigned seed, float scale, const Change& change = {}) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Tensor values(DType::f32, shape);
  for (float& v : values.mutable_values<float>()) v = normal(generator);
  if (change) change(values.mutable_values<float>());
  return values.cast(DType::f16);
}

struct Operands {
  Tensor x, weight, bias, residual, scale;
};

Operands operands(const Product& p, const Change& of_x = {}, const Change& of_weight = {}) {
  return {noise({p.rows, p.depth}, 1, 1, of_x),
          noise({p.columns, p.depth}, 2, 1 / std::sqrt(static_cast<float>(p.depth)), of_weight), noise({p.columns}, 3, 1),
          noise({p.rows, p.columns}, 4, 1), noise({p.columns}, 5, 2)};
}

// Sums of products alone.
std::vector<double> products(const Product& p, const Operands& o) {
  const Tensor x = o.x.cast(DType::f32), w = o.weight.cast(DType::f32);
  const auto a = x.values<float>(), b = w.values<float>();
  std::vector<double> sums(static_cast<std::size_t>(p.rows * p.columns));
  const auto depth = static_cast<std::size_t>(p.depth), columns = static_cast<std::size_t>(p.columns);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto left = a.subspan(i / columns * depth, depth), right = b.subspan(i % columns * depth, depth);
    for (std::size_t k = 0; k < depth; ++k) sums[i] += static_cast<double>(left[k]) * static_cast<double>(right[k]);
  }
  return sums;
}

std::vector<double> norms(const Tensor& rows) {
  std::vector<double> result(static_cast<std::size_t>(rows.shape()[0]));
  for (std::int64_t i = 0; i < rows.size(); ++i)
    result[static_cast<std::size_t>(i / rows.shape()[1])] += rows.number_at(i) * rows.number_at(i);
  for (double& v : result) v = std::sqrt(v);
  return result;
}

double activated(const std::string& name, double v) {
  if (name == "relu") return v < 0 ? 0 : v;
  if (name == "gelu") return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
  return v;
}

// `kernel`: what the name of the kernel starts with.
Tensor run(const Product& p, const Operands& o, int threads, const std::string& kernel = "strassen") {
  std::vector<std::unique_ptr<ir::Var>> variables;
  const auto variable = [&](const Tensor& like) {
    auto var = std::make_unique<ir::Var>();
    var->name = "in" + std::to_string(variables.size());
    var->type = {like.dtype(), ir::dims_of(like.shape())};
    variables.push_back(std::move(var));
    return variables.back().get();
  };
  std::vector<std::pair<std::string, ir::Binding>> inputs = {
      {"x", variable(o.x)},
      {"weight", ir::make_constant(o.weight)},
      {"bias", ir::make_constant(o.bias)},
      {"activation", ir::text_binding(p.activation == std::string("relu") ? "clamp" : p.activation)}};
  const bool relu = p.activation == std::string("relu");
  inputs.emplace_back("alpha", ir::make_constant(Tensor::scalar(relu ? 0.0F : -INFINITY)));
  inputs.emplace_back("beta", ir::make_constant(Tensor::scalar(INFINITY)));
  if (p.residual) inputs.emplace_back("residual", variable(o.residual));
  if (p.scale) inputs.emplace_back("scale", ir::make_constant(o.scale));
  const auto op = ir::make_op("tl.linear", std::move(inputs), "y");
  const auto made = plan::cpu_device().compile(*op, threads, nullptr);
  const std::string wanted = knob_value(Knob::strassen) == 0 ? "gemm" : kernel;
  EXPECT_EQ(std::string(made->name()).rfind(wanted, 0), 0U) << made->name();
  ThreadPool pool(threads);
  Tensor out(DType::f16, {p.rows, p.columns});
  std::byte* output = out.mutable_data();
  const std::byte* given[] = {o.x.data(), o.residual.data()};
  const plan::LoneWorkspace workspace(made->workspace(), threads);
  EXPECT_TRUE(made->run(workspace.args(given, &output, pool)).ok());
  return out;
}

void expect_products(const Product& p, const Operands& o, const std::string& kernel = "strassen") {
  const Tensor got = run(p, o, 1, kernel);
  for (const int threads : {2, 4}) ASSERT_TRUE(run(p, o, threads, kernel).identical(got)) << threads << " threads";
  const std::vector<double> want = products(p, o);
  const auto columns = static_cast<std::size_t>(p.columns);
  // What the largest of many sums of such a row and column comes to, so that small ones are not measured by large ones.
  const std::vector<double> of_row = norms(o.x), of_column = norms(o.weight);
  const double largest = 4 / std::sqrt(static_cast<double>(p.depth));
  for (std::size_t i = 0; i < want.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const double scale = p.scale ? o.scale.number_at(at % p.columns) : 1;
    double expected = scale * (want[i] + o.bias.number_at(at % p.columns)) + (p.residual ? o.residual.number_at(at) : 0);
    expected = activated(p.activation, expected);
    const double value = got.number_at(at);
    if (!std::isfinite(expected)) {
      ASSERT_TRUE(std::isnan(expected) ? std::isnan(value) : value == expected) << "element " << i << " is " << value;
      continue;
    }
    const double half_unit = std::ldexp(std::fabs(expected), -11) + std::ldexp(1.0, -25);
    const double sum_error = 3e-5 * std::fabs(scale) * largest * of_row[i / columns] * of_column[i % columns];
    ASSERT_NEAR(value, expected, half_unit + sum_error) << "element " << i;
  }
}

class StrassenProducts : public testing::TestWithParam<Product> {};
TEST_P(StrassenProducts, AreTheSumsOfProducts) { expect_products(GetParam(), operands(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Kernels, StrassenProducts,
                         testing::Values(Product{196, 384, 384}, Product{197, 416, 240},           // odd rows, a narrow panel
                                         Product{197, 416, 240, "clamp", true, true},              //
                                         Product{131, 1024, 160, "gelu", false, true},             //
                                         Product{128, 768, 320, "gelu"}, Product{131, 1024, 160},  // depth in passes
                                         Product{64, 992, 320, "relu", true},
                                         Product{200, 1056, 144, "relu", true},  // unequal passes
                                         Product{1001, 256, 96, "gelu", true},   // halves of a panel
                                         Product{1001, 256, 128, "gelu", true},  // many rows
                                         Product{784, 512, 136, "clamp", true}, Product{301, 128, 520, "relu"}));

TEST(StrassenKernels, NarrowProductsScaleTheirWeights) {
  const Product p{300, 384, 96, "clamp", true, true};
  expect_products(p, operands(p), "gemm");
}

TEST(StrassenKernels, RowsThatAreNotFiniteStayAlone) {
  const Product p{197, 416, 240};
  expect_products(p, operands(p, [](std::span<float> x) {
                    x[5 * 416 + 3] = INFINITY;
                    x[60 * 416 + 400] = -INFINITY;
                    x[61 * 416 + 7] = NAN;
                    x[196 * 416] = INFINITY;
                  }));
}

TEST(StrassenKernels, RowsOfOtherMagnitudesKeepTheirs) {
  const Product p{130, 768, 200};
  expect_products(p, operands(p, [](std::span<float> x) {
                    for (std::size_t k = 0; k < 768; ++k) {
                      x[7 * 768 + k] *= 3000;
                      x[20 * 768 + k] *= 0.001F;
                      x[21 * 768 + k] *= 0.02F;
                      x[64 * 768 + k] = 0;
                    }
                  }));
}

TEST(StrassenKernels, ColumnsOfOtherMagnitudesKeepTheirs) {
  const Product p{128, 384, 400};
  expect_products(p, operands(p, {}, [](std::span<float> w) {
                    for (std::size_t k = 0; k < 384; ++k) {
                      w[3 * 384 + k] *= 1000;
                      w[70 * 384 + k] *= 0.001F;
                    }
                  }));
}

TEST(StrassenKernels, HalvesOfAPanelKeepTheirMagnitudes) {
  const Product p{520, 384, 96};
  expect_products(p, operands(p, {}, [](std::span<float> w) {
                    for (std::size_t k = 0; k < 384; ++k) w[70 * 384 + k] *= 0.001F;
                  }));
}

TEST(StrassenKernels, WeightsThatAreNotFiniteSpreadNoFurther) {
  const Product p{128, 384, 400};
  expect_products(p, operands(p, {}, [](std::span<float> w) {
                    w[5 * 384] = INFINITY;
                    w[100 * 384 + 1] = NAN;
                  }));
}

}  // namespace
