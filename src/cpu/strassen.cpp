#include "cpu/strassen.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/knobs.hpp"
#include "cpu/coded_weights.hpp"
#include "cpu/panels.hpp"

namespace tl::cpu {
namespace {

// Columns that are multiplied together: a pair of panels, the halves of one that has no partner, or what is left of one.
struct Unit {
  std::size_t panel;
  std::size_t side;  // as of StrassenColumns
  bool sums;
};

// Elements of a window that stand side by side.
std::size_t run_of(const ConvShape& s) { return s.kernel_w * s.in_c; }

// How much of the depth is multiplied at a time, each half of it side by side; 0: no such part is worth it.
std::size_t pass_depth(const ConvShape& s) {
  constexpr std::size_t most = 384, least = 192;
  const std::size_t depth = s.depth();
  if (s.kernel_h * s.kernel_w == 1) {
    const std::size_t passes = (depth + most - 1) / most;
    return (depth / strassen_depth_unit + passes - 1) / passes * strassen_depth_unit;
  }
  for (std::size_t part = most; part >= least; part -= strassen_depth_unit) {
    if (run_of(s) % (part / 2) == 0 && depth % part == 0) return part;
  }
  return 0;
}

// A product of float16 rows with constant weights. Each task packs a block of rows for itself and takes all columns, or a part
// of them. How rows are cut into tiles depends on nothing but their number.
class StrassenProduct final : public WeightKernel {
 public:
  // `coded`: the same weights compressed, or null. `weights`: null where only `coded` has them.
  StrassenProduct(const KernelRequest& request, const ConvShape& shape, const Weights* weights,
                  std::unique_ptr<CodedWeights> coded)
      : WeightKernel(request, shape),
        kernels_(strassen_kernels()),
        gemm_(gemm_kernels().shape),
        depth_(shape.depth()),
        bias_(bias_of(request, false)),
        scale_(scale_of(request)),
        coded_(std::move(coded)) {
    if (coded_ == nullptr) weights_ = pack_panels(shape, *weights, Storage::f16);
    const std::size_t panel = gemm_.panel;
    const std::size_t panels = (shape_.out_c + panel - 1) / panel;
    bias_.resize(panels * panel);
    if (!scale_.empty()) scale_.resize(panels * panel);
    const std::vector<float> coded_squares = weights == nullptr ? coded_->square_sums() : std::vector<float>();
    const auto squares = [&](std::size_t column) {
      return weights == nullptr ? coded_squares[column]
                                : kernels_.square_sum(weights->values.data() + column * depth_ * element, depth_);
    };
    for (std::size_t p = 0; p < panels;) {
      const std::size_t left = shape_.out_c - p * panel;
      Unit unit{p, left >= 2 * panel ? panel : left >= panel ? panel / 2 : 0, true};
      for (std::size_t n = p * panel; unit.sums && n < p * panel + unit.side; ++n)
        unit.sums = strassen_mixes(squares(n), squares(n + unit.side));
      unit.sums &= unit.side != 0;
      units_.push_back(unit);
      quarters_ |= !unit.sums;
      work_ += work_of(unit);
      p += unit.side == panel ? 2 : 1;
    }

    pairs_ = (shape_.rows() + 1) / 2;
    tiles_ = (pairs_ + gemm_.tile_rows - 1) / gemm_.tile_rows;
    pass_depth_ = pass_depth(shape_);
    const std::size_t passes = (depth_ + pass_depth_ - 1) / pass_depth_;
    const std::size_t tile_pairs = (pairs_ + tiles_ - 1) / tiles_;
    tile_floats_ = header + strassen_lefts * tile_pairs * (pass_depth_ / 2);
    // Few rows: each thread takes columns and packs the rows for itself.
    if (tiles_ < threads_ * good_tiles) column_blocks_ = std::min(threads_, (threads_ * good_tiles + tiles_ - 1) / tiles_);
    const std::size_t most_tiles = std::max<std::size_t>(1, block_bytes / (tile_floats_ * sizeof(float)));
    row_blocks_ = (tiles_ + most_tiles - 1) / most_tiles;
    const std::size_t sharing = threads_ / column_blocks_;
    row_blocks_ = std::min(tiles_, (row_blocks_ + sharing - 1) / sharing * sharing);
    const std::size_t block_tiles = (tiles_ + row_blocks_ - 1) / row_blocks_;
    left_bytes_ = rounded(block_tiles * tile_floats_ * sizeof(float));
    partial_floats_ = passes == 1 ? 0 : 4 * tile_pairs * panel;
    partial_bytes_ = rounded(block_tiles * units_.size() * partial_floats_ * sizeof(float));
    right_bytes_ = rounded(strassen_rights * (pass_depth_ / 2 * panel + strassen_gap) * sizeof(float));
    if (coded_ != nullptr) unpacked_bytes_ = rounded(2 * pass_depth_ * panel * element);
  }

