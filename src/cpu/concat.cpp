#include <algorithm>
#include <cstring>

#include "cpu/kernel.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t parallel_bytes = 131072;

// Every row of the result is a piece of each value, one behind the other.
class Concat final : public Kernel {
 public:
  explicit Concat(const KernelRequest& request) : threads_(request.threads) {
    const Shape out = request.out_shape();
    const auto rank = static_cast<std::int64_t>(out.size());
    const bool scalars = request.view.rank("values") == 0;
    const std::size_t axis = scalars ? 0 : uz(request.view.axis("axis", rank));
    const bool interleave = request.view.boolean("interleave");
    std::size_t inner = uz(bits(request.op.outputs[0]->type.tensor().dtype)) / 8;
    for (std::size_t i = axis + 1; i < out.size(); ++i) inner *= uz(out[i]);
    for (std::size_t i = 0; i < axis; ++i) rows_ *= uz(out[i]);
    const std::vector<ir::Binding>& bindings = request.op.argument("values")->bindings;
    if (interleave && !scalars) rows_ *= uz(out[axis]) / bindings.size();
    for (const ir::Binding& binding : bindings) {
      const Shape shape = *ir::shape_of(ir::type_of(binding).tensor());
      Piece piece{inner * (scalars || interleave ? 1 : uz(shape[axis])), {}};
      if (const ir::ConstantPtr constant = ir::constant_of(binding)) {
        piece.constant = constant->value.tensor();
      } else {
        inputs.push_back(std::get<ir::Var*>(binding));
      }
      row_bytes_ += piece.bytes;
      pieces_.push_back(std::move(piece));
    }
  }

  std::string_view name() const noexcept override { return "concat"; }

  Status run(const KernelArgs& args) const noexcept override {
    if (rows_ * row_bytes_ < parallel_bytes) {
      copy(args, 0, rows_, 0, 1);
    } else if (rows_ >= 2 * threads_) {
      const std::size_t tasks = 2 * threads_;
      args.pool->parallel(
          tasks, [&](std::size_t task, std::size_t) { copy(args, rows_ * task / tasks, rows_ * (task + 1) / tasks, 0, 1); });
    } else {
      args.pool->parallel(threads_, [&](std::size_t part, std::size_t) { copy(args, 0, rows_, part, threads_); });
    }
    return {};
  }

 private:
  struct Piece {
    std::size_t bytes;  // in a row
    Tensor constant;
  };

  // Rows [first, last), of each piece the part `part` of `parts`.
  void copy(const KernelArgs& args, std::size_t first, std::size_t last, std::size_t part, std::size_t parts) const noexcept {
    for (std::size_t row = first; row < last; ++row) {
      std::byte* out = args.outputs[0] + row * row_bytes_;
      std::size_t variable = 0;
      for (const Piece& piece : pieces_) {
        const std::byte* from = piece.constant.defined() ? piece.constant.data() : args.inputs[variable++];
        const std::size_t begin = piece.bytes * part / parts;
        const std::size_t count = piece.bytes * (part + 1) / parts - begin;
        if (count != 0) std::memcpy(out + begin, from + row * piece.bytes + begin, count);
        out += piece.bytes;
      }
    }
  }

  std::size_t threads_, rows_ = 1, row_bytes_ = 0;
  std::vector<Piece> pieces_;
};

}  // namespace

std::unique_ptr<Kernel> concat_kernel(const KernelRequest& request) {
  const DType dtype = request.op.outputs[0]->type.tensor().dtype;
  if (dtype == DType::string || bits(dtype) < 8 || element_count(request.out_shape()) == 0) return nullptr;
  return std::make_unique<Concat>(request);
}

}  // namespace tl::cpu
