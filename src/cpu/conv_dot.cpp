#include "cpu/conv_dot.hpp"

#include <algorithm>

namespace tl::cpu {
namespace {

constexpr std::size_t private_bytes = std::size_t{400} << 10;  // packed rows that stay in the second-level cache
constexpr std::size_t shared_bytes = std::size_t{800} << 10;
constexpr std::size_t tasks_per_thread = 8;
constexpr std::size_t least_rows = 20;  // per thread, to be worth reading all weights in each
constexpr std::size_t good_rows = 112;
// Of weights that each thread reads all of, though its rows are few.
constexpr std::size_t most_private = std::size_t{900} << 10;

}  // namespace

DotConv::DotConv(const KernelRequest& request, const ConvShape& shape, const DotKernels& dot)
    : shape_(shape), dot_(dot), threads_(request.threads) {
  inputs.push_back(request.variable("x"));
  if (const ir::Var* residual = request.variable("residual")) inputs.push_back(residual);
  columns_ = shape_.out_c / shape_.groups;
  words_ = (shape_.depth() + dot_.per_word - 1) / dot_.per_word;
  panels_ = dot_panels(columns_);
  const std::size_t row_bytes = padded_words(words_) * sizeof(std::uint32_t);
  const std::size_t rows = shape_.rows() * shape_.groups;
  const bool large = dot_columns(columns_) * words_ * sizeof(std::uint32_t) > most_private;
  shared_ = threads_ > 1 && rows < threads_ * (large ? good_rows : least_rows);
  const std::size_t least = large ? good_rows : 2 * dot_rows;
  const std::size_t tasks = std::clamp(rows / least, std::size_t{1}, tasks_per_thread) * threads_;
  split_rows(shared_ ? shared_bytes : private_bytes, row_bytes,
             shared_ || threads_ == 1 ? shape_.rows() : (rows + tasks - 1) / tasks);
  packed_bytes_ = rounded(block_rows_ * row_bytes);
  const std::size_t gathered = words_ * sizeof(std::uint32_t) <= dot_gathered + sizeof(std::uint32_t) ? dot_rows : 1;
  scratch_bytes_ = rounded(gathered * (row_bytes + dot_block * sizeof(std::uint32_t)));
}

void DotConv::split_rows(std::size_t most_bytes, std::size_t row_bytes, std::size_t share) {
  block_rows_ = std::max(dot_rows, most_bytes / row_bytes / dot_rows * dot_rows);
  block_rows_ = std::min(block_rows_, (share + dot_rows - 1) / dot_rows * dot_rows);
  row_blocks_ = (shape_.rows() + block_rows_ - 1) / block_rows_;
  block_rows_ = (shape_.rows() + row_blocks_ - 1) / row_blocks_;
  row_blocks_ = (shape_.rows() + block_rows_ - 1) / block_rows_;
}

plan::Workspace DotConv::workspace() const noexcept {
  return shared_ ? plan::Workspace{packed_bytes_, scratch_bytes_} : plan::Workspace{0, packed_bytes_ + scratch_bytes_};
}

void DotConv::pack_weights() {
  weight_bytes_ = shape_.groups * dot_columns(columns_) * words_ * sizeof(std::uint32_t);
  weights_ = plan::allocate_aligned(weight_bytes_);
  std::vector<std::uint32_t> rows(dot_panel * words_, 0);
  for (std::size_t group = 0; group < shape_.groups; ++group) {
    auto* target = reinterpret_cast<std::uint32_t*>(weights_.get()) + group * dot_columns(columns_) * words_;
    for (std::size_t first = 0; first < columns_; first += dot_panel) {
      const std::size_t valid = std::min(dot_panel, columns_ - first);
      read_rows(group, first, valid, rows.data());
      pack_words(rows.data(), words_, words_, valid, dot_width(columns_, first), target + first * words_);
    }
  }
}

Status DotConv::run(const KernelArgs& args) const noexcept {
  if (shared_) {
    for (std::size_t i = 0; i < shape_.groups * row_blocks_; ++i) together(args, i / row_blocks_, i % row_blocks_);
  } else {
    args.pool->parallel(shape_.groups * row_blocks_, [&](std::size_t task, std::size_t worker) {
      const std::size_t block = task % row_blocks_;
      const DotBlock g = block_of(args, task / row_blocks_, block, args.own(worker));
      pack(args, g, task / row_blocks_, block, 0, tiles_of(g.rows), scratch_of(args, worker));
      dot_.multiply(g);
    });
  }
  return {};
}

DotBlock DotConv::block_of(const KernelArgs& args, std::size_t group, std::size_t block, std::byte* packed) const noexcept {
  const std::size_t first = block * block_rows_;
  DotBlock g{};
  g.a = reinterpret_cast<const std::uint32_t*>(packed);
  g.rows = std::min(block_rows_, shape_.rows() - first);
  g.words = words_;
  g.b = reinterpret_cast<const std::uint32_t*>(weights_.get()) + group * dot_columns(columns_) * words_;
  g.columns = columns_;
  g.panel_end = panels_;
  g.c_stride = shape_.out_c;
  complete(g, args, group, first * shape_.out_c);
  return g;
}

void DotConv::pack(const KernelArgs& args, const DotBlock& g, std::size_t group, std::size_t block, std::size_t begin,
                   std::size_t end, std::uint32_t* scratch) const noexcept {
  for (std::size_t t = begin; t < end; ++t) {
    const TileRange range = tile_range(g.rows, tiles_of(g.rows), t);
    DotPack pack{};
    pack.shape = &shape_;
    pack.x = args.inputs[0];
    pack.group = group;
    pack.first = block * block_rows_ + range.first;
    pack.count = range.count;
    pack.depth = shape_.depth();
    pack.tile = const_cast<std::uint32_t*>(g.a) + range.first * padded_words(words_);
    pack.row = scratch;
    complete(pack);
    dot_.pack_tile(pack);
  }
}

void DotConv::together(const KernelArgs& args, std::size_t group, std::size_t block) const noexcept {
  const DotBlock g = block_of(args, group, block, args.shared);
  const std::size_t tiles = tiles_of(g.rows);
  const std::size_t parts = std::min(tiles, most_parts_);
  args.pool->parallel(parts, [&](std::size_t part, std::size_t worker) {
    pack(args, g, group, block, tiles * part / parts, tiles * (part + 1) / parts, scratch_of(args, worker));
  });
  // Panels by runs of tiles, fine enough to even out.
  const std::size_t runs = std::min(tiles, panels_ >= threads_ * 4 ? 1 : (threads_ * 4 + panels_ - 1) / panels_);
  const std::size_t units = panels_ * runs;
  const std::size_t tasks = std::min(units, threads_ * 8);
  args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
    DotBlock part = g;
    for (std::size_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) {
      part.panel_begin = unit / runs;
      part.panel_end = part.panel_begin + 1;
      part.tile_begin = tiles * (unit % runs) / runs;
      part.tile_end = tiles * (unit % runs + 1) / runs;
      dot_.multiply(part);
    }
  });
}

}  // namespace tl::cpu
