#include "cpu/conv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/knobs.hpp"
#include "cpu/coded_weights.hpp"
#include "cpu/compressed.hpp"
#include "cpu/depthwise_conv.hpp"
#include "cpu/panels.hpp"
#include "op/window.hpp"

namespace tl::cpu {

ConvShape conv_shape(const KernelRequest& request) {
  const Shape x = request.shape("x");
  const Shape weight = request.shape("weight");
  const op::ConvGeometry g = op::conv_geometry(request.view, {x[0], x[3], x[1], x[2]}, weight);
  ConvShape s;
  s.batch = uz(g.batch);
  s.in_c = uz(g.in_channels);
  s.out_c = uz(g.out_channels);
  s.groups = uz(g.groups);
  const op::WindowAxis& h = g.axes[0];
  const op::WindowAxis& w = g.axes[1];
  s.in_h = uz(h.in);
  s.out_h = uz(h.out);
  s.kernel_h = uz(h.kernel);
  s.stride_h = uz(h.stride);
  s.dilation_h = uz(h.dilation);
  s.pad_top = static_cast<std::ptrdiff_t>(h.before);
  s.in_w = uz(w.in);
  s.out_w = uz(w.out);
  s.kernel_w = uz(w.kernel);
  s.stride_w = uz(w.stride);
  s.dilation_w = uz(w.dilation);
  s.pad_left = static_cast<std::ptrdiff_t>(w.before);
  return s;
}

ConvShape linear_shape(const KernelRequest& request) {
  const Shape x = request.shape("x");
  ConvShape shape;
  shape.in_c = uz(x.back());
  shape.out_c = uz(request.shape("weight")[0]);
  shape.in_w = shape.out_w = uz(element_count(x)) / shape.in_c;
  return shape;
}

namespace {

std::vector<float> floats_of(const Tensor& values) {
  if (!values.defined()) return {};
  const Tensor wide = values.cast(DType::f32);
  const auto floats = wide.values<float>();
  return {floats.begin(), floats.end()};
}

}  // namespace

std::vector<float> scale_of(const KernelRequest& request) {
  return request.op.def->param("scale") == nullptr ? std::vector<float>{} : floats_of(request.constant("scale"));
}

std::optional<Weights> weights_of(const KernelRequest& request, bool scaled) {
  if (request.op.argument("y_scale") != nullptr || request.op.argument("mid_scale") != nullptr) return std::nullopt;
  Tensor weight = request.constant("weight");
  if (const ir::Op* source = weight.defined() ? nullptr : constexpr_of(request, "weight")) weight = evaluated(*source);
  const auto storage = weight.defined() ? storage_of(weight.dtype()) : std::nullopt;
  if (!storage || weight.size() == 0) return std::nullopt;
  const std::vector<float> scale = scaled ? scale_of(request) : std::vector<float>{};
  if (scale.empty()) return Weights{weight, *storage};
  Weights result{Tensor(DType::f32, weight.shape()), Storage::f32};
  const std::vector<float> values = floats_of(weight);
  const auto out = result.values.mutable_values<float>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = values[i] * scale[i / (out.size() / scale.size())];
  return finite(result) || !finite({weight, *storage}) ? std::optional(result) : std::nullopt;
}

bool finite(const Weights& weights) noexcept {
  // One added to an exponent of ones only carries into the sign, which is masked out.
  const bool half = weights.storage == Storage::f16;
  const std::uint64_t exponents = half ? 0x7C007C007C007C00U : 0x7F8000007F800000U;
  const std::uint64_t one = half ? 0x0400040004000400U : 0x0080000000800000U;
  const std::uint64_t signs = half ? 0x8000800080008000U : 0x8000000080000000U;
  std::uint64_t carries = 0;
  const std::span<const std::byte> bytes(weights.values.data(), weights.values.bytes());
  std::size_t i = 0;
  for (; i + sizeof(std::uint64_t) <= bytes.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    carries |= (word & exponents) + one;
  }
  std::uint64_t last = 0;
  std::memcpy(&last, bytes.data() + i, bytes.size() - i);
  return ((carries | ((last & exponents) + one)) & signs) == 0;
}

bool may_skip_padding(const ConvShape& s, const Weights& weights) noexcept {
  const auto inside = [](std::ptrdiff_t before, std::size_t in, std::size_t out, std::size_t kernel, std::size_t stride,
                         std::size_t dilation) {
    return before <= 0 && (out - 1) * stride + (kernel - 1) * dilation < in + uz(-before);
  };
  return (inside(s.pad_top, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.dilation_h) &&
          inside(s.pad_left, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.dilation_w)) ||
         finite(weights);
}

std::vector<float> bias_of(const KernelRequest& request, bool scaled) {
  std::vector<float> bias = floats_of(request.constant("bias"));
  const std::vector<float> scale = scaled ? scale_of(request) : std::vector<float>{};
  for (std::size_t i = 0; i < scale.size() && i < bias.size(); ++i) bias[i] *= scale[i];
  return bias;
}

bool usable(const KernelRequest& request) {
  return request.variable("x") != nullptr && storage_of(request.view.dtype("x")).has_value() &&
         element_count(request.shape("x")) > 0 && element_count(request.out_shape()) > 0;
}

namespace {

// Windows are packed as float tiles and multiplied with panels of the weight. Where there are rows enough, each task packs
// rows of its own and takes all columns; else all pack together first and then share the panels.
class GemmConv final : public WeightKernel {
 public:
  // `weights` or `coded`. `depthwise`: what makes the rows, or null.
  GemmConv(const KernelRequest& request, const ConvShape& shape, const Weights* weights, std::unique_ptr<CodedWeights> coded,
           std::unique_ptr<Depthwise> depthwise)
      : WeightKernel(request, shape),
        gemm_(gemm_kernels()),
        pack_tile_(pack_tile_kernel()),
        bias_(bias_of(request)),
        coded_(std::move(coded)),
        depthwise_(std::move(depthwise)),
        name_(gemm_.name) {
    if (depthwise_ != nullptr) {
      inputs[0] = depthwise_->x;
      joined = {depthwise_->op};
    }
    if (coded_ == nullptr) weights_ = pack_panels(shape, *weights, widen(request, shape) ? Storage::f32 : weights->storage);
    columns_ = shape_.out_c / shape_.groups;
    depth_ = shape_.depth();
    panels_ = (columns_ + gemm_.shape.panel - 1) / gemm_.shape.panel;

    const std::size_t passes = shape_.pointwise() && shape_.groups == 1 ? (depth_ + most_depth - 1) / most_depth : 1;
    pass_depth_ = passes == 1 ? depth_ : padded_depth((depth_ + passes - 1) / passes);
    const std::size_t row_bytes = padded_depth(pass_depth_) * sizeof(float);
    const std::size_t rows = shape_.rows() * shape_.groups;
    shared_ = threads_ > 1 && rows < threads_ * least_rows;
    // Few rows and many weights that take time, floats or codes: each thread takes columns, so that none is read twice. Halves
    // are read as fast as rows come out of the other thread's cache.
    const bool slow = weights_.storage == Storage::f32 || coded_ != nullptr;
    if (threads_ > 1 && !shared_ && slow && rows < threads_ * good_rows && panels_ >= 2 * threads_ &&
        depth_ * columns_ >= rows * heavy_columns) {
      column_blocks_ = depthwise_ == nullptr ? threads_ : 1;
      shared_ = depthwise_ != nullptr;  // whose results are too dear to be made in each
    }
    const std::size_t least = weights_.storage == Storage::f32 ? 2 * gemm_.shape.tile_rows : std::size_t{good_rows};
    const std::size_t tasks = std::clamp(rows / least, std::size_t{1}, std::size_t{tasks_per_thread}) * threads_;
    split_rows(shared_ ? shared_bytes : private_bytes, row_bytes,
               shared_ || threads_ == 1 || column_blocks_ > 1 ? shape_.rows() : (rows + tasks - 1) / tasks);
    if (passes > 1) partial_columns_ = panels_ * gemm_.shape.panel;

    const std::size_t panel_bytes = pass_depth_ * gemm_.shape.panel * sizeof(float);
    packed_bytes_ = rounded(block_rows_ * row_bytes);
    partial_bytes_ = rounded(block_rows_ * partial_columns_ * sizeof(float));
    row_bytes_ = pack_scratch(shape_) * sizeof(float);
    scratch_bytes_ = weights_.storage == Storage::f16 && panel_bytes <= most_scratch ? rounded(panel_bytes) : 0;
    if (coded_ != nullptr) unpacked_bytes_ = rounded(panel_bytes / 2);
    if (depthwise_ != nullptr) {
      name_ = fmt::format("depthwise_{}", gemm_.name);
      rows_ = BlockRows(shape_.rows(), block_rows_, gemm_.shape.tile_rows);
    }
  }

