#include <algorithm>
#include <cmath>

#include "cpu/batch.hpp"
#include "cpu/dot.hpp"
#include "cpu/gemv.hpp"
#include "cpu/im2col.hpp"
#include "cpu/kernel.hpp"
#include "cpu/rows.hpp"

namespace tl::cpu {
namespace {

constexpr std::size_t tiles_per_block = 4;

// softmax(scale * query key^T + mask) value, head by head. Scores and probabilities stay floats in cache.
class AttentionKernel final : public Kernel {
 public:
  AttentionKernel(const KernelRequest& request, Storage storage)
      : gemm_(gemm_kernels()),
        rows_(row_kernels()),
        gemv_(gemv_kernels()),
        pack_tile_(pack_tile_kernel()),
        storage_(storage),
        threads_(request.threads) {
    const Shape q = request.shape("query");
    const Shape k = request.shape("key");
    const Shape v = request.shape("value");
    const std::size_t rank = q.size();
    const bool heads_last = request.op.def->param("heads_last") != nullptr && request.view.boolean("heads_last");
    embedding_ = uz(q[rank - 1]);
    width_ = uz(v[rank - 1]);
    Shape batch(q.begin(), q.end() - 2);
    queries_ = uz(q[rank - (heads_last ? 3 : 2)]);
    keys_ = uz(k[rank - (heads_last ? 3 : 2)]);
    inner_heads_ = heads_last ? uz(q[2]) : 1;
    if (heads_last) batch = {q[0], q[2]};
    heads_ = uz(element_count(batch));
    scale_ = request.op.def->param("scale") != nullptr ? static_cast<float>(request.view.number("scale"))
                                                       : 1.0F / std::sqrt(static_cast<float>(embedding_));
    for (const char* param : {"query", "key", "value"}) inputs.push_back(request.variable(param));
    if (request.op.argument("attn_mask") != nullptr) add_mask(request, batch);

    key_panels_ = panels(keys_);
    value_panels_ = panels(width_);
    const std::size_t tile = gemm_.shape.tile_rows;
    const std::size_t wanted = threads_ == 1 ? 1 : threads_ * 2;
    const std::size_t tiles = (queries_ + tile - 1) / tile;
    row_blocks_ = heads_ >= wanted ? 1 : std::clamp<std::size_t>(wanted / heads_, 1, tiles);
    block_rows_ = std::min(tiles, tiles_per_block) * tile;
    keys_bytes_ = rounded(key_panels_ * gemm_.shape.panel * embedding_ * sizeof(float));
    values_bytes_ = rounded(value_panels_ * gemm_.shape.panel * keys_ * sizeof(float));
    scores_bytes_ = rounded(block_rows_ * keys_ * sizeof(float));
    tiles_bytes_ = rounded(block_rows_ * padded_depth(std::max(keys_, embedding_)) * sizeof(float));
    row_bytes_ = rounded((padded_depth(embedding_) + depth_block) * sizeof(float));
    if (request.precision == plan::Precision::bf16 && queries_ != 1) dot_ = bf16_kernels();
    if (dot_ != nullptr) row_bytes_ = rounded(dot_panel * words(embedding_) * sizeof(std::uint32_t));
  }

  std::string_view name() const noexcept override { return dot_ == nullptr ? "attention" : "attention_bf16"; }
  plan::Workspace workspace() const noexcept override { return {0, worker_bytes()}; }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(heads_ * row_blocks_, [&](std::size_t task, std::size_t worker) {
      head(args, task / row_blocks_, queries_ * (task % row_blocks_) / row_blocks_,
           queries_ * (task % row_blocks_ + 1) / row_blocks_, args.own(worker));
    });
    return {};
  }

 private:
  std::size_t panels(std::size_t columns) const { return (columns + gemm_.shape.panel - 1) / gemm_.shape.panel; }
  std::size_t worker_bytes() const noexcept { return keys_bytes_ + values_bytes_ + scores_bytes_ + tiles_bytes_ + row_bytes_; }

