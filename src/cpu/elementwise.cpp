#include "cpu/elementwise.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/elements.hpp"
#include "cpu/kernel.hpp"
#include "cpu/parallel.hpp"

namespace tl::cpu {
namespace {

// Two operands broadcast against each other, axes merged as far as both allow. The last axis has steps 0 or 1.
struct Layout {
  std::vector<std::size_t> extents, x_steps, y_steps;
};

Layout layout_of(const Shape& out, const Shape& x, const Shape& y) {
  Layout l;
  std::size_t x_size = 1;
  std::size_t y_size = 1;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t axis = out.size() - 1 - i;
    const std::size_t extent = uz(out[axis]);
    if (extent == 1) continue;
    const bool in_x = i < x.size() && x[x.size() - 1 - i] != 1;
    const bool in_y = i < y.size() && y[y.size() - 1 - i] != 1;
    const std::size_t xs = in_x ? x_size : 0;
    const std::size_t ys = in_y ? y_size : 0;
    if (!l.extents.empty() && xs == l.x_steps.front() * l.extents.front() && ys == l.y_steps.front() * l.extents.front()) {
      l.extents.front() *= extent;
    } else {
      l.extents.insert(l.extents.begin(), extent);
      l.x_steps.insert(l.x_steps.begin(), xs);
      l.y_steps.insert(l.y_steps.begin(), ys);
    }
    if (in_x) x_size *= extent;
    if (in_y) y_size *= extent;
  }
  if (l.extents.empty()) {
    l.extents = {1};
    l.x_steps = l.y_steps = {1};
  }
  return l;
}

struct BinaryRow {
  std::string_view op;
  Binary kind;
};
constexpr std::array binary_rows = {BinaryRow{"add", Binary::add},         BinaryRow{"sub", Binary::sub},
                                    BinaryRow{"mul", Binary::mul},         BinaryRow{"real_div", Binary::real_div},
                                    BinaryRow{"maximum", Binary::maximum}, BinaryRow{"minimum", Binary::minimum},
                                    BinaryRow{"mod", Binary::mod},         BinaryRow{"pow", Binary::pow}};

class BinaryKernel final : public Kernel {
 public:
  BinaryKernel(const KernelRequest& request, Binary kind, Storage storage, void (*run)(const BinaryRun&))
      : kind_(kind),
        storage_(storage),
        run_(run),
        layout_(layout_of(request.out_shape(), request.shape("x"), request.shape("y"))) {
    const std::array<const char*, 2> params = {"x", "y"};
    const std::size_t count = uz(element_count(request.out_shape()));
    for (std::size_t i = 0; i < 2; ++i) {
      if (const ir::Var* var = request.variable(params[i])) {
        slot_[i] = inputs.size();
        inputs.push_back(var);
        shares_.push_back(uz(element_count(request.shape(params[i]))) == count);
      } else {
        constants_[i] = request.constant(params[i]);
      }
    }
    if (run == elementwise_kernels().binary) join_rows();
    rows_ = 1;
    for (std::size_t i = 0; i + 1 < layout_.extents.size(); ++i) rows_ *= layout_.extents[i];
    const std::size_t row = layout_.extents.back();
    tasks_ = count < parallel_elements || request.threads == 1 ? 1 : request.threads * 2;
    if (rows_ < tasks_ * 2 && tasks_ > 1) {
      pieces_ = tasks_;
      const std::size_t grain = std::max(x_period_, y_period_) == 0 ? 32 : std::max(x_period_, y_period_);
      piece_ = (row / tasks_ + grain - 1) / grain * grain;
      if (piece_ == 0) pieces_ = 1;
    }
  }

  std::string_view name() const noexcept override { return "elementwise"; }
  bool can_share(std::size_t input) const noexcept override { return shares_[input]; }

  Status run(const KernelArgs& args) const noexcept override {
    std::array<const std::byte*, 2> operands{};
    for (std::size_t i = 0; i < 2; ++i) operands[i] = constants_[i].defined() ? constants_[i].data() : args.inputs[slot_[i]];
    const std::size_t row = layout_.extents.back();
    if (pieces_ > 1) {
      args.pool->parallel(pieces_, [&](std::size_t p, std::size_t) {
        const std::size_t from = std::min(row, p * piece_);
        const std::size_t to = p + 1 == pieces_ ? row : std::min(row, from + piece_);
        rows(operands, args.outputs[0], 0, rows_, from, to);
      });
    } else {
      args.pool->parallel(tasks_, [&](std::size_t t, std::size_t) {
        rows(operands, args.outputs[0], rows_ * t / tasks_, rows_ * (t + 1) / tasks_, 0, row);
      });
    }
    return {};
  }