  std::string_view name() const noexcept override { return kernels_.name; }
  plan::Workspace workspace() const noexcept override { return {0, worker_bytes()}; }
  std::size_t packed_bytes() const noexcept override {
    return weights_.total_bytes + (coded_ == nullptr ? 0 : coded_->bytes()) + (bias_.size() + scale_.size()) * sizeof(float);
  }

  Status run(const KernelArgs& args) const noexcept override {
    args.pool->parallel(row_blocks_ * column_blocks_, [&](std::size_t task, std::size_t worker) {
      const Place begin = place_of(task / row_blocks_, tiles_of(task % row_blocks_));
      const Place end = place_of(task / row_blocks_ + 1, tiles_of(task % row_blocks_));
      for (Block b = block_of(task % row_blocks_, args.own(worker)); b.depth > 0; next_pass(b)) {
        for (std::size_t t = 0; t < b.tiles; ++t) pack(args, b, t);
        const std::size_t units = end.unit + (end.tile == 0 ? 0 : 1);
        for (std::size_t u = begin.unit; u < units; ++u) {
          const Strip next =
              u + 1 < units ? Strip{u + 1, b.depth_first, b.depth} : Strip{begin.unit, b.depth_first + b.depth, depth_after(b)};
          multiply(args, b, u, u == begin.unit ? begin.tile : 0, u == end.unit ? end.tile : b.tiles, next);
        }
      }
    });
    return {};
  }

 private:
  static constexpr std::size_t element = size_of(Storage::f16);
  static constexpr std::size_t header = 16;     // floats before a tile; the first tells whether its rows may be mixed
  static constexpr std::size_t most_rows = 32;  // of a tile, in pairs
  static constexpr std::size_t good_tiles = 4;  // per thread, for tasks of rows
  static constexpr std::size_t block_bytes = std::size_t{600} << 10;  // of packed rows, in the second-level cache

  // A tile of a unit.
  struct Place {
    std::size_t unit, tile;
  };
  static std::size_t products_of(const Unit& unit) noexcept { return unit.sums ? 7 : unit.side == 0 ? 4 : 8; }
  // Of products by half a panel. The part `i` of column_blocks_ equal ones of a block begins at place_of.
  std::size_t work_of(const Unit& unit) const noexcept {
    return products_of(unit) * (unit.side != 0 && unit.side < gemm_.panel ? 1 : 2);
  }
  Place place_of(std::size_t i, std::size_t tiles) const noexcept {
    std::size_t work = work_ * tiles * i / column_blocks_;
    for (std::size_t u = 0; u < units_.size(); ++u) {
      const std::size_t own = work_of(units_[u]);
      if (work < own * tiles) return {u, work / own};
      work -= own * tiles;
    }
    return {units_.size(), 0};
  }

  // Columns and the depth of a pass.
  struct Strip {
    std::size_t unit, depth_first, depth;
  };

  struct Block {
    std::size_t first, tiles;  // of the tiles of all rows
    std::size_t depth_first, depth;
    float *left, *right, *partial;
    std::uint16_t* unpacked;  // two panels of a pass
    float* right_of_next;
    StrassenAhead ahead;  // of the columns to come; depth 0: none
  };

  std::size_t worker_bytes() const noexcept { return left_bytes_ + 2 * right_bytes_ + partial_bytes_ + unpacked_bytes_; }
  std::size_t tiles_of(std::size_t block) const noexcept {
    return tiles_ * (block + 1) / row_blocks_ - tiles_ * block / row_blocks_;
  }
  Block block_of(std::size_t i, std::byte* memory) const noexcept {
    const auto take = [&](std::size_t bytes) { return std::exchange(memory, memory + bytes); };
    Block b{};
    b.first = tiles_ * i / row_blocks_;
    b.tiles = tiles_of(i);
    b.depth = std::min(pass_depth_, depth_);
    b.left = reinterpret_cast<float*>(take(left_bytes_));
    b.right = reinterpret_cast<float*>(take(right_bytes_));
    b.right_of_next = reinterpret_cast<float*>(take(right_bytes_));
    if (partial_bytes_ != 0) b.partial = reinterpret_cast<float*>(take(partial_bytes_));
    b.unpacked = reinterpret_cast<std::uint16_t*>(memory);
    return b;
  }
  std::size_t depth_after(const Block& b) const noexcept { return std::min(pass_depth_, depth_ - b.depth_first - b.depth); }
  void next_pass(Block& b) const noexcept {
    const std::size_t depth = depth_after(b);
    b.depth_first += b.depth;
    b.depth = depth;
  }