  std::string_view name() const noexcept override { return name_; }
  plan::Workspace workspace() const noexcept override {
    const std::size_t rows = packed_bytes_ + partial_bytes_;
    return shared_ ? plan::Workspace{rows, worker_bytes()} : plan::Workspace{0, rows + worker_bytes()};
  }
  std::size_t packed_bytes() const noexcept override {
    return weights_.total_bytes + bias_.size() * sizeof(float) + (coded_ == nullptr ? 0 : coded_->bytes()) +
           (depthwise_ == nullptr ? 0 : depthwise_->bytes());
  }

  Status run(const KernelArgs& args) const noexcept override {
    if (shared_) {
      for (std::size_t i = 0; i < shape_.groups * row_blocks_; ++i) together(args, i / row_blocks_, i % row_blocks_);
    } else {
      const std::size_t blocks = row_blocks_ * column_blocks_;
      args.pool->parallel(shape_.groups * blocks, [&](std::size_t task, std::size_t worker) {
        alone(args, task / blocks, task / row_blocks_ % column_blocks_, task % row_blocks_, worker);
      });
    }
    return {};
  }

 private:
  // Whether weights are kept as floats: where they are read so often that widening them shows.
  static bool widen(const KernelRequest& request, const ConvShape& shape) {
    if (constexpr_of(request, "weight") != nullptr) return false;  // compressed for less memory
    return keeps_float_weights(iz(shape.rows()), iz(shape.depth() * shape.out_c), request.op.type == "tl.linear");
  }