  void add_mask(const KernelRequest& request, const Shape& batch) {
    Shape mask = request.shape("attn_mask");
    mask.insert(mask.begin(), batch.size() + 2 > mask.size() ? batch.size() + 2 - mask.size() : 0, 1);
    mask_step_ = mask.back() == 1 ? 0 : 1;
    const auto row = uz(mask.back());
    mask_row_step_ = mask[mask.size() - 2] == 1 ? 0 : row;
    const std::size_t matrix = row * uz(mask[mask.size() - 2]);
    for (std::size_t i = 0; i < heads_; ++i)
      mask_offsets_.push_back(batch_offset(batch, {mask.begin(), mask.end() - 2}, i) * matrix);
    if (const ir::Var* var = request.variable("attn_mask")) {
      inputs.push_back(var);
      mask_storage_ = *storage_of(request.view.dtype("attn_mask"));
      return;
    }
    Tensor values = request.constant("attn_mask");
    if (values.dtype() == DType::boolean) {
      Tensor added(DType::f32, values.shape());
      auto out = added.mutable_values<float>();
      for (std::int64_t i = 0; i < values.size(); ++i)
        out[uz(i)] = values.integer_at(i) != 0 ? 0.0F : -std::numeric_limits<float>::infinity();
      values = added;
    }
    mask_ = values;
    mask_storage_ = *storage_of(values.dtype());
  }

  // First element of a head's matrix of `rows` x `columns`; its rows lie `columns * inner_heads_` apart.
  std::size_t start(std::size_t head, std::size_t rows, std::size_t columns) const noexcept {
    return head / inner_heads_ * rows * columns * inner_heads_ + head % inner_heads_ * columns;
  }

  static constexpr std::size_t words(std::size_t depth) { return (depth + 1) / 2; }

  // `head` with products in bf16; scores and probabilities stay floats up to the second product.
  void head_bf16(const KernelArgs& args, std::size_t head, std::size_t begin, std::size_t end,
                 std::byte* workspace) const noexcept {
    const std::size_t element = size_of(storage_);
    const std::size_t stride = embedding_ * inner_heads_;
    auto* keys = reinterpret_cast<std::uint32_t*>(workspace);
    auto* values = reinterpret_cast<std::uint32_t*>(workspace + keys_bytes_);
    auto* scores = reinterpret_cast<float*>(workspace + keys_bytes_ + values_bytes_);
    auto* tiles = reinterpret_cast<std::uint32_t*>(workspace + keys_bytes_ + values_bytes_ + scores_bytes_);
    auto* rows = reinterpret_cast<std::uint32_t*>(workspace + keys_bytes_ + values_bytes_ + scores_bytes_ + tiles_bytes_);
    const std::byte* key = args.inputs[1] + start(head, keys_, embedding_) * element;
    for (std::size_t first = 0; first < keys_; first += dot_panel) {
      const std::size_t valid = std::min(dot_panel, keys_ - first);
      for (std::size_t n = 0; n < valid; ++n) {
        std::uint32_t* row = rows + n * words(embedding_);
        row[words(embedding_) - 1] = 0;
        dot_->narrow(key + (first + n) * stride * element, storage_, reinterpret_cast<std::uint16_t*>(row), embedding_);
      }
      pack_words(rows, words(embedding_), words(embedding_), valid, dot_width(keys_, first), keys + first * words(embedding_));
    }
    const std::byte* value = args.inputs[2] + start(head, keys_, width_) * element;
    for (std::size_t first = 0; first < width_; first += dot_panel)
      dot_->pack_columns(value + first * element, storage_, width_ * inner_heads_, keys_, std::min(dot_panel, width_ - first),
                         dot_width(width_, first), values + first * words(keys_));
    const std::byte* mask = mask_of(args, head);
    ConvShape shape;
    shape.in_c = stride;
    shape.in_w = shape.out_w = queries_;
    for (std::size_t first = begin; first < end; first += block_rows_) {
      DotBlock g{};
      g.a = tiles;
      g.rows = std::min(block_rows_, end - first);
      g.words = words(embedding_);
      g.b = keys;
      g.columns = keys_;
      g.panel_end = dot_panels(keys_);
      g.c = scores;
      g.c_stride = keys_;
      g.c_storage = Storage::f32;
      const std::size_t n = (g.rows + dot_rows - 1) / dot_rows;
      for (std::size_t t = 0; t < n; ++t) {
        const TileRange range = tile_range(g.rows, n, t);
        DotPack pack{};
        pack.shape = &shape;
        pack.x = args.inputs[0] + start(head, queries_, embedding_) * element;
        pack.storage = storage_;
        pack.first = first + range.first;
        pack.count = range.count;
        pack.depth = embedding_;
        pack.tile = tiles + range.first * padded_words(g.words);
        dot_->pack_tile(pack);
      }
      dot_->multiply(g);
      for (std::size_t t = 0; t < n; ++t) {
        const TileRange range = tile_range(g.rows, n, t);
        const std::size_t at = first + range.first;
        auto* probabilities = reinterpret_cast<float*>(tiles) + range.first * padded_depth(keys_);
        rows_.probabilities({scores + range.first * keys_, keys_, range.count, keys_, scale_,
                             mask == nullptr ? nullptr : mask + at * mask_row_step_ * size_of(mask_storage_), mask_storage_,
                             mask_row_step_, mask_step_, probabilities});
        dot_->narrow_tile(probabilities, range.count, keys_, tiles + range.first * padded_words(words(keys_)));
      }
      g.words = words(keys_);
      g.b = values;
      g.columns = width_;
      g.panel_end = dot_panels(width_);
      g.c = args.outputs[0] + (start(head, queries_, width_) + first * width_ * inner_heads_) * element;
      g.c_stride = width_ * inner_heads_;
      g.c_storage = storage_;
      dot_->multiply(g);
    }
  }

