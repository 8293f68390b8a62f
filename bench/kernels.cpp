// Times the kernels of the CPU device on the shapes of kernel_shapes.inc: tl_kernels [THREADS [FILTER]]. Prints GFLOP/s and the
// share of what as many threads could do of multiply-adds (above one: Winograd, Strassen). The knobs hold here too (TL_ISA=1).
#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <random>
#include <string>

#include "base/thread_pool.hpp"
#include "ir/build.hpp"
#include "ir/op_def.hpp"
#include "peak.hpp"
#include "plan/device.hpp"
#include "plan/memory.hpp"

namespace {

using namespace tl;

struct Case {
  std::string name;
  double flops;
  std::unique_ptr<ir::Op> op;
  std::vector<std::unique_ptr<ir::Var>> variables;
};

Tensor noise(const Shape& shape) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-0.1F, 0.1F);
  Tensor values(DType::f32, shape);
  for (float& v : values.mutable_values<float>()) v = uniform(generator);
  return values.cast(DType::f16);
}

ir::Var* variable(Case& c, const Shape& shape) {
  auto var = std::make_unique<ir::Var>();
  var->name = fmt::format("in{}", c.variables.size());
  var->type = {DType::f16, ir::dims_of(shape)};
  c.variables.push_back(std::move(var));
  return c.variables.back().get();
}

Case conv(const char* name, std::int64_t extent, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
          std::int64_t groups) {
  const auto across = static_cast<double>((extent + stride - 1) / stride);
  Case c{name, 2 * across * across * static_cast<double>(out * in / groups * kernel * kernel), nullptr, {}};
  ir::Var* x = variable(c, {1, extent, extent, in});
  const std::int64_t pad = kernel / 2;
  c.op = ir::make_op("tl.conv",
                     {{"x", x},
                      {"weight", ir::make_constant(noise({out, in / groups, kernel, kernel}))},
                      {"bias", ir::make_constant(noise({out}))},
                      {"strides", ir::ints_binding({stride, stride})},
                      {"pad_type", ir::text_binding("custom")},
                      {"pad", ir::ints_binding({pad, pad, pad, pad})},
                      {"dilations", ir::ints_binding({1, 1})},
                      {"groups", ir::make_constant(Tensor::scalar(static_cast<std::int32_t>(groups)))}},
                     "y");
  return c;
}

Case linear(const char* name, std::int64_t rows, std::int64_t depth, std::int64_t columns) {
  Case c{name, 2 * static_cast<double>(rows * depth * columns), nullptr, {}};
  ir::Var* x = variable(c, {rows, depth});
  c.op = ir::make_op(
      "tl.linear",
      {{"x", x}, {"weight", ir::make_constant(noise({columns, depth}))}, {"bias", ir::make_constant(noise({columns}))}}, "y");
  return c;
}

Case attention(const char* name, std::int64_t positions, std::int64_t heads, std::int64_t width) {
  Case c{name, 4 * static_cast<double>(heads * positions * positions * width), nullptr, {}};
  ir::Var* query = variable(c, {1, positions, heads, width});
  ir::Var* key = variable(c, {1, positions, heads, width});
  ir::Var* value = variable(c, {1, positions, heads, width});
  c.op = ir::make_op("tl.attention",
                     {{"query", query},
                      {"key", key},
                      {"value", value},
                      {"scale", ir::make_constant(Tensor::scalar(0.125F).cast(DType::f16))},
                      {"heads_last", ir::bool_binding(true)}},
                     "y");
  return c;
}

// Seconds of one call, the least of several rounds.
double time_of(const plan::Kernel& kernel, const Case& c, ThreadPool& pool) {
  std::vector<plan::AlignedBytes> memory;
  std::vector<const std::byte*> inputs;
  for (const ir::Var* var : kernel.inputs) {
    const Shape shape = *ir::shape_of(var->type.tensor());
    const Tensor values = noise(shape);
    memory.push_back(plan::allocate_aligned(values.bytes()));
    std::memcpy(memory.back().get(), values.data(), values.bytes());
    inputs.push_back(memory.back().get());
  }
  memory.push_back(
      plan::allocate_aligned(2 * static_cast<std::size_t>(element_count(*ir::shape_of(c.op->outputs[0]->type.tensor())))));
  std::byte* output = memory.back().get();
  const plan::LoneWorkspace workspace(kernel.workspace(), pool.threads());
  const plan::KernelArgs args = workspace.args(inputs.data(), &output, pool);
  const auto calls = static_cast<int>(std::max(1.0, 2e9 / c.flops));
  double best = 1e9;
  for (int round = 0; round < 7; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) kernel.run(args);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const std::string filter = argc > 2 ? argv[2] : "";
  if (threads < 1) {
    fmt::print(stderr, "usage: tl_kernels [THREADS [FILTER]]\n");
    return 2;
  }
  std::vector<Case> cases;
#define TL_CONV(name, ...) cases.push_back(conv(#name, __VA_ARGS__));
#define TL_LINEAR(name, ...) cases.push_back(linear(#name, __VA_ARGS__));
#define TL_ATTENTION(name, ...) cases.push_back(attention(#name, __VA_ARGS__));
#include "kernel_shapes.inc"
  const plan::Device& device = plan::cpu_device();  // first, so that TL_ISA holds for the peak as well
  ThreadPool pool(threads);
  const double peak = tl::bench::peak_flops() * threads;
  fmt::print("{} threads, {:.0f} GFLOP/s of multiply-adds\n\n{:18} {:16} {:>10} {:>9} {:>7}\n", threads, peak / 1e9, "SHAPE",
             "KERNEL", "MICROSEC", "GFLOP/S", "SHARE");
  for (const Case& c : cases) {
    if (c.name.find(filter) == std::string::npos) continue;
    const auto kernel = device.compile(*c.op, threads, nullptr);
    if (kernel == nullptr) {
      fmt::print("{:18} no kernel takes it\n", c.name);
      return 1;
    }
    const double seconds = time_of(*kernel, c, pool);
    fmt::print("{:18} {:16} {:10.1f} {:9.1f} {:6.0f} %\n", c.name, kernel->name(), seconds * 1e6, c.flops / seconds / 1e9,
               100 * c.flops / seconds / peak);
  }
}
