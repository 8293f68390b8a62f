#include <algorithm>
#include <array>
#include <cstring>

#include "base/f16.hpp"
#include "cpu/kernel.hpp"
#include "cpu/parallel.hpp"

namespace tl::cpu {
namespace {

// What is read element by element, or again and again.
struct Operand {
  Tensor constant;
  std::size_t input = 0;
  bool single = false;

  const std::byte* data(const KernelArgs& args) const noexcept {
    return constant.defined() ? constant.data() : args.inputs[input];
  }
};

// False unless the argument is a single element or has the elements of the result.
bool take(const KernelRequest& request, std::string_view param, Kernel& kernel, Operand& operand) {
  const std::int64_t count = element_count(request.shape(param));
  operand.single = count == 1;
  if (count != 1 && count != element_count(request.out_shape())) return false;
  operand.constant = request.constant(param);
  if (operand.constant.defined()) return true;
  if (request.variable(param) == nullptr) return false;
  operand.input = kernel.inputs.size();
  kernel.inputs.push_back(request.variable(param));
  return true;
}

template <class Body>
void for_parts(const KernelArgs& args, std::size_t count, std::size_t threads, const Body& body) noexcept {
  const std::size_t tasks = count < 2 * parallel_elements ? 1 : threads * 2;
  args.pool->parallel(tasks, [&](std::size_t task, std::size_t) { body(count * task / tasks, count * (task + 1) / tasks); });
}

// x and y of a type, one of them perhaps a single element.
using Run = void (*)(const void* x, bool x_single, const void* y, bool y_single, bool* out, std::size_t count);

template <class T, class Formula>
void run_as(const void* x, bool x_single, const void* y, bool y_single, bool* out, std::size_t count) noexcept {
  const Formula formula;
  const auto* a = static_cast<const T*>(x);
  const auto* b = static_cast<const T*>(y);
  if (x_single) {
    for (std::size_t i = 0; i < count; ++i) out[i] = formula(*a, b[y_single ? 0 : i]);
  } else if (y_single) {
    for (std::size_t i = 0; i < count; ++i) out[i] = formula(a[i], *b);
  } else {
    for (std::size_t i = 0; i < count; ++i) out[i] = formula(a[i], b[i]);
  }
}

struct Row {
  std::string_view op;
  Run floats, words, bytes;
};

#define TL_COMPARISON(id, dtypes, formula)     \
  struct id##_formula {                        \
    template <class T>                         \
    bool operator()(T x, T y) const noexcept { \
      return formula;                          \
    }                                          \
  };
#include "op/comparison.inc"
#undef TL_COMPARISON

constexpr std::array comparisons = {
#define TL_COMPARISON(id, dtypes, formula) \
  Row{#id, &run_as<float, id##_formula>, &run_as<std::int32_t, id##_formula>, &run_as<std::uint8_t, id##_formula>},
#include "op/comparison.inc"
#undef TL_COMPARISON
};

class Compare final : public Kernel {
 public:
  static std::unique_ptr<Kernel> make(const KernelRequest& request) {
    const DType dtype = request.view.dtype("x");
    if (request.view.dtype("y") != dtype || element_count(request.out_shape()) == 0) return nullptr;
    const auto* row =
        std::find_if(comparisons.begin(), comparisons.end(), [&](const Row& r) { return r.op == request.op.type; });
    auto kernel = std::make_unique<Compare>();
    kernel->half_ = dtype == DType::f16;
    if (kernel->half_ || dtype == DType::f32) {
      kernel->run_ = row->floats;
    } else if (dtype == DType::i32) {
      kernel->run_ = row->words;
    } else if (dtype == DType::boolean || dtype == DType::u8) {
      kernel->run_ = row->bytes;
    } else {
      return nullptr;
    }
    kernel->element_ = uz(bits(dtype)) / 8;
    kernel->count_ = uz(element_count(request.out_shape()));
    kernel->threads_ = request.threads;
    if (!take(request, "x", *kernel, kernel->x_) || !take(request, "y", *kernel, kernel->y_)) return nullptr;
    return kernel;
  }

  std::string_view name() const noexcept override { return "compare"; }

  Status run(const KernelArgs& args) const noexcept override {
    auto* out = reinterpret_cast<bool*>(args.outputs[0]);
    for_parts(args, count_, threads_, [&](std::size_t first, std::size_t last) {
      if (half_) return halves(args, first, last, out);
      run_(at(x_, args, first), x_.single, at(y_, args, first), y_.single, out + first, last - first);
    });
    return {};
  }

 private:
  const std::byte* at(const Operand& operand, const KernelArgs& args, std::size_t i) const noexcept {
    return operand.data(args) + (operand.single ? 0 : i * element_);
  }
  void halves(const KernelArgs& args, std::size_t first, std::size_t last, bool* out) const noexcept {
    constexpr std::size_t block = 256;
    std::array<float, block> x, y;
    for (; first < last; first += block) {
      const std::size_t count = std::min(block, last - first);
      f16_to_f32(reinterpret_cast<const f16*>(at(x_, args, first)), x.data(), x_.single ? 1 : count);
      f16_to_f32(reinterpret_cast<const f16*>(at(y_, args, first)), y.data(), y_.single ? 1 : count);
      run_(x.data(), x_.single, y.data(), y_.single, out + first, count);
    }
  }

  Run run_ = nullptr;
  bool half_ = false;
  std::size_t element_ = 1, count_ = 0, threads_ = 1;
  Operand x_, y_;
};

// Elements of a or b, whatever they are.
class Select final : public Kernel {
 public:
  static std::unique_ptr<Kernel> make(const KernelRequest& request) {
    const DType dtype = request.view.dtype("a");
    if (element_count(request.out_shape()) == 0 || bits(dtype) < 8) return nullptr;
    auto kernel = std::make_unique<Select>();
    kernel->element_ = uz(bits(dtype)) / 8;
    kernel->count_ = uz(element_count(request.out_shape()));
    kernel->threads_ = request.threads;
    const bool taken = take(request, "cond", *kernel, kernel->cond_) && take(request, "a", *kernel, kernel->a_) &&
                       take(request, "b", *kernel, kernel->b_);
    return taken ? std::move(kernel) : nullptr;
  }

  std::string_view name() const noexcept override { return "select"; }

  Status run(const KernelArgs& args) const noexcept override {
    for_parts(args, count_, threads_, [&](std::size_t first, std::size_t last) {
      switch (element_) {
        case 1: return choose<std::uint8_t>(args, first, last);
        case 2: return choose<std::uint16_t>(args, first, last);
        case 4: return choose<std::uint32_t>(args, first, last);
        default: return choose<std::uint64_t>(args, first, last);
      }
    });
    return {};
  }

 private:
  template <class T>
  void choose(const KernelArgs& args, std::size_t first, std::size_t last) const noexcept {
    const auto* cond = reinterpret_cast<const bool*>(cond_.data(args));
    const auto* a = reinterpret_cast<const T*>(a_.data(args));
    const auto* b = reinterpret_cast<const T*>(b_.data(args));
    auto* out = reinterpret_cast<T*>(args.outputs[0]);
    if (cond_.single || a_.single || b_.single) {
      for (std::size_t i = first; i < last; ++i)
        out[i] = cond[cond_.single ? 0 : i] ? a[a_.single ? 0 : i] : b[b_.single ? 0 : i];
    } else {
      for (std::size_t i = first; i < last; ++i) {
        const T x = a[i], y = b[i];
        out[i] = cond[i] ? x : y;
      }
    }
  }

  std::size_t element_ = 1, count_ = 0, threads_ = 1;
  Operand cond_, a_, b_;
};

}  // namespace

std::unique_ptr<Kernel> compare_kernel(const KernelRequest& request) { return Compare::make(request); }
std::unique_ptr<Kernel> select_kernel(const KernelRequest& request) { return Select::make(request); }

}  // namespace tl::cpu
