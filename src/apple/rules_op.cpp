// Conditions on what an op is and on its parameters.
#include <algorithm>

#include "apple/rules.hpp"
#include "base/error.hpp"
#include "ir/op_def.hpp"

namespace tl::apple {

using namespace ir;

namespace {

Verdict when(bool holds) { return holds ? Verdict("") : Verdict(); }

std::int64_t at(const std::vector<std::int64_t>& values, std::size_t i, std::int64_t fallback) {
  return i < values.size() ? values[i] : fallback;
}

// Height and width of a convolution's kernel; one axis counts as width, of three the last two.
struct Kernel {
  std::int64_t height = 1, width = 1;
};
std::optional<Kernel> kernel_of(const Site& site) {
  const TensorType* weight = site.type("weight");
  if (weight == nullptr || rank(*weight) < 3) return std::nullopt;
  const Dims& dims = *weight->dims;
  return Kernel{dims.size() > 3 ? extent(dims[dims.size() - 2]) : 1, extent(dims.back())};
}

Verdict kernel_over(const Site& site, std::int64_t height, std::int64_t width) {
  const auto kernel = kernel_of(site);
  if (!kernel || (kernel->height <= height && kernel->width <= width)) return {};
  return fmt::format("kernel {} high, {} wide", kernel->height, kernel->width);
}

// The pool's window or stride along its last axis.
std::int64_t last_of(const Site& site, std::string_view parameter) {
  const auto values = site.ints(parameter);
  return values.empty() ? 1 : values.back();
}

}  // namespace

Verdict always(const Site&) { return ""; }

Verdict is_custom(const Site& site) {
  const std::string& type = site.op().type;
  if (type == "custom_layer" || type == "tl.custom_model") {
    const ConstantPtr name = site.op().attribute("class_name");
    const bool text = name != nullptr && name->value.is_tensor() && name->value.tensor().dtype() == DType::string &&
                      name->value.tensor().size() == 1;
    return text ? fmt::format("class '{}'", name->value.tensor().strings().front()) : "";
  }
  if (type.starts_with("tl.") || find_op(type) != nullptr) return {};
  return fmt::format("'{}' is not an op that is known", type);
}

Verdict is_classic(const Site& site) { return when(site.op().type.starts_with("tl.")); }

// The cache idiom is read_state, slice_update, write_state.
Verdict stands_alone(const Site& site) {
  const Binding* x = site.binding("x");
  auto* const* var = x == nullptr ? nullptr : std::get_if<Var*>(x);
  return when(var == nullptr || (*var)->producer == nullptr || (*var)->producer->type != "read_state");
}

Verdict slice_at_run_time(const Site& site) {
  return when(!site.constant("begin") || !site.constant("end") || !site.constant("size") || !site.constant("stride"));
}

Verdict gathers_at_run_time(const Site& site) { return when(!site.constant("indices")); }

Verdict large_kernel(const Site& site) {
  // 16 x 16 alone is taken beyond the limit; the compiler then runs for minutes.
  const auto kernel = kernel_of(site);
  if (kernel && kernel->height == 16 && kernel->width == 16) return {};
  return kernel_over(site, 31, 15);
}

Verdict large_kernel_m1(const Site& site) { return kernel_over(site, 29, 13); }

Verdict batched_weight_at_run_time(const Site& site) {
  const TensorType* x = site.type("x");
  return when(x != nullptr && rank(*x) > 0 && extent((*x->dims)[0]) > 1 && !site.constant("weight"));
}

Verdict wide_max_pool(const Site& site) {
  const std::int64_t width = last_of(site, "kernel_sizes");
  if (width <= 8 || width == 32) return {};
  return fmt::format("width {}", width);
}

Verdict old_pool(const Site& site) {
  const auto sizes = site.ints("kernel_sizes"), strides = site.ints("strides");
  const auto over = [](const std::vector<std::int64_t>& values, std::int64_t most) {
    return std::any_of(values.begin(), values.end(), [&](std::int64_t v) { return v > most; });
  };
  return when(over(sizes, 13) || over(strides, 2));
}

Verdict old_upsample(const Site& site) {
  const auto factor = [&](const char* name) {
    const auto values = site.numbers(name);
    return values.empty() ? 2.0 : values.front();
  };
  return when(factor("scale_factor_height") != 2 || factor("scale_factor_width") != 2);
}

Verdict many_boxes(const Site& site) {
  const TensorType* boxes = site.type("boxes");
  if (boxes == nullptr || rank(*boxes) < 2) return {};
  const std::int64_t count = extent((*boxes->dims)[static_cast<std::size_t>(rank(*boxes)) - 2]);
  return count > 2048 ? Verdict(fmt::format("{} boxes", count)) : Verdict();
}

Verdict pads_with_value(const Site& site) {
  const auto values = site.numbers("constant_val");
  const std::string mode = site.text("mode");
  if (values.empty() || values.front() == 0 || (mode != "constant" && !mode.empty())) return {};
  return fmt::format("value {:g}", values.front());
}

Verdict pads_by_reflection(const Site& site) { return when(site.text("mode") == "reflect"); }

Verdict shrinks(const Site& site) {
  const TensorType* x = site.type("x");
  const TensorType* y = site.output();
  return when(x != nullptr && y != nullptr && elements(*y) < elements(*x));
}

Verdict old_flexible_norm(const Site& site) {
  const TensorType* x = site.type("x");
  const bool old = site.around().system.specification() < 8;
  return when(old && site.around().enumerated && x != nullptr && rank(*x) == 3);
}

// A scale with more than one entry along the reduced axis (the last of a linear weight, input channels of a convolution).
Verdict scales_by_block(const Site& site) {
  for (const char* parameter : {"weight", "y"}) {
    const Binding* weight = site.binding(parameter);
    auto* const* var = weight == nullptr ? nullptr : std::get_if<Var*>(weight);
    const Op* maker = var == nullptr ? nullptr : (*var)->producer;
    if (maker == nullptr || maker->type.find("blockwise") == std::string::npos) continue;
    const TensorType* scale = Site(*maker, site.around()).type("scale");
    if (scale == nullptr || rank(*scale) < 2) continue;
    const bool transposed = site.is("matmul") && !site.flag("transpose_y");
    const std::int64_t blocks = at({extent((*scale->dims)[transposed ? 0 : 1])}, 0, 1);
    if (blocks > 1) return fmt::format("{} blocks", blocks);
  }
  return {};
}

}  // namespace tl::apple
