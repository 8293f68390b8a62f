#include <algorithm>

#include "op/strided.hpp"

namespace tl::op {

using namespace ir;

namespace {

// `x` seen under `shape`, its axes permuted, then stored under the output's shape.
void permute(Eval& c, const Shape& shape, const std::vector<std::size_t>& order) {
  const Tensor x = c.in("x");
  const auto strides = strides_of(shape);
  std::vector<std::int64_t> from;
  Shape moved;
  for (const std::size_t axis : order) {
    from.push_back(strides[axis]);
    moved.push_back(shape[axis]);
  }
  Tensor result(x.dtype(), c.out_shape());
  copy_strided(x.data(), from, result.mutable_data(), strides_of(moved), moved, element_bytes(c, "x", x.dtype()));
  c.set(0, std::move(result));
}

std::int64_t factor(const Infer& c, std::string_view param) {
  const std::int64_t value = c.integer(param);
  if (value < 1 || value > (1 << 20)) c.reject(param, "must be positive, is {}", value);
  return value;
}

Dim divided(const Infer& c, std::string_view param, Dim dim, std::int64_t by) {
  if (!dim.known()) return dim;
  if (dim.extent() % by != 0) c.reject(param, "an extent of {} is no multiple of {}", dim.extent(), by);
  return dim.extent() / by;
}

Dim multiplied(Dim dim, std::int64_t by) { return dim.known() ? Dim(checked_mul(dim.extent(), by, "extent")) : dim; }

Dims rank_four(const Infer& c) {
  Dims dims = c.dims("x");
  if (dims.size() != 4) c.reject("x", "needs rank 4, has {}", dims.size());
  return dims;
}

}  // namespace

// Channels to blocks: the block's row and column are the slow part of the channel axis.
TL_OP(depth_to_space) {
  op.in("x", dt::numeric);
  op.in("block_size", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims d = rank_four(c);
    const std::int64_t b = factor(c, "block_size");
    c.out(c.dtype("x"), {d[0], divided(c, "block_size", d[1], b * b), multiplied(d[2], b), multiplied(d[3], b)});
  };
  op.eval = [](Eval& c) {
    const Shape& s = c.shape("x");
    const std::int64_t b = c.integer("block_size");
    permute(c, {s[0], b, b, s[1] / (b * b), s[2], s[3]}, {0, 3, 4, 1, 5, 2});
  };
}

TL_OP(space_to_depth) {
  op.in("x", dt::numeric);
  op.in("block_size", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims d = rank_four(c);
    const std::int64_t b = factor(c, "block_size");
    c.out(c.dtype("x"), {d[0], multiplied(d[1], b * b), divided(c, "block_size", d[2], b), divided(c, "block_size", d[3], b)});
  };
  op.eval = [](Eval& c) {
    const Shape& s = c.shape("x");
    const std::int64_t b = c.integer("block_size");
    permute(c, {s[0], s[1], s[2] / b, b, s[3] / b, b}, {0, 3, 5, 1, 2, 4});
  };
}

// As PyTorch: the block's row and column are the fast part of the channel axis.
TL_OP(pixel_shuffle) {
  op.in("x", dt::numeric);
  op.in("upscale_factor", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims d = rank_four(c);
    const std::int64_t r = factor(c, "upscale_factor");
    c.out(c.dtype("x"), {d[0], divided(c, "upscale_factor", d[1], r * r), multiplied(d[2], r), multiplied(d[3], r)});
  };
  op.eval = [](Eval& c) {
    const Shape& s = c.shape("x");
    const std::int64_t r = c.integer("upscale_factor");
    permute(c, {s[0], s[1] / (r * r), r, r, s[2], s[3]}, {0, 1, 4, 2, 5, 3});
  };
}

TL_OP(pixel_unshuffle) {
  op.in("x", dt::numeric);
  op.in("downscale_factor", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims d = rank_four(c);
    const std::int64_t r = factor(c, "downscale_factor");
    c.out(c.dtype("x"),
          {d[0], multiplied(d[1], r * r), divided(c, "downscale_factor", d[2], r), divided(c, "downscale_factor", d[3], r)});
  };
  op.eval = [](Eval& c) {
    const Shape& s = c.shape("x");
    const std::int64_t r = c.integer("downscale_factor");
    permute(c, {s[0], s[1], s[2] / r, r, s[3] / r, r}, {0, 1, 3, 5, 2, 4});
  };
}

// x [batch, channels, H, W], zero-padded, cut into blocks that move to the batch axis.
TL_OP(space_to_batch) {
  op.in("x", dt::numeric);
  op.in("block_shape", dt::ints).constant();
  op.in("paddings", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims d = c.dims("x");
    const auto block = c.ints("block_shape");
    const Tensor pads = c.known("paddings");
    if (d.size() != block.size() + 2) c.reject("block_shape", "{} block extents for rank {}", block.size(), d.size());
    if (pads.rank() != 2 || pads.dim(0) != iz(block.size()) || pads.dim(1) != 2)
      c.reject("paddings", "expected shape [{}, 2], got {}", block.size(), to_string(pads.shape()));
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::int64_t before = pads.integer_at(iz(2 * i));
      const std::int64_t after = pads.integer_at(iz(2 * i + 1));
      if (block[i] < 1) c.reject("block_shape", "an extent of {}", block[i]);
      if (before < 0 || after < 0) c.reject("paddings", "a padding of {}", std::min(before, after));
      if (d[i + 2].known())
        d[i + 2] = divided(c, "block_shape", checked_add(d[i + 2].extent(), checked_add(before, after, "padding"), "extent"),
                           block[i]);
      d[0] = multiplied(d[0], block[i]);
    }
    c.out(c.dtype("x"), std::move(d));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto block = c.ints("block_shape");
    const Tensor pads = c.in("paddings");
    Shape padded = x.shape();
    for (std::size_t i = 0; i < block.size(); ++i) padded[i + 2] += pads.integer_at(iz(2 * i)) + pads.integer_at(iz(2 * i + 1));
    Tensor wide = Tensor::zeros(x.dtype(), padded);
    const auto strides = strides_of(padded);
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < block.size(); ++i) offset += pads.integer_at(iz(2 * i)) * strides[i + 2];
    const std::size_t element = element_bytes(c, "x", x.dtype());
    if (x.size() != 0)
      copy_strided(x.data(), strides_of(x.shape()), wide.mutable_data() + offset * iz(element), strides, x.shape(), element);
    // [block..., batch, channels, spatial / block...]
    Tensor result(x.dtype(), c.out_shape());
    Shape shape;
    std::vector<std::int64_t> from;
    for (std::size_t i = 0; i < block.size(); ++i) {
      shape.push_back(block[i]);
      from.push_back(strides[i + 2]);
    }
    shape.insert(shape.end(), {padded[0], padded[1]});
    from.insert(from.end(), {strides[0], strides[1]});
    for (std::size_t i = 0; i < block.size(); ++i) {
      shape.push_back(padded[i + 2] / block[i]);
      from.push_back(strides[i + 2] * block[i]);
    }
    copy_strided(wide.data(), from, result.mutable_data(), strides_of(shape), shape, element);
    c.set(0, std::move(result));
  };
}

