// Conditions on the types, shapes and sizes around an op.
#include <algorithm>

#include "apple/rules.hpp"
#include "base/error.hpp"

namespace tl::apple {

using namespace ir;

namespace {

template <class Test>
const TensorType* find(const Site& site, Test&& test) {
  for (const TensorType* type : site.runtime()) {
    if (test(*type)) return type;
  }
  return nullptr;
}

Verdict rank_over(const Site& site, std::int64_t most) {
  const TensorType* type = find(site, [&](const TensorType& t) { return rank(t) > most; });
  return type == nullptr ? Verdict() : Verdict(fmt::format("{} axes", rank(*type)));
}

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

}  // namespace

Verdict weights_too_large(const Site& site) {
  const std::uint64_t bytes = site.around().weight_bytes;
  if (bytes <= 2 * gib) return {};
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / static_cast<double>(gib));
}

Verdict not_a_tensor(const Site& site) {
  const auto odd = [](const Type& type) {
    if (type.as<StateType>() != nullptr) return false;
    const TensorType* tensor = type.as<TensorType>();
    return tensor == nullptr || tensor->dtype == DType::string;
  };
  for (const auto& output : site.op().outputs) {
    if (odd(output->type)) return "";
  }
  for (const Argument& argument : site.op().inputs) {
    for (const Binding& binding : argument.bindings) {
      if (at_run_time(binding) && odd(type_of(binding))) return "";
    }
  }
  return {};
}

Verdict has_int32(const Site& site) {
  const TensorType* type = find(site, [&](const TensorType& t) { return is_integer(t.dtype) && bits(t.dtype) >= 32; });
  return type == nullptr ? Verdict() : Verdict(to_string(Type(*type)));
}

Verdict has_float32(const Site& site) {
  if (site.is("cast")) return {};
  const TensorType* type = find(site, [&](const TensorType& t) { return site.dtype(t) == DType::f32; });
  return type == nullptr ? Verdict() : Verdict(to_string(Type(*type)));
}

Verdict has_other_type(const Site& site) {
  const TensorType* type = find(site, [&](const TensorType& t) {
    const DType dtype = site.dtype(t);
    if (dtype == DType::f16 || dtype == DType::f32 || dtype == DType::boolean || dtype == DType::string) return false;
    return !is_integer(dtype) || is_sub_byte(dtype);
  });
  return type == nullptr ? Verdict() : Verdict(to_string(Type(*type)));
}

Verdict rank_over_5(const Site& site) { return rank_over(site, 5); }
Verdict rank_over_4(const Site& site) { return rank_over(site, 4); }

Verdict extent_over_65536(const Site& site) {
  const TensorType* type = find(site, [](const TensorType& t) {
    return t.dims && std::any_of(t.dims->begin(), t.dims->end(), [](Dim d) { return extent(d) > 65536; });
  });
  return type == nullptr ? Verdict() : Verdict(to_string(Type(*type)));
}

Verdict extent_over_16384(const Site& site) {
  const TensorType* type = find(site, [](const TensorType& t) {
    if (!t.dims) return false;
    for (std::size_t i = 0; i < t.dims->size(); ++i) {
      // Lower ranks lie along the last axes of (batch, channel, height, width).
      const bool outer = t.dims->size() >= 4 && i < 2;
      if (extent((*t.dims)[i]) > (outer ? 65536 : 16384)) return true;
    }
    return false;
  });
  return type == nullptr ? Verdict() : Verdict(to_string(Type(*type)));
}

Verdict long_inner_axis(const Site& site) {
  const TensorType* x = site.type("x");
  if (x == nullptr || rank(*x) < 1) return {};
  const std::size_t last = x->dims->size() - 1;
  const std::int64_t inner = extent((*x->dims)[site.flag("transpose_x") && last > 0 ? last - 1 : last]);
  constexpr std::int64_t most_bytes = 65536;
  if (inner * bits(site.dtype(*x)) / 8 <= most_bytes) return {};
  return fmt::format("{} elements", inner);
}

Verdict ranged_extent(const Site& site) {
  const Surroundings& around = site.around();
  if (!around.ranged || around.infrequent || around.flexible.count(&site.op()) == 0) return {};
  return "";
}

}  // namespace tl::apple
