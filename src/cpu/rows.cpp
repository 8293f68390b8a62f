#include "cpu/rows.hpp"

#include <algorithm>
#include <array>

#include "cpu/integer_fold.hpp"
#include "cpu/kernel.hpp"
#include "cpu/parallel.hpp"

namespace tl::cpu {
namespace {

struct FoldRow {
  std::string_view op;
  Fold kind;
};
constexpr std::array fold_rows = {FoldRow{"reduce_l1_norm", Fold::l1_norm}, FoldRow{"reduce_l2_norm", Fold::l2_norm},
                                  FoldRow{"reduce_log_sum", Fold::log_sum}, FoldRow{"reduce_log_sum_exp", Fold::log_sum_exp},
                                  FoldRow{"reduce_prod", Fold::prod},       FoldRow{"reduce_max", Fold::max},
                                  FoldRow{"reduce_mean", Fold::mean},       FoldRow{"reduce_min", Fold::min},
                                  FoldRow{"reduce_sum", Fold::sum},         FoldRow{"reduce_sum_square", Fold::sum_square}};

struct IntegerFoldRow {
  std::string_view op;
  IntegerFold kind;
};
constexpr std::array integer_fold_rows = {
    IntegerFoldRow{"reduce_l1_norm", IntegerFold::l1_norm}, IntegerFoldRow{"reduce_max", IntegerFold::max},
    IntegerFoldRow{"reduce_min", IntegerFold::min},         IntegerFoldRow{"reduce_prod", IntegerFold::prod},
    IntegerFoldRow{"reduce_sum", IntegerFold::sum},         IntegerFoldRow{"reduce_sum_square", IntegerFold::sum_square}};

// [outer][count][inner] when the reduced axes are neighbours, axes of one element aside.
struct Extents {
  std::size_t outer = 1, count = 1, inner = 1;
};

std::optional<Extents> extents_of(const Shape& shape, const std::vector<std::int64_t>& axes) {
  Extents e;
  int stage = 0;  // outer, count, inner
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const bool reduced =
        std::any_of(axes.begin(), axes.end(), [&](std::int64_t a) { return uz(a < 0 ? a + iz(shape.size()) : a) == i; });
    if (reduced && stage == 2) return std::nullopt;
    if (reduced) stage = 1;
    if (!reduced && stage == 1) stage = 2;
    (stage == 0 ? e.outer : stage == 1 ? e.count : e.inner) *= uz(shape[i]);
  }
  return e;
}

// Calls body(o, first, last) for the parts [first, last) of the inner axis of every outer index, as neighbouring ranges.
template <class Body>
void for_parts(ThreadPool& pool, const Extents& e, std::size_t wanted, Body&& body) {
  const std::size_t pieces = e.outer >= wanted ? 1 : std::clamp<std::size_t>(wanted, 1, (e.inner + 63) / 64);
  const std::size_t groups = std::min(e.outer, wanted);
  const std::size_t piece = (e.inner + pieces - 1) / pieces;
  pool.parallel(groups * pieces, [&](std::size_t task, std::size_t) {
    const std::size_t group = task / pieces;
    const std::size_t first = std::min(e.inner, task % pieces * piece);
    const std::size_t last = std::min(e.inner, first + piece);
    for (std::size_t o = e.outer * group / groups; o < e.outer * (group + 1) / groups; ++o) body(o, first, last);
  });
}

class FoldKernel final : public Kernel {
 public:
  FoldKernel(const KernelRequest& request, Fold kind, Storage storage, const Extents& extents)
      : kind_(kind), storage_(storage), extents_(extents), fold_(row_kernels().fold), threads_(request.threads) {
    inputs.push_back(request.variable("x"));
    small_ = extents.outer * extents.count * extents.inner < parallel_elements;
    by_rows_ = !small_ && extents.outer == 1 && extents.inner > 1 && extents.count >= 8 * row_blocks &&
               (kind == Fold::sum || kind == Fold::mean);
  }
  std::string_view name() const noexcept override { return "reduce"; }
  plan::Workspace workspace() const noexcept override {
    return {by_rows_ ? row_blocks * extents_.inner * sizeof(float) : 0, 0};
  }

  Status run(const KernelArgs& args) const noexcept override {
    if (by_rows_) {
      sum_rows(args);
      return {};
    }
    const std::size_t element = size_of(storage_);
    const Extents& e = extents_;
    for_parts(*args.pool, e, small_ ? 1 : threads_ * 2, [&](std::size_t o, std::size_t first, std::size_t last) {
      fold_({kind_, storage_, args.inputs[0] + o * e.count * e.inner * element, e.count, e.inner, first, last,
             args.outputs[0] + o * e.inner * element, storage_, e.count});
    });
    return {};
  }