TL_OP(batch_to_space) {
  op.in("x", dt::numeric);
  op.in("block_shape", dt::ints).constant();
  op.in("crops", dt::ints).constant();
  op.infer = [](Infer& c) {
    Dims d = c.dims("x");
    const auto block = c.ints("block_shape");
    const Tensor crops = c.known("crops");
    if (d.size() != block.size() + 2) c.reject("block_shape", "{} block extents for rank {}", block.size(), d.size());
    if (crops.rank() != 2 || crops.dim(0) != iz(block.size()) || crops.dim(1) != 2)
      c.reject("crops", "expected shape [{}, 2], got {}", block.size(), to_string(crops.shape()));
    for (std::size_t i = 0; i < block.size(); ++i) {
      if (block[i] < 1) c.reject("block_shape", "an extent of {}", block[i]);
      d[0] = divided(c, "block_shape", d[0], block[i]);
      d[i + 2] = multiplied(d[i + 2], block[i]);
      const std::int64_t before = crops.integer_at(iz(2 * i));
      const std::int64_t after = crops.integer_at(iz(2 * i + 1));
      if (before < 0 || after < 0) c.reject("crops", "a crop of {}", std::min(before, after));
      if (!d[i + 2].known()) continue;
      if (checked_add(before, after, "crop") > d[i + 2].extent())
        c.reject("crops", "crops leave nothing of {}", d[i + 2].extent());
      d[i + 2] = d[i + 2].extent() - before - after;
    }
    c.out(c.dtype("x"), std::move(d));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const auto block = c.ints("block_shape");
    const Tensor crops = c.in("crops");
    const std::size_t n = block.size();
    Shape whole = x.shape();
    for (std::size_t i = 0; i < n; ++i) {
      whole[0] /= block[i];
      whole[i + 2] *= block[i];
    }
    Tensor wide(x.dtype(), whole);
    const auto to = strides_of(whole);
    Shape shape(block.begin(), block.end());
    std::vector<std::int64_t> target;
    for (std::size_t i = 0; i < n; ++i) target.push_back(to[i + 2]);
    shape.insert(shape.end(), {whole[0], whole[1]});
    target.insert(target.end(), {to[0], to[1]});
    for (std::size_t i = 0; i < n; ++i) {
      shape.push_back(x.dim(i + 2));
      target.push_back(to[i + 2] * block[i]);
    }
    const std::size_t element = element_bytes(c, "x", x.dtype());
    copy_strided(x.data(), strides_of(shape), wide.mutable_data(), target, shape, element);
    Tensor result(x.dtype(), c.out_shape());
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < n; ++i) offset += crops.integer_at(iz(2 * i)) * to[i + 2];
    if (result.size() != 0)
      copy_strided(wide.data() + offset * iz(element), to, result.mutable_data(), strides_of(result.shape()), result.shape(),
                   element);
    c.set(0, std::move(result));
  };
}

