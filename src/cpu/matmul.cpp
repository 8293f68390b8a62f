#include <algorithm>

#include "cpu/batch.hpp"
#include "cpu/im2col.hpp"
#include "cpu/kernel.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t block_bytes = std::size_t{256} << 10;

Shape leading(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

// Products of matrices that are both known only at run time; both are packed on the way.
class MatmulKernel final : public Kernel {
 public:
  MatmulKernel(const KernelRequest& request, Storage storage)
      : gemm_(gemm_kernels()), pack_tile_(pack_tile_kernel()), storage_(storage), threads_(request.threads) {
    const Shape x = request.shape("x");
    const Shape y = request.shape("y");
    transpose_x_ = request.view.boolean("transpose_x");
    transpose_y_ = request.view.boolean("transpose_y");
    m_ = uz(x[x.size() - (transpose_x_ ? 1 : 2)]);
    k_ = uz(x[x.size() - (transpose_x_ ? 2 : 1)]);
    n_ = uz(y[y.size() - (transpose_y_ ? 2 : 1)]);
    const Shape out = leading(request.out_shape());
    batch_ = uz(element_count(out));
    for (std::size_t i = 0; i < batch_; ++i) {
      x_offsets_.push_back(batch_offset(out, leading(x), i) * m_ * k_);
      y_offsets_.push_back(batch_offset(out, leading(y), i) * k_ * n_);
    }
    for (const char* param : {"x", "y"}) {
      if (const ir::Var* var = request.variable(param)) {
        inputs.push_back(var);
        constants_.emplace_back();
      } else {
        constants_.push_back(request.constant(param));
      }
    }
    panels_ = (n_ + gemm_.shape.panel - 1) / gemm_.shape.panel;
    const std::size_t wanted = m_ * n_ * k_ * batch_ < 65536 || threads_ == 1 ? 1 : threads_ * 2;
    column_blocks_ = std::clamp<std::size_t>((wanted + batch_ - 1) / batch_, 1, panels_);
    const std::size_t most_panels = (panels_ + column_blocks_ - 1) / column_blocks_;
    const std::size_t row_bytes = padded_depth(k_) * sizeof(float);
    const std::size_t tile = gemm_.shape.tile_rows;
    block_rows_ = std::min((m_ + tile - 1) / tile * tile, std::max(tile, block_bytes / row_bytes / tile * tile));
    packed_rows_bytes_ = rounded(block_rows_ * row_bytes);
    row_bytes_ = rounded(row_bytes + depth_block * sizeof(float));
    panel_bytes_ = rounded(most_panels * gemm_.shape.panel * k_ * sizeof(float));
  }

  std::string_view name() const noexcept override { return "matmul"; }
  plan::Workspace workspace() const noexcept override { return {0, worker_bytes()}; }

  Status run(const KernelArgs& args) const noexcept override {
    std::size_t next = 0;
    const std::byte* x = constants_[0].defined() ? constants_[0].data() : args.inputs[next++];
    const std::byte* y = constants_[1].defined() ? constants_[1].data() : args.inputs[next];
    args.pool->parallel(batch_ * column_blocks_, [&](std::size_t task, std::size_t worker) {
      product(x, y, args.outputs[0], task / column_blocks_, task % column_blocks_, args.own(worker));
    });
    return {};
  }

 private:
  std::size_t worker_bytes() const noexcept { return packed_rows_bytes_ + row_bytes_ + panel_bytes_; }

  void product(const std::byte* x, const std::byte* y, std::byte* out, std::size_t batch, std::size_t column_block,
               std::byte* workspace) const noexcept {
    const std::size_t element = size_of(storage_);
    const std::size_t panel = gemm_.shape.panel;
    auto* packed = reinterpret_cast<float*>(workspace);
    auto* row = reinterpret_cast<float*>(workspace + packed_rows_bytes_);
    auto* panels = reinterpret_cast<float*>(workspace + packed_rows_bytes_ + row_bytes_);
    const std::byte* a = x + x_offsets_[batch] * element;
    const std::byte* b = y + y_offsets_[batch] * element;
    const std::size_t begin = panels_ * column_block / column_blocks_;
    const std::size_t end = panels_ * (column_block + 1) / column_blocks_;
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t valid = std::min(panel, n_ - p * panel);
      const std::size_t width = gemm_.shape.width_of(valid);
      float* target = panels + (p - begin) * panel * k_;
      if (transpose_y_) {
        gemm_.pack_panel(b + p * panel * k_ * element, storage_, k_, k_, valid, width, target, Storage::f32);
      } else {
        gemm_.pack_columns(b + p * panel * element, storage_, n_, k_, valid, width, target);
      }
    }
    for (std::size_t first = 0; first < m_; first += block_rows_) {
      const std::size_t rows = std::min(block_rows_, m_ - first);
      pack_rows(a, first, rows, packed, row);
      GemmBlock g{};
      g.a = packed;
      g.rows = rows;
      g.depth = g.depth_total = k_;
      g.b = panels;
      g.b_storage = Storage::f32;
      g.columns = n_ - begin * panel;
      g.panel_end = end - begin;
      g.c = out + (batch * m_ * n_ + first * n_ + begin * panel) * element;
      g.c_stride = n_;
      g.c_storage = storage_;
      gemm_.multiply(g);
    }
  }

  void pack_rows(const std::byte* a, std::size_t first, std::size_t rows, float* packed, float* row) const noexcept {
    const std::size_t tiles = (rows + gemm_.shape.tile_rows - 1) / gemm_.shape.tile_rows;
    ConvShape shape;
    shape.in_c = k_;
    shape.in_w = shape.out_w = m_;
    for (std::size_t t = 0; t < tiles; ++t) {
      const TileRange range = tile_range(rows, tiles, t);
      if (transpose_x_) {
        for (std::size_t r = 0; r < range.count; ++r) {
          gather_column(a, first + range.first + r, row);
          gemm_.pack_row(row, Storage::f32, packed, r, range.count, 0, k_);
        }
      } else {
        pack_tile_({&shape, a, storage_, 0, first + range.first, range.count, packed, 0, k_, row});
      }
      packed += range.count * padded_depth(k_);
    }
  }

  // Column `m` of [k][m].
  void gather_column(const std::byte* a, std::size_t m, float* row) const noexcept {
    const std::size_t element = size_of(storage_);
    for (std::size_t k = 0; k < k_; ++k) gemm_.convert(a + (k * m_ + m) * element, storage_, row + k, 1);
  }

  const GemmKernels& gemm_;
  PackTile pack_tile_;
  Storage storage_;
  std::size_t threads_;
  bool transpose_x_ = false, transpose_y_ = false;
  std::size_t m_ = 0, n_ = 0, k_ = 0, batch_ = 0, panels_ = 0, column_blocks_ = 1, block_rows_ = 0;
  std::size_t packed_rows_bytes_ = 0, row_bytes_ = 0, panel_bytes_ = 0;
  std::vector<std::size_t> x_offsets_, y_offsets_;
  std::vector<Tensor> constants_;
};

}  // namespace

std::unique_ptr<Kernel> matmul_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("x"));
  if (!storage || request.view.dtype("y") != request.view.dtype("x") || element_count(request.out_shape()) == 0) return nullptr;
  const Shape x = request.shape("x");
  const Shape y = request.shape("y");
  const bool constants = request.variable("x") == nullptr && request.variable("y") == nullptr;
  if (x.size() < 2 || y.size() < 2 || element_count(x) == 0 || constants) return nullptr;
  return std::make_unique<MatmulKernel>(request, *storage);
}

}  // namespace tl::cpu