 private:
  // Rows over which one operand goes on and the other begins anew become one.
  void join_rows() {
    auto& [extents, x_steps, y_steps] = layout_;
    const std::size_t row = extents.back();
    if (extents.size() < 2 || row > longest_period || x_steps.back() != 1 || y_steps.back() != 1) return;
    const std::size_t axis = extents.size() - 2;
    if (x_steps[axis] == row && y_steps[axis] == 0) {
      y_period_ = row;
    } else if (x_steps[axis] == 0 && y_steps[axis] == row) {
      x_period_ = row;
    } else {
      return;
    }
    extents[axis] *= row;
    x_steps[axis] = y_steps[axis] = 1;
    for (auto* list : {&extents, &x_steps, &y_steps}) list->pop_back();
  }

  // Elements [from, to) of rows [first, last), `from` the start of a period.
  void rows(const std::array<const std::byte*, 2>& operands, std::byte* out, std::size_t first, std::size_t last,
            std::size_t from, std::size_t to) const noexcept {
    const std::size_t element = size_of(storage_);
    const std::size_t outer = layout_.extents.size() - 1;
    const std::size_t x_step = layout_.x_steps.back();
    const std::size_t y_step = layout_.y_steps.back();
    for (std::size_t r = first; r < last; ++r) {
      std::size_t rest = r;
      std::size_t x = x_period_ == 0 ? from * x_step : 0;
      std::size_t y = y_period_ == 0 ? from * y_step : 0;
      for (std::size_t axis = outer; axis-- > 0;) {
        const std::size_t position = rest % layout_.extents[axis];
        rest /= layout_.extents[axis];
        x += position * layout_.x_steps[axis];
        y += position * layout_.y_steps[axis];
      }
      run_({kind_, storage_, operands[0] + x * element, operands[1] + y * element,
            out + (r * layout_.extents.back() + from) * element, to - from, x_step, y_step, x_period_, y_period_});
    }
  }

  Binary kind_;
  Storage storage_;
  void (*run_)(const BinaryRun&);
  Layout layout_;
  std::array<Tensor, 2> constants_;
  std::array<std::size_t, 2> slot_{};
  std::vector<bool> shares_;
  std::size_t rows_ = 1, tasks_ = 1, pieces_ = 1, piece_ = 0;
  std::size_t x_period_ = 0, y_period_ = 0;
};

class UnaryKernel final : public Kernel {
 public:
  UnaryKernel(const KernelRequest& request, const UnaryRun& prototype)
      : prototype_(prototype), run_(elementwise_kernels().unary) {
    inputs.push_back(request.variable("x"));
    prototype_.count = uz(element_count(request.out_shape()));
    tasks_ = prototype_.count < parallel_elements ? 1 : request.threads * 2;
  }

  std::string_view name() const noexcept override { return "elementwise"; }
  bool can_share(std::size_t) const noexcept override { return prototype_.from == prototype_.to; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t count = prototype_.count;
    const std::size_t piece = (count / tasks_ + 31) / 32 * 32;
    args.pool->parallel(tasks_, [&](std::size_t t, std::size_t) {
      const std::size_t from = std::min(count, t * piece);
      const std::size_t to = t + 1 == tasks_ ? count : std::min(count, from + piece);
      UnaryRun run = prototype_;
      run.x = args.inputs[0] + from * size_of(run.from);
      run.out = args.outputs[0] + from * size_of(run.to);
      run.count = to - from;
      run_(run);
    });
    return {};
  }

 private:
  UnaryRun prototype_;
  void (*run_)(const UnaryRun&);
  std::size_t tasks_ = 1;
};

// Between types of whole bytes.
class CastKernel final : public Kernel {
 public:
  explicit CastKernel(const KernelRequest& request)
      : from_(request.view.dtype("x")),
        to_(request.op.outputs[0]->type.tensor().dtype),
        count_(uz(element_count(request.out_shape()))),
        tasks_(count_ < parallel_elements ? 1 : request.threads * 2) {
    inputs.push_back(request.variable("x"));
  }