  void pack_keys(const std::byte* matrix, float* target) const noexcept {
    const std::size_t panel = gemm_.shape.panel;
    const std::size_t stride = embedding_ * inner_heads_;
    for (std::size_t p = 0; p < key_panels_; ++p) {
      const std::size_t valid = std::min(panel, keys_ - p * panel);
      gemm_.pack_panel(matrix + p * panel * stride * size_of(storage_), storage_, stride, embedding_, valid,
                       gemm_.shape.width_of(valid), target + p * panel * embedding_, Storage::f32);
    }
  }

  void pack_values(const std::byte* matrix, float* target) const noexcept {
    const std::size_t panel = gemm_.shape.panel;
    for (std::size_t p = 0; p < value_panels_; ++p) {
      const std::size_t valid = std::min(panel, width_ - p * panel);
      gemm_.pack_columns(matrix + p * panel * size_of(storage_), storage_, width_ * inner_heads_, keys_, valid,
                         gemm_.shape.width_of(valid), target + p * panel * keys_);
    }
  }

  const std::byte* mask_of(const KernelArgs& args, std::size_t head) const noexcept {
    if (mask_offsets_.empty()) return nullptr;
    return (mask_.defined() ? mask_.data() : args.inputs[3]) + mask_offsets_[head] * size_of(mask_storage_);
  }

  // One query: keys and values are read where they are.
  void one_row(const KernelArgs& args, std::size_t head, float* scores, float* probabilities, float* query) const noexcept {
    const std::size_t element = size_of(storage_);
    gemm_.convert(args.inputs[0] + start(head, 1, embedding_) * element, storage_, query, embedding_);
    GemvBlock g{};
    g.w = args.inputs[1] + start(head, keys_, embedding_) * element;
    g.stride = embedding_ * inner_heads_;
    g.w_storage = storage_;
    g.x = query;
    g.depth = embedding_;
    g.last = keys_;
    g.y = scores;
    g.y_storage = Storage::f32;
    gemv_rows(gemv_, g);
    rows_.probabilities(
        {scores, keys_, 1, keys_, scale_, mask_of(args, head), mask_storage_, mask_row_step_, mask_step_, probabilities});
    std::size_t live = keys_;  // behind a causal mask nothing counts
    while (live > 1 && probabilities[live - 1] == 0) --live;
    gemv_.weighted_rows({probabilities, args.inputs[2] + start(head, keys_, width_) * element, live, width_,
                         width_ * inner_heads_, args.outputs[0] + start(head, 1, width_) * element, storage_});
  }

