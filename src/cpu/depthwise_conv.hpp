#pragma once

#include <span>

#include "cpu/conv.hpp"
#include "cpu/depthwise.hpp"

namespace tl::cpu {

// Where rows that are packed block by block, in tiles of at most `tile_rows`, stand in their block.
class BlockRows {
 public:
  BlockRows() = default;
  BlockRows(std::size_t rows, std::size_t block_rows, std::size_t tile_rows);

  struct Part {
    std::size_t first;  // of all rows
    std::span<const TileRow> rows;
  };
  // Tiles [begin, end) of a block.
  Part part(std::size_t block, std::size_t begin, std::size_t end) const noexcept;

 private:
  std::size_t rows_ = 0, block_rows_ = 1, tile_rows_ = 1;
  std::vector<TileRow> whole_, last_;  // of a whole block and of the last one
};

// A depthwise convolution with its weights packed.
class Depthwise {
 public:
  // Null when the op is none, or none that the kernel takes.
  static std::unique_ptr<Depthwise> make(const KernelRequest& request);
  // The one before a pointwise convolution, when nothing else reads its results: they may be packed as rows of the product
  // without being stored. Null otherwise.
  static std::unique_ptr<Depthwise> before(const KernelRequest& pointwise);

  // Lacks `last`, `channels` and where results go.
  DepthwiseArgs pixels_from(const void* input) const noexcept;
  // Results of the pixels `part` and the channels [channel, channel + channels) as rows of tiles.
  void pack(const void* input, const BlockRows::Part& part, std::size_t channel, std::size_t channels,
            float* tiles) const noexcept;
  // The same of all channels, as bf16: tiles of DotBlock. Where the machine has products in bf16.
  void pack_bf16(const void* input, const BlockRows::Part& part, std::uint32_t* tiles) const noexcept;
  void run(const DepthwiseArgs& args) const noexcept { kernel_(args); }

  const ConvShape& shape() const noexcept { return shape_; }
  std::size_t bytes() const noexcept { return bytes_; }

  const ir::Op* op;
  const ir::Var* x;

 private:
  Depthwise(const KernelRequest& request, const ConvShape& shape, const Weights& weights);
  DepthwiseArgs packed_from(const void* input, const BlockRows::Part& part) const noexcept;

  ConvShape shape_;
  Storage storage_;
  ActivationSpec activation_;
  DepthwisePixels kernel_;
  plan::AlignedBytes weights_;
  std::size_t bytes_ = 0;
};

}  // namespace tl::cpu