  static constexpr std::size_t private_bytes = std::size_t{620} << 10;  // packed rows that stay in the second-level cache
  static constexpr std::size_t shared_bytes = std::size_t{800} << 10;
  static constexpr std::size_t most_scratch = std::size_t{256} << 10;  // a panel widened to float
  static constexpr std::size_t most_depth = 768;                       // of a pass over a pointwise product
  static constexpr std::size_t tasks_per_thread = 8;
  static constexpr std::size_t least_rows = 20;      // per thread, to be worth widening the weights in each
  static constexpr std::size_t good_rows = 112;      // the same, for tasks enough that no thread waits for another one
  static constexpr std::size_t heavy_columns = 800;  // weights per row from which columns are shared out

  void split_rows(std::size_t most_bytes, std::size_t row_bytes, std::size_t share) {
    const std::size_t tile = gemm_.shape.tile_rows;
    block_rows_ = std::max(tile, most_bytes / row_bytes / tile * tile);
    block_rows_ = std::min(block_rows_, (share + tile - 1) / tile * tile);
    row_blocks_ = (shape_.rows() + block_rows_ - 1) / block_rows_;
    block_rows_ = (shape_.rows() + row_blocks_ - 1) / row_blocks_;
    row_blocks_ = (shape_.rows() + block_rows_ - 1) / block_rows_;
  }

  float* worker_floats(const KernelArgs& args, std::size_t worker) const noexcept {
    return reinterpret_cast<float*>(args.own(worker) + (shared_ ? 0 : packed_bytes_ + partial_bytes_));
  }
  std::size_t worker_bytes() const noexcept { return row_bytes_ + scratch_bytes_ + unpacked_bytes_; }