  void head(const KernelArgs& args, std::size_t head, std::size_t begin, std::size_t end, std::byte* workspace) const noexcept {
    if (dot_ != nullptr) return head_bf16(args, head, begin, end, workspace);
    const std::size_t element = size_of(storage_);
    auto* keys = reinterpret_cast<float*>(workspace);
    auto* values = reinterpret_cast<float*>(workspace + keys_bytes_);
    auto* scores = reinterpret_cast<float*>(workspace + keys_bytes_ + values_bytes_);
    auto* tiles = reinterpret_cast<float*>(workspace + keys_bytes_ + values_bytes_ + scores_bytes_);
    auto* row = reinterpret_cast<float*>(workspace + keys_bytes_ + values_bytes_ + scores_bytes_ + tiles_bytes_);
    if (queries_ == 1) return one_row(args, head, scores, tiles, row);
    pack_keys(args.inputs[1] + start(head, keys_, embedding_) * element, keys);
    pack_values(args.inputs[2] + start(head, keys_, width_) * element, values);
    const std::byte* mask = mask_of(args, head);
    ConvShape shape;
    shape.in_c = embedding_ * inner_heads_;
    shape.in_w = shape.out_w = queries_;
    const std::byte* query = args.inputs[0] + start(head, queries_, embedding_) * element;
    for (std::size_t first = begin; first < end; first += block_rows_) {
      const std::size_t count = std::min(block_rows_, end - first);
      const std::size_t n = (count + gemm_.shape.tile_rows - 1) / gemm_.shape.tile_rows;
      float* tile = tiles;
      for (std::size_t t = 0; t < n; ++t) {
        const TileRange range = tile_range(count, n, t);
        pack_tile_({&shape, query, storage_, 0, first + range.first, range.count, tile, 0, embedding_, row});
        tile += range.count * padded_depth(embedding_);
      }
      GemmBlock g{};
      g.a = tiles;
      g.rows = count;
      g.depth = g.depth_total = embedding_;
      g.b = keys;
      g.b_storage = Storage::f32;
      g.columns = keys_;
      g.panel_end = key_panels_;
      g.c = scores;
      g.c_stride = keys_;
      g.c_storage = Storage::f32;
      gemm_.multiply(g);
      tile = tiles;
      for (std::size_t t = 0; t < n; ++t) {
        const TileRange range = tile_range(count, n, t);
        const std::size_t at = first + range.first;
        rows_.probabilities({scores + range.first * keys_, keys_, range.count, keys_, scale_,
                             mask == nullptr ? nullptr : mask + at * mask_row_step_ * size_of(mask_storage_), mask_storage_,
                             mask_row_step_, mask_step_, tile});
        tile += range.count * padded_depth(keys_);
      }
      g.depth = g.depth_total = keys_;
      g.b = values;
      g.columns = width_;
      g.panel_end = value_panels_;
      g.c = args.outputs[0] + (start(head, queries_, width_) + first * width_ * inner_heads_) * element;
      g.c_stride = width_ * inner_heads_;
      g.c_storage = storage_;
      gemm_.multiply(g);
    }
  }

  const GemmKernels& gemm_;
  const RowKernels& rows_;
  const GemvKernels& gemv_;
  const Bf16Kernels* dot_ = nullptr;  // null: products of floats
  PackTile pack_tile_;
  Storage storage_;
  std::size_t threads_;
  std::size_t queries_ = 0, keys_ = 0, embedding_ = 0, width_ = 0, heads_ = 0, inner_heads_ = 1;
  float scale_ = 1;
  Tensor mask_;
  Storage mask_storage_ = Storage::f32;
  std::vector<std::size_t> mask_offsets_;
  std::size_t mask_row_step_ = 0, mask_step_ = 0;
  std::size_t key_panels_ = 0, value_panels_ = 0, row_blocks_ = 1, block_rows_ = 0;
  std::size_t keys_bytes_ = 0, values_bytes_ = 0, scores_bytes_ = 0, tiles_bytes_ = 0, row_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> attention_kernel(const KernelRequest& request) {
  const auto storage = storage_of(request.view.dtype("query"));
  if (!storage || element_count(request.out_shape()) == 0 || request.shape("query").size() < 3) return nullptr;
  for (const char* param : {"query", "key", "value"}) {
    if (request.variable(param) == nullptr || request.view.dtype(param) != request.view.dtype("query")) return nullptr;
    if (element_count(request.shape(param)) == 0) return nullptr;
  }
  if (request.op.argument("attn_mask") != nullptr && request.variable("attn_mask") != nullptr &&
      !storage_of(request.view.dtype("attn_mask")))
    return nullptr;
  return std::make_unique<AttentionKernel>(request, *storage);
}

}  // namespace tl::cpu