 private:
  // Sums of blocks of rows, as many for any number of threads, then the sum of those: each thread reads the rows that it wrote.
  static constexpr std::size_t row_blocks = 8;
  void sum_rows(const KernelArgs& args) const noexcept {
    const auto [outer, count, inner] = extents_;
    auto* sums = reinterpret_cast<float*>(args.shared);
    args.pool->parallel(row_blocks, [&, count = count, inner = inner](std::size_t block, std::size_t) {
      const std::size_t first = count * block / row_blocks;
      const std::size_t rows = count * (block + 1) / row_blocks - first;
      fold_({Fold::sum, storage_, args.inputs[0] + first * inner * size_of(storage_), rows, inner, 0, inner,
             sums + block * inner, Storage::f32, rows});
    });
    fold_({kind_, Storage::f32, sums, row_blocks, inner, 0, inner, args.outputs[0], storage_, count});
  }

  Fold kind_;
  Storage storage_;
  Extents extents_;
  void (*fold_)(const FoldBlock&);
  std::size_t threads_;
  bool small_ = false, by_rows_ = false;
};

class IntegerFoldKernel final : public Kernel {
 public:
  IntegerFoldKernel(const KernelRequest& request, IntegerFold kind, const Extents& extents)
      : kind_(kind), extents_(extents), fold_(integer_fold_kernel()) {
    inputs.push_back(request.variable("x"));
    wanted_ = extents.outer * extents.count * extents.inner < parallel_elements ? 1 : request.threads * 2;
  }
  std::string_view name() const noexcept override { return "reduce_int32"; }

  Status run(const KernelArgs& args) const noexcept override {
    const auto* x = reinterpret_cast<const std::int32_t*>(args.inputs[0]);
    auto* out = reinterpret_cast<std::int32_t*>(args.outputs[0]);
    const Extents& e = extents_;
    for_parts(*args.pool, e, wanted_, [&](std::size_t o, std::size_t first, std::size_t last) {
      fold_({kind_, x + o * e.count * e.inner, e.count, e.inner, first, last, out + o * e.inner});
    });
    return {};
  }

 private:
  IntegerFold kind_;
  Extents extents_;
  void (*fold_)(const IntegerBlock&);
  std::size_t wanted_;
};

// softmax along an axis that others follow.
class ColumnSoftmax final : public Kernel {
 public:
  ColumnSoftmax(const KernelRequest& request, Storage storage, const Extents& extents)
      : storage_(storage), extents_(extents), columns_(row_kernels().softmax_columns), threads_(request.threads) {
    inputs.push_back(request.variable("x"));
  }
  std::string_view name() const noexcept override { return "softmax"; }

  Status run(const KernelArgs& args) const noexcept override {
    const Extents& e = extents_;
    const bool small = e.outer * e.count * e.inner < parallel_elements;
    const std::size_t pieces = small ? 1 : std::min(threads_ * 2, (e.inner + 63) / 64);
    const std::size_t step = e.count * e.inner * size_of(storage_);
    args.pool->parallel(e.outer * pieces, [&](std::size_t task, std::size_t) {
      const std::size_t o = task / pieces, piece = task % pieces;
      columns_({Fold::sum, storage_, args.inputs[0] + o * step, e.count, e.inner, e.inner * piece / pieces,
                e.inner * (piece + 1) / pieces, args.outputs[0] + o * step, storage_, e.count});
    });
    return {};
  }

 private:
  Storage storage_;
  Extents extents_;
  void (*columns_)(const FoldBlock&);
  std::size_t threads_;
};

// softmax and layer_norm along the last axes.
class RowKernel final : public Kernel {
 public:
  RowKernel(const KernelRequest& request, Storage storage, std::size_t length, std::string_view name,
            void (*rows)(const RowBlock&))
      : storage_(storage), length_(length), name_(name), rows_(rows), threads_(request.threads) {
    inputs.push_back(request.variable("x"));
    count_ = uz(element_count(request.out_shape())) / length;
    scratch_ = scratch_floats(length) * sizeof(float);
    for (const auto& [param, target] : {std::pair("gamma", &gamma_), std::pair("beta", &beta_)}) {
      if (request.op.def->param(param) == nullptr) continue;
      const Tensor value = request.constant(param);
      if (!value.defined()) continue;
      const Tensor wide = value.cast(DType::f32);
      target->assign(wide.values<float>().begin(), wide.values<float>().end());
    }
    if (request.op.def->param("epsilon") != nullptr) epsilon_ = static_cast<float>(request.view.number("epsilon"));
  }