  std::string_view name() const noexcept override { return "cast"; }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(tasks_, [&](std::size_t t, std::size_t) {
      const std::size_t from = count_ * t / tasks_, to = count_ * (t + 1) / tasks_;
      convert_elements(from_, args.inputs[0] + from * uz(bits(from_) / 8), to_, args.outputs[0] + from * uz(bits(to_) / 8),
                       to - from);
    });
    return {};
  }

 private:
  DType from_, to_;
  std::size_t count_, tasks_;
};

// One value everywhere.
class FillKernel final : public Kernel {
 public:
  FillKernel(const KernelRequest& request, Tensor value)
      : value_(std::move(value)),
        count_(uz(element_count(request.out_shape()))),
        tasks_(count_ < parallel_elements ? 1 : request.threads * 2) {}

  std::string_view name() const noexcept override { return "fill"; }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(tasks_, [&](std::size_t t, std::size_t) {
      const std::size_t from = count_ * t / tasks_, to = count_ * (t + 1) / tasks_;
      switch (value_.bytes()) {
        case 1: fill<std::uint8_t>(args.outputs[0], from, to); break;
        case 2: fill<std::uint16_t>(args.outputs[0], from, to); break;
        default: fill<std::uint32_t>(args.outputs[0], from, to); break;
      }
    });
    return {};
  }

 private:
  // A block by elements, the rest as copies of it.
  template <class T>
  void fill(std::byte* out, std::size_t from, std::size_t to) const noexcept {
    constexpr std::size_t block = 4096 / sizeof(T);
    T* const first = reinterpret_cast<T*>(out) + from;
    T* const last = reinterpret_cast<T*>(out) + to;
    T* const filled = first + std::min(block, to - from);
    std::fill(first, filled, *reinterpret_cast<const T*>(value_.data()));
    for (T* at = filled; at < last; at += block)
      std::memcpy(at, first, std::min(block, static_cast<std::size_t>(last - at)) * sizeof(T));
  }

  Tensor value_;
  std::size_t count_, tasks_;
};

struct UnaryRow {
  std::string_view op;
  Unary kind;
  Activation activation = Activation::clamp;
  const char* alpha = nullptr;  // the parameters that give alpha and beta
  const char* beta = nullptr;
};
constexpr std::array unary_rows = {
    UnaryRow{"abs", Unary::abs},
    UnaryRow{"acos", Unary::acos},
    UnaryRow{"asin", Unary::asin},
    UnaryRow{"atanh", Unary::atanh},
    UnaryRow{"ceil", Unary::ceil},
    UnaryRow{"clip", Unary::activation, Activation::clamp, "alpha", "beta"},
    UnaryRow{"cosh", Unary::cosh},
    UnaryRow{"elu", Unary::activation, Activation::elu, "alpha"},
    UnaryRow{"erf", Unary::erf},
    UnaryRow{"exp", Unary::exp},
    UnaryRow{"exp2", Unary::exp2},
    UnaryRow{"floor", Unary::floor},
    UnaryRow{"inverse", Unary::inverse, Activation::clamp, "epsilon"},
    UnaryRow{"leaky_relu", Unary::activation, Activation::leaky_relu, "alpha"},
    UnaryRow{"linear_activation", Unary::linear, Activation::clamp, "alpha", "beta"},
    UnaryRow{"log", Unary::log, Activation::clamp, "epsilon"},
    UnaryRow{"round", Unary::round},
    UnaryRow{"rsqrt", Unary::rsqrt, Activation::clamp, "epsilon"},
    UnaryRow{"scaled_tanh", Unary::scaled_tanh, Activation::clamp, "alpha", "beta"},
    UnaryRow{"sigmoid", Unary::activation, Activation::sigmoid},
    UnaryRow{"sigmoid_hard", Unary::activation, Activation::hard_sigmoid, "alpha", "beta"},
    UnaryRow{"sign", Unary::sign},
    UnaryRow{"silu", Unary::activation, Activation::silu},
    UnaryRow{"sinh", Unary::sinh},
    UnaryRow{"softplus", Unary::softplus},
    UnaryRow{"softsign", Unary::softsign},
    UnaryRow{"sqrt", Unary::sqrt},
    UnaryRow{"square", Unary::square},
    UnaryRow{"tanh", Unary::activation, Activation::tanh},
    UnaryRow{"threshold", Unary::threshold, Activation::clamp, "alpha"},
    UnaryRow{"thresholded_relu", Unary::activation, Activation::thresholded_relu, "alpha"},
    UnaryRow{"tl.hard_swish", Unary::activation, Activation::hard_swish, "alpha", "beta"},
};