  // Coded weights are unpacked panel by panel, behind the worker's floats.
  void multiply(const GemmBlock& g, std::size_t group, float* worker) const noexcept {
    if (coded_ == nullptr) return gemm_.multiply(g);
    auto* halves = reinterpret_cast<std::uint16_t*>(worker + (row_bytes_ + scratch_bytes_) / sizeof(float));
    for (std::size_t p = g.panel_begin; p < g.panel_end; ++p) {
      const std::size_t column = p * gemm_.shape.panel;
      GemmBlock part = g;
      part.columns = std::min(gemm_.shape.panel, g.columns - column);
      const std::size_t width = gemm_.shape.width_of(part.columns);
      coded_->unpack(group, p, g.depth_first, g.depth, width, halves);
      part.b = halves;
      part.b_first = g.depth_first;
      part.panel_begin = 0;
      part.panel_end = 1;
      if (g.bias != nullptr) part.bias += column;
      if (g.residual != nullptr) part.residual = static_cast<const std::byte*>(g.residual) + column * size_of(storage_);
      part.c = static_cast<std::byte*>(g.c) + column * size_of(storage_);
      if (g.partial != nullptr) part.partial += column;
      gemm_.multiply(part);
    }
  }

  // The block of rows as it goes to the kernel, but for depth and panels.
  GemmBlock block_of(const KernelArgs& args, std::size_t group, std::size_t block, std::byte* common) const noexcept {
    const std::size_t first = block * block_rows_;
    const std::size_t offset = (first * shape_.out_c + group * columns_) * size_of(storage_);
    GemmBlock g{};
    g.a = reinterpret_cast<const float*>(common);
    g.rows = std::min(block_rows_, shape_.rows() - first);
    g.depth_total = depth_;
    if (coded_ == nullptr) g.b = weights_.bytes.get() + group * weights_.group_bytes;
    g.b_storage = weights_.storage;
    g.columns = columns_;
    g.panel_end = panels_;
    g.bias = bias_.empty() ? nullptr : bias_.data() + group * columns_;
    g.residual = residual_of(args) == nullptr ? nullptr : residual_of(args) + offset;
    g.residual_stride = shape_.out_c;
    g.c = args.outputs[0] + offset;
    g.c_stride = shape_.out_c;
    g.c_storage = storage_;
    g.activation = activation_;
    g.partial = partial_bytes_ == 0 ? nullptr : reinterpret_cast<float*>(common + packed_bytes_);
    g.partial_stride = partial_columns_;
    return g;
  }

  std::size_t tiles_of(const GemmBlock& g) const noexcept {
    return (g.rows + gemm_.shape.tile_rows - 1) / gemm_.shape.tile_rows;
  }

  // Tiles [begin, end) of the block of rows.
  void pack(const KernelArgs& args, const GemmBlock& g, std::size_t group, std::size_t block, std::size_t begin,
            std::size_t end, float* row) const noexcept {
    auto* tiles = const_cast<float*>(g.a);
    if (depthwise_ != nullptr)
      return depthwise_->pack(args.inputs[0], rows_.part(block, begin, end), g.depth_first, g.depth, tiles);
    for (std::size_t t = begin; t < end; ++t) {
      const TileRange range = tile_range(g.rows, tiles_of(g), t);
      pack_tile_({&shape_, args.inputs[0], storage_, group, block * block_rows_ + range.first, range.count,
                  tiles + range.first * padded_depth(g.depth), g.depth_first, g.depth, row});
    }
  }