  std::string_view name() const noexcept override { return name_; }
  plan::Workspace workspace() const noexcept override { return {0, scratch_}; }
  bool can_share(std::size_t) const noexcept override { return true; }

  Status run(const KernelArgs& args) const noexcept override {
    const std::size_t beside = length_ <= longest_beside ? most_beside : 1;
    const std::size_t groups = (count_ + beside - 1) / beside;
    const std::size_t tasks = count_ * length_ < parallel_elements ? 1 : std::min(groups, threads_ * 4);
    args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
      const std::size_t first = groups * task / tasks * beside;
      const std::size_t last = std::min(count_, groups * (task + 1) / tasks * beside);
      const std::size_t offset = first * length_ * size_of(storage_);
      rows_({storage_, args.inputs[0] + offset, args.outputs[0] + offset, last - first, length_,
             gamma_.empty() ? nullptr : gamma_.data(), beta_.empty() ? nullptr : beta_.data(), epsilon_,
             reinterpret_cast<float*>(args.own(worker))});
    });
    return {};
  }

 private:
  Storage storage_;
  std::size_t length_, count_ = 0, scratch_ = 0;
  std::string_view name_;
  void (*rows_)(const RowBlock&);
  std::size_t threads_;
  std::vector<float> gamma_, beta_;
  float epsilon_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> reduce_kernel(const KernelRequest& request) {
  const DType dtype = request.view.dtype("x");
  const auto storage = storage_of(dtype);
  if ((!storage && dtype != DType::i32) || request.variable("x") == nullptr) return nullptr;
  const Shape shape = request.shape("x");
  std::vector<std::int64_t> axes;
  if (request.view.has("axes")) axes = request.view.ints("axes");
  if (!request.view.has("axes")) {
    for (std::size_t i = 0; i < shape.size(); ++i) axes.push_back(iz(i));
  }
  const auto extents = extents_of(shape, axes);
  if (!extents || element_count(shape) == 0) return nullptr;
  if (!storage) {
    for (const IntegerFoldRow& row : integer_fold_rows) {
      if (row.op == request.op.type) return std::make_unique<IntegerFoldKernel>(request, row.kind, *extents);
    }
    return nullptr;
  }
  for (const FoldRow& row : fold_rows) {
    if (row.op == request.op.type) return std::make_unique<FoldKernel>(request, row.kind, *storage, *extents);
  }
  return nullptr;
}

std::unique_ptr<Kernel> softmax_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  const Shape shape = request.shape("x");
  if (!storage || request.variable("x") == nullptr || element_count(shape) == 0 || shape.empty()) return nullptr;
  const auto axis = uz(request.view.axis("axis", iz(shape.size())));
  Extents extents{1, uz(shape[axis]), 1};
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i != axis) (i < axis ? extents.outer : extents.inner) *= uz(shape[i]);
  }
  if (extents.inner != 1) return std::make_unique<ColumnSoftmax>(request, *storage, extents);
  return std::make_unique<RowKernel>(request, *storage, uz(shape[axis]), "softmax", row_kernels().softmax);
}

// Over the last three axes.
std::unique_ptr<Kernel> l2_norm_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  const Shape shape = request.shape("x");
  if (!storage || request.variable("x") == nullptr || element_count(shape) == 0) return nullptr;
  const std::size_t rank = shape.size();
  return std::make_unique<RowKernel>(request, *storage, uz(shape[rank - 1] * shape[rank - 2] * shape[rank - 3]), "l2_norm",
                                     row_kernels().l2_norm);
}

std::unique_ptr<Kernel> layer_norm_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  const Shape shape = request.shape("x");
  if (!storage || request.variable("x") == nullptr || element_count(shape) == 0) return nullptr;
  for (const char* param : {"gamma", "beta"}) {
    if (request.op.argument(param) != nullptr && !request.constant(param).defined()) return nullptr;
  }
  std::vector<bool> inside(shape.size(), !request.view.has("axes"));
  if (request.view.has("axes")) {
    for (const std::int64_t axis : request.view.ints("axes")) inside[uz(axis < 0 ? axis + iz(shape.size()) : axis)] = true;
  }
  std::size_t length = 1;
  std::size_t axis = shape.size();
  while (axis > 0 && inside[axis - 1]) length *= uz(shape[--axis]);
  if (std::find(inside.begin(), inside.begin() + iz(axis), true) != inside.begin() + iz(axis)) return nullptr;
  return std::make_unique<RowKernel>(request, *storage, length, "layer_norm", row_kernels().layer_norm);
}

}  // namespace tl::cpu