  // Rows of a tile of the block: an even first one.
  TileRange rows_of(const Block& b, std::size_t tile) const noexcept {
    const TileRange pairs = tile_range(pairs_, tiles_, b.first + tile);
    return {2 * pairs.first, std::min(2 * pairs.count, shape_.rows() - 2 * pairs.first)};
  }

  void pack(const KernelArgs& args, const Block& b, std::size_t tile) const noexcept {
    const TileRange rows = rows_of(b, tile);
    float* target = b.left + tile * tile_floats_;
    std::array<const void*, most_rows> x;
    const std::size_t first = offset_of(b.depth_first);
    for (std::size_t r = 0; r < rows.count; ++r)
      x[r] = args.inputs[0] + (pixel(rows.first + r) * shape_.in_c + first) * element;
    const std::size_t half_step = offset_of(b.depth_first + b.depth / 2) - first;
    target[0] = kernels_.pack_rows({x.data(), rows.count, b.depth, half_step, quarters_, target + header}) ? 1.0F : 0.0F;
  }

  // In elements of the input, from the first of a window.
  std::size_t offset_of(std::size_t depth) const noexcept {
    const std::size_t run = run_of(shape_);
    return depth / run * shape_.in_w * shape_.in_c + depth % run;
  }
  // Of the input: the first one under a pixel of the output.
  std::size_t pixel(std::size_t row) const noexcept {
    if (shape_.pointwise()) return row;
    const std::size_t x = row % shape_.out_w;
    const std::size_t y = row / shape_.out_w % shape_.out_h;
    const std::size_t image = row / shape_.out_w / shape_.out_h;
    return (image * shape_.in_h + y * shape_.stride_h) * shape_.in_w + x * shape_.stride_w;
  }

  // The panel as float16; `place`: of two, where it is unpacked to.
  const void* weights_of_panel(const Block& b, std::size_t panel, std::size_t place) const noexcept {
    if (coded_ == nullptr) return panel_at(panel, b.depth_first);
    std::uint16_t* target = b.unpacked + place * b.depth * gemm_.panel;
    coded_->unpack(0, panel, b.depth_first, b.depth, width_of(panel), target);
    return target;
  }
  const std::byte* panel_at(std::size_t panel, std::size_t depth_first) const noexcept {
    return weights_.bytes.get() + (panel * gemm_.panel * depth_ + depth_first * width_of(panel)) * element;
  }
  std::size_t width_of(std::size_t panel) const noexcept {
    return gemm_.width_of(std::min(gemm_.panel, shape_.out_c - panel * gemm_.panel));
  }

  // The columns of a unit as float; `plain`: for tiles that may not be mixed as well.
  void pack_columns(Block& b, const Unit& unit, bool plain) const noexcept {
    const bool begun = b.ahead.depth != 0;
    if (begun) std::swap(b.right, b.right_of_next);
    if (begun && !plain) return kernels_.pack_rest(b.ahead);
    StrassenColumns columns{};
    columns.panels[0] = weights_of_panel(b, unit.panel, 0);
    if (unit.side == gemm_.panel) columns.panels[1] = weights_of_panel(b, unit.panel + 1, 1);
    columns.width = width_of(unit.panel);
    columns.depth = b.depth;
    columns.side = unit.side;
    columns.quarters = plain;
    columns.scratch = b.right;
    kernels_.pack_columns(columns);
  }

  // What is packed while `tiles` tiles of a unit are multiplied.
  StrassenAhead ahead_of(const Block& b, const Unit& unit, std::size_t tiles, const Strip& next) const noexcept {
    if (next.depth == 0 || coded_ != nullptr || !units_[next.unit].sums) return {};
    const std::size_t panel = units_[next.unit].panel;
    StrassenAhead ahead{};
    ahead.side = units_[next.unit].side;
    ahead.depth = next.depth;
    ahead.scratch = b.right_of_next;
    ahead.panels[0] = panel_at(panel, next.depth_first);
    if (ahead.side == gemm_.panel) ahead.panels[1] = panel_at(panel + 1, next.depth_first);
    const std::size_t steps = tiles * products_of(unit) * (b.depth / strassen_depth_unit);
    ahead.per_step = (next.depth + steps - 1) / steps;
    return ahead;
  }