  void alone(const KernelArgs& args, std::size_t group, std::size_t column_block, std::size_t block,
             std::size_t worker) const noexcept {
    GemmBlock g = block_of(args, group, block, args.own(worker));
    g.panel_begin = panels_ * column_block / column_blocks_;
    g.panel_end = panels_ * (column_block + 1) / column_blocks_;
    float* row = worker_floats(args, worker);
    g.scratch = scratch_bytes_ == 0 ? nullptr : row + row_bytes_ / sizeof(float);
    for (; g.depth_first < depth_; g.depth_first += pass_depth_) {
      g.depth = std::min(pass_depth_, depth_ - g.depth_first);
      pack(args, g, group, block, 0, tiles_of(g), row);
      multiply(g, group, row);
    }
  }

  void together(const KernelArgs& args, std::size_t group, std::size_t block) const noexcept {
    GemmBlock g = block_of(args, group, block, args.shared);
    for (; g.depth_first < depth_; g.depth_first += pass_depth_) {
      g.depth = std::min(pass_depth_, depth_ - g.depth_first);
      const std::size_t tiles = tiles_of(g);
      const std::size_t parts = depthwise_ == nullptr ? tiles : std::min(tiles, threads_ * 2);
      args.pool->parallel(parts, [&](std::size_t part, std::size_t worker) {
        pack(args, g, group, block, tiles * part / parts, tiles * (part + 1) / parts, worker_floats(args, worker));
      });
      // Panels by runs of tiles, fine enough to even out and coarse enough to widen each panel rarely.
      const std::size_t runs = std::min(tiles, panels_ >= threads_ * 4 ? 1 : (threads_ * 4 + panels_ - 1) / panels_);
      const std::size_t units = panels_ * runs;
      const std::size_t tasks = std::min(units, threads_ * 8);
      args.pool->parallel(tasks, [&](std::size_t task, std::size_t worker) {
        GemmBlock part = g;
        float* own = worker_floats(args, worker);
        part.scratch = scratch_bytes_ == 0 ? nullptr : own + row_bytes_ / sizeof(float);
        for (std::size_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) {
          part.panel_begin = unit / runs;
          part.panel_end = part.panel_begin + 1;
          part.tile_begin = tiles * (unit % runs) / runs;
          part.tile_end = tiles * (unit % runs + 1) / runs;
          multiply(part, group, own);
        }
      });
    }
  }

  const GemmKernels& gemm_;
  PackTile pack_tile_;
  std::vector<float> bias_;
  Panels weights_;
  bool shared_ = false;
  std::size_t columns_ = 0, depth_ = 0, panels_ = 0;
  std::size_t block_rows_ = 0, row_blocks_ = 0, column_blocks_ = 1, pass_depth_ = 0, partial_columns_ = 0;
  std::size_t packed_bytes_ = 0, partial_bytes_ = 0, row_bytes_ = 0, scratch_bytes_ = 0, unpacked_bytes_ = 0;
  std::unique_ptr<CodedWeights> coded_;
  std::unique_ptr<Depthwise> depthwise_;
  BlockRows rows_;  // of the depthwise convolution
  std::string name_;
};

std::unique_ptr<Kernel> gemm_of(const KernelRequest& request, const ConvShape& shape,
                                std::unique_ptr<Depthwise> depthwise = nullptr) {
  if (request.op.argument("y_scale") != nullptr || request.op.argument("mid_scale") != nullptr) return nullptr;
  const bool halves = storage_of(request.view.dtype("x")) == Storage::f16 && scale_of(request).empty();
  if (halves && gemm_kernels().shape.panel == coded_columns) {
    if (auto coded = CodedWeights::make(request, shape))
      return std::make_unique<GemmConv>(request, shape, nullptr, std::move(coded), std::move(depthwise));
  }
  const auto weights = weights_of(request);
  return weights ? std::make_unique<GemmConv>(request, shape, &*weights, nullptr, std::move(depthwise)) : nullptr;
}

}  // namespace

std::unique_ptr<Kernel> gemm_conv(const KernelRequest& request) {
  return usable(request) ? gemm_of(request, conv_shape(request), Depthwise::before(request)) : nullptr;
}

std::unique_ptr<Kernel> gemm_linear(const KernelRequest& request) {
  return usable(request) ? gemm_of(request, linear_shape(request)) : nullptr;
}

}  // namespace tl::cpu
