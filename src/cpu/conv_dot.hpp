#pragma once

#include "cpu/conv.hpp"
#include "cpu/dot.hpp"

namespace tl::cpu {

// A convolution by products of words. Windows are packed as tiles and multiplied with panels of the weight. Where there are
// rows enough, each task packs rows of its own and takes all columns; else all pack together first and then share the panels.
class DotConv : public Kernel {
 public:
  std::string_view name() const noexcept override { return dot_.name; }
  plan::Workspace workspace() const noexcept override;
  std::size_t packed_bytes() const noexcept override { return weight_bytes_; }
  Status run(const KernelArgs& args) const noexcept override;

 protected:
  DotConv(const KernelRequest& request, const ConvShape& shape, const DotKernels& dot);

  std::size_t words() const noexcept { return words_; }
  std::size_t columns() const noexcept { return columns_; }
  // Rows of words of `valid` columns of a group, from column `first` on, in the order (tap, in); words past the depth are zero.
  virtual void read_rows(std::size_t group, std::size_t first, std::size_t valid, std::uint32_t* rows) const = 0;
  // Packs all panels by `read_rows`.
  void pack_weights();
  // What the kind of product adds to a block and to the packing of its rows.
  // `offset`: elements before the block's first row in the results.
  virtual void complete(DotBlock& block, const KernelArgs& args, std::size_t group, std::size_t offset) const noexcept = 0;
  virtual void complete(DotPack& pack) const noexcept = 0;
  // Packs tiles [begin, end) of a block, the windows if not overridden. `scratch`: of the worker.
  virtual void pack(const KernelArgs& args, const DotBlock& g, std::size_t group, std::size_t block, std::size_t begin,
                    std::size_t end, std::uint32_t* scratch) const noexcept;
  static std::size_t tiles_of(std::size_t rows) noexcept { return (rows + dot_rows - 1) / dot_rows; }
  std::size_t block_rows() const noexcept { return block_rows_; }
  std::size_t threads() const noexcept { return threads_; }

  std::size_t most_parts_ = ~std::size_t{0};  // in which threads pack a block together; at most one for each tile
  ConvShape shape_;
  const DotKernels& dot_;

 private:
  void split_rows(std::size_t most_bytes, std::size_t row_bytes, std::size_t share);
  DotBlock block_of(const KernelArgs& args, std::size_t group, std::size_t block, std::byte* packed) const noexcept;
  std::uint32_t* scratch_of(const KernelArgs& args, std::size_t worker) const noexcept {
    return reinterpret_cast<std::uint32_t*>(args.own(worker) + (shared_ ? 0 : packed_bytes_));
  }
  void together(const KernelArgs& args, std::size_t group, std::size_t block) const noexcept;

  std::size_t threads_;
  plan::AlignedBytes weights_;
  bool shared_ = false;
  std::size_t columns_ = 0, words_ = 0, panels_ = 0, weight_bytes_ = 0, block_rows_ = 0, row_blocks_ = 0;
  std::size_t packed_bytes_ = 0, scratch_bytes_ = 0;
};

}  // namespace tl::cpu