// Windows of `size` along an axis, which becomes two: the window and the place in it.
TL_OP(sliding_windows) {
  op.in("x", dt::numeric | dt::boolean);
  op.in("axis", dt::ints).constant();
  op.in("size", dt::ints).constant();
  op.in("stride", dt::ints).constant().def(1);
  op.infer = [](Infer& c) {
    Dims d = c.dims("x");
    const std::int64_t axis = c.axis("axis", iz(d.size()));
    const std::int64_t size = factor(c, "size");
    const std::int64_t stride = factor(c, "stride");
    Dim& extent = d[uz(axis)];
    if (extent.known()) {
      if (size > extent.extent()) c.reject("size", "a window of {} on an axis of {}", size, extent.extent());
      extent = (extent.extent() - size) / stride + 1;
    }
    d.insert(d.begin() + axis + 1, Dim(size));
    c.out(c.dtype("x"), std::move(d));
  };
  op.eval = [](Eval& c) {
    const Tensor x = c.in("x");
    const std::int64_t rank = iz(x.rank());
    const std::int64_t axis = c.axis("axis", rank);
    auto from = strides_of(x.shape());
    const std::int64_t step = from[uz(axis)];
    from[uz(axis)] = step * c.integer("stride");
    from.insert(from.begin() + axis + 1, step);
    Tensor result(x.dtype(), c.out_shape());
    copy_strided(x.data(), from, result.mutable_data(), strides_of(result.shape()), result.shape(),
                 element_bytes(c, "x", x.dtype()));
    c.set(0, std::move(result));
  };
}

// The middle [lower, upper] diagonals of the last two axes; the rest 0. Negative: all on that side.
TL_OP(band_part) {
  op.in("x", dt::numeric | dt::boolean);
  op.in("lower", dt::ints).constant().def(-1);
  op.in("upper", dt::ints).constant().def(-1);
  op.infer = [](Infer& c) {
    if (c.rank("x") < 2) c.reject("x", "needs at least two axes, has {}", c.rank("x"));
    c.out(c.type("x"));
  };
  op.eval = [](Eval& c) {
    Tensor result = c.in("x").clone();
    const std::int64_t columns = result.shape().back();
    const std::int64_t rows = result.shape()[result.rank() - 2];
    const std::int64_t lower = c.integer("lower");
    const std::int64_t upper = c.integer("upper");
    const std::size_t element = element_bytes(c, "x", result.dtype());
    std::byte* line = result.mutable_data();
    const std::int64_t lines = columns == 0 ? 0 : result.size() / columns;
    for (std::int64_t i = 0; i < lines; ++i, line += uz(columns) * element) {
      const std::int64_t row = i % rows;
      const std::int64_t first = lower < 0 || row < lower ? 0 : std::min(columns, row - lower);
      const std::int64_t last = upper < 0 || upper >= columns - row ? columns : std::max<std::int64_t>(0, row + upper + 1);
      if (first > 0) std::memset(line, 0, uz(first) * element);
      if (last < columns) std::memset(line + uz(last) * element, 0, uz(columns - last) * element);
    }
    c.set(0, std::move(result));
  };
}

}  // namespace tl::op
