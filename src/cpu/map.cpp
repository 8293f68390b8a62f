#include <algorithm>
#include <array>
#include <cmath>

#include "base/f16.hpp"
#include "cpu/elementwise.hpp"
#include "cpu/kernel.hpp"
#include "cpu/parallel.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t piece = 512;  // elements that are widened at a time

// One channel's parameters of a function of one float.
struct Parameters {
  float a = 0, b = 0, c = 0;
};

using Function = void (*)(const float* x, float* out, std::size_t count, Parameters p);

#define TL_MAP(id, formula)                                                                     \
  void map_##id(const float* x, float* out, std::size_t count, [[maybe_unused]] Parameters p) { \
    for (std::size_t i = 0; i < count; ++i) {                                                   \
      const float v = x[i];                                                                     \
      out[i] = formula;                                                                         \
    }                                                                                           \
  }
TL_MAP(atan, std::atan(v))
TL_MAP(cos, std::cos(v))
TL_MAP(sin, std::sin(v))
TL_MAP(tan, std::tan(v))
TL_MAP(batch_norm, (v - p.a) * p.b + p.c)
#undef TL_MAP

// Functions that channels give their parameters to.
template <Unary kind, Activation activation = Activation::clamp>
void map_unary(const float* x, float* out, std::size_t count, Parameters p) {
  elementwise_kernels().unary({kind, Storage::f32, Storage::f32, x, out, count, {activation, p.a, p.b}});
}

struct MapRow {
  std::string_view op;
  Function function;
};
constexpr std::array map_rows = {
    MapRow{"atan", map_atan},
    MapRow{"batch_norm", map_batch_norm},
    MapRow{"clamped_relu", map_unary<Unary::clamped_relu>},
    MapRow{"cos", map_cos},
    MapRow{"prelu", map_unary<Unary::activation, Activation::leaky_relu>},
    MapRow{"sin", map_sin},
    MapRow{"softplus_parametric", map_unary<Unary::softplus_parametric>},
    MapRow{"tan", map_tan},
};

// A function of one float whose parameters may differ by channel: x is [outer, channels, inner].
class MapKernel final : public Kernel {
 public:
  MapKernel(const KernelRequest& request, Storage storage, Function function, std::vector<Parameters> parameters)
      : storage_(storage), function_(function), parameters_(std::move(parameters)), threads_(request.threads) {
    inputs.push_back(request.variable("x"));
    const Shape shape = request.out_shape();
    count_ = uz(element_count(shape));
    inner_ = count_;
    if (parameters_.size() > 1) inner_ = count_ / uz(shape[0]) / parameters_.size();
  }

  std::string_view name() const noexcept override { return "map"; }
  bool can_share(std::size_t) const noexcept override { return true; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t tasks = count_ < parallel_elements / 4 ? 1 : threads_ * 4;
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
      const std::size_t end = count_ * (task + 1) / tasks;
      for (std::size_t i = count_ * task / tasks; i < end;) {
        const std::size_t count = std::min({end - i, inner_ - i % inner_, piece});
        apply(args.inputs[0], args.outputs[0], i, count, parameters_[i / inner_ % parameters_.size()]);
        i += count;
      }
    });
    return {};
  }

 private:
  void apply(const std::byte* x, std::byte* out, std::size_t at, std::size_t count, const Parameters& p) const noexcept {
    if (storage_ == Storage::f32) {
      function_(reinterpret_cast<const float*>(x) + at, reinterpret_cast<float*>(out) + at, count, p);
      return;
    }
    std::array<float, piece> wide;
    f16_to_f32(reinterpret_cast<const f16*>(x) + at, wide.data(), count);
    function_(wide.data(), wide.data(), count, p);
    f32_to_f16(wide.data(), reinterpret_cast<f16*>(out) + at, count);
  }

  Storage storage_;
  Function function_;
  std::vector<Parameters> parameters_;
  std::size_t threads_, count_ = 0, inner_ = 1;
};

// A constant argument, one value or one for each channel; empty when it is not known.
std::vector<double> numbers(const KernelRequest& request, const char* param) {
  const Tensor value = request.constant(param);
  if (!value.defined()) return {};
  const Tensor wide = value.cast(DType::f64);
  return {wide.values<double>().begin(), wide.values<double>().end()};
}

std::vector<Parameters> norm_parameters(const KernelRequest& request) {
  const auto mean = numbers(request, "mean"), variance = numbers(request, "variance"), gamma = numbers(request, "gamma"),
             beta = numbers(request, "beta");
  for (const char* param : {"gamma", "beta"}) {
    if (request.op.argument(param) != nullptr && !request.constant(param).defined()) return {};
  }
  if (mean.empty() || variance.empty()) return {};
  const double epsilon = request.view.number("epsilon");
  std::vector<Parameters> result(mean.size());
  for (std::size_t k = 0; k < result.size(); ++k) {
    const double scale = (gamma.empty() ? 1 : gamma[k]) / std::sqrt(variance[k] + epsilon);
    result[k] = {static_cast<float>(mean[k]), static_cast<float>(scale), beta.empty() ? 0 : static_cast<float>(beta[k])};
  }
  return result;
}

std::vector<Parameters> parameters_of(const KernelRequest& request) {
  if (request.op.type == "batch_norm") return norm_parameters(request);
  const auto given = [&](const char* param) {
    return request.op.def->param(param) == nullptr ? std::vector<double>{} : numbers(request, param);
  };
  const auto alpha = given("alpha"), beta = given("beta");
  std::vector<Parameters> result(std::max<std::size_t>(alpha.size(), 1));
  for (std::size_t k = 0; k < result.size(); ++k) {
    if (!alpha.empty()) result[k].a = static_cast<float>(alpha[k]);
    if (!beta.empty()) result[k].b = static_cast<float>(beta[k]);
  }
  return result;
}

}  // namespace

std::unique_ptr<Kernel> map_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  if (!storage || request.variable("x") == nullptr || element_count(request.out_shape()) == 0) return nullptr;
  for (const MapRow& row : map_rows) {
    if (row.op != request.op.type) continue;
    auto parameters = parameters_of(request);
    if (parameters.empty()) return nullptr;
    return std::make_unique<MapKernel>(request, *storage, row.function, std::move(parameters));
  }
  return nullptr;
}

}  // namespace tl::cpu