  // Tiles [begin, end) of a unit, and meanwhile the columns after them.
  void multiply(const KernelArgs& args, Block& b, std::size_t u, std::size_t begin, std::size_t end,
                const Strip& next) const noexcept {
    if (begin == end) return;
    const Unit& unit = units_[u];
    const auto mixed = [&](std::size_t t) { return unit.sums && b.left[t * tile_floats_] != 0; };
    bool plain = false;
    for (std::size_t t = begin; t < end; ++t) plain |= !mixed(t);
    pack_columns(b, unit, plain);
    b.ahead = ahead_of(b, unit, end - begin, next);

    StrassenTile tile{};
    tile.right = b.right;
    tile.depth = b.depth;
    tile.side = unit.side;
    const std::size_t column = unit.panel * gemm_.panel;
    tile.columns[0] = unit.side != 0 ? unit.side : std::min(gemm_.panel, shape_.out_c - column);
    tile.columns[1] = unit.side;
    tile.bias = bias_.data() + column;
    if (!scale_.empty()) tile.scale = scale_.data() + column;
    tile.stride = shape_.out_c;
    tile.activation = activation_;
    tile.first = b.depth_first == 0;
    tile.last = b.depth_first + b.depth == depth_;
    if (b.ahead.depth != 0) tile.ahead = &b.ahead;
    for (std::size_t t = begin; t < end; ++t) {
      const TileRange rows = rows_of(b, t);
      const std::size_t offset = (rows.first * shape_.out_c + column) * element;
      tile.left = b.left + t * tile_floats_ + header;
      tile.rows = rows.count;
      tile.sums = mixed(t);
      tile.residual = residual_of(args) == nullptr ? nullptr : residual_of(args) + offset;
      tile.c = args.outputs[0] + offset;
      if (b.partial != nullptr) tile.partial = b.partial + (u * b.tiles + t) * partial_floats_;
      kernels_.multiply(tile);
    }
  }

  const StrassenKernels& kernels_;
  const GemmShape& gemm_;
  std::size_t depth_;
  std::vector<float> bias_, scale_;  // whole panels
  Panels weights_;                   // or
  std::unique_ptr<CodedWeights> coded_;
  std::vector<Unit> units_;
  bool quarters_ = false;  // some columns are not mixed
  std::size_t work_ = 0, pairs_ = 0, tiles_ = 0, row_blocks_ = 0, column_blocks_ = 1, pass_depth_ = 0, partial_floats_ = 0,
              tile_floats_ = 0;
  std::size_t left_bytes_ = 0, partial_bytes_ = 0, right_bytes_ = 0, unpacked_bytes_ = 0;
};

// It pays where there is work enough for the sums before it, and where most columns have a partner.
bool pays(const ConvShape& s) {
  constexpr std::size_t least_rows = 48, least_depth = 64;
  constexpr std::size_t least_work = 18'000'000;  // multiply-adds
  const bool inside = s.pad_top == 0 && s.pad_left == 0 && (s.out_h - 1) * s.stride_h + s.kernel_h <= s.in_h &&
                      (s.out_w - 1) * s.stride_w + s.kernel_w <= s.in_w;
  const bool patches = s.kernel_h == s.stride_h && s.kernel_w == s.stride_w && s.dilation_h * s.dilation_w == 1;
  const std::size_t panel = gemm_kernels().shape.panel;
  const std::size_t depth = s.depth();
  return (s.kernel_h * s.kernel_w == 1 || patches) && inside && s.groups == 1 && s.rows() >= least_rows &&
         depth >= least_depth && depth % strassen_depth_unit == 0 && pass_depth(s) != 0 &&
         s.out_c / panel * panel * 8 >= s.out_c * 7 && s.rows() * depth * s.out_c >= least_work;
}

std::unique_ptr<Kernel> strassen_of(const KernelRequest& request, const ConvShape& shape) {
  if (knob_value(Knob::strassen) == 0 || storage_of(request.view.dtype("x")) != Storage::f16 || !pays(shape)) return nullptr;
  if (request.op.argument("y_scale") != nullptr || request.op.argument("mid_scale") != nullptr) return nullptr;
  const bool by_panels = gemm_kernels().shape.panel == coded_columns;
  if (auto coded = by_panels ? CodedWeights::from_codes(request, shape) : nullptr)
    return std::make_unique<StrassenProduct>(request, shape, nullptr, std::move(coded));
  const auto weights = weights_of(request, false);
  if (!weights || weights->storage != Storage::f16) return nullptr;
  auto coded = by_panels ? CodedWeights::make(request, shape, weights->values) : nullptr;
  return std::make_unique<StrassenProduct>(request, shape, &*weights, std::move(coded));
}

}  // namespace

std::unique_ptr<Kernel> strassen_conv(const KernelRequest& request) {
  return usable(request) ? strassen_of(request, conv_shape(request)) : nullptr;
}

std::unique_ptr<Kernel> strassen_linear(const KernelRequest& request) {
  return usable(request) ? strassen_of(request, linear_shape(request)) : nullptr;
}

}  // namespace tl::cpu