bool empty(const KernelRequest& request) { return element_count(request.out_shape()) == 0; }

}  // namespace

std::unique_ptr<Kernel> binary_kernel(const KernelRequest& request) {
  const DType dtype = request.view.dtype("x");
  const auto storage = storage_of(dtype);
  const bool constants = request.variable("x") == nullptr && request.variable("y") == nullptr;
  if ((!storage && dtype != DType::i32) || empty(request) || constants) return nullptr;
  for (const BinaryRow& row : binary_rows) {
    if (row.op != request.op.type) continue;
    if (storage) return std::make_unique<BinaryKernel>(request, row.kind, *storage, elementwise_kernels().binary);
    if (row.kind == Binary::real_div || row.kind == Binary::mod || row.kind == Binary::pow) return nullptr;
    // As wide as a float.
    return std::make_unique<BinaryKernel>(request, row.kind, Storage::f32, elementwise_kernels().integers);
  }
  return nullptr;
}

std::unique_ptr<Kernel> cast_kernel(const KernelRequest& request) {
  const DType x = request.view.dtype("x"), out = request.op.outputs[0]->type.tensor().dtype;
  const auto from = storage_of(x), to = storage_of(out);
  if (x == out || request.variable("x") == nullptr || empty(request)) return nullptr;
  if (!from || !to) {
    const auto apart = [](DType dtype) { return dtype == DType::string || is_sub_byte(dtype); };
    return apart(x) || apart(out) ? nullptr : std::make_unique<CastKernel>(request);
  }
  return std::make_unique<UnaryKernel>(request, UnaryRun{Unary::activation, *from, *to, nullptr, nullptr, 0, {}});
}

std::unique_ptr<Kernel> fill_kernel(const KernelRequest& request) {
  const Tensor value = request.constant("value");
  if (!value.defined() || value.size() != 1 || value.bytes() > sizeof(std::uint32_t) || is_sub_byte(value.dtype()) ||
      value.dtype() == DType::string || value.dtype() != request.op.outputs[0]->type.tensor().dtype || empty(request))
    return nullptr;
  return std::make_unique<FillKernel>(request, value);
}

std::unique_ptr<Kernel> unary_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  if (!storage || request.variable("x") == nullptr || empty(request)) return nullptr;
  UnaryRun run{Unary::activation, *storage, *storage, nullptr, nullptr, 0, {}};
  if (request.op.type == "relu" || request.op.type == "relu6") {
    run.activation = {Activation::clamp, 0.0F, request.op.type == "relu" ? __builtin_inff() : 6.0F};
    return std::make_unique<UnaryKernel>(request, run);
  }
  if (request.op.type == "gelu") {
    const std::string mode = request.view.text("mode");
    run.activation.kind = mode == "EXACT"                ? Activation::gelu
                          : mode == "TANH_APPROXIMATION" ? Activation::gelu_tanh
                                                         : Activation::gelu_sigmoid;
    return std::make_unique<UnaryKernel>(request, run);
  }
  for (const UnaryRow& row : unary_rows) {
    if (row.op != request.op.type) continue;
    run.kind = row.kind;
    run.activation.kind = row.activation;
    if (row.alpha != nullptr) run.activation.alpha = static_cast<float>(request.view.number(row.alpha));
    if (row.beta != nullptr) run.activation.beta = static_cast<float>(request.view.number(row.beta));
    if (request.op.argument("threshold") != nullptr)
      run.activation.threshold = static_cast<float>(request.view.number("threshold"));
    return std::make_unique<UnaryKernel>(request, run);
  }
  return nullptr;
}

}  // namespace tl::cpu
