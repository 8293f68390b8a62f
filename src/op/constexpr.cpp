#include <bit>
#include <cstring>

#include "op/blocks.hpp"

// The ops that stand for compressed weights. iOS16 forms are flat and carry a `shape`; iOS18 forms have shapes of their own.
namespace tl::op {

using namespace ir;

namespace {

constexpr DTypeSet reals = dt::f16 | dt::f32;
constexpr DTypeSet bytes = dt::of(DType::i8) | dt::of(DType::u8);
constexpr DTypeSet quantized = bytes | dt::of(DType::i4) | dt::of(DType::u4);
constexpr DTypeSet palette_indices =
    dt::of(DType::u1) | dt::of(DType::u2) | dt::of(DType::u3) | dt::of(DType::u4) | dt::of(DType::u6) | dt::of(DType::u8);
constexpr DTypeSet palette_values = bytes | reals;

// The extents that the `shape` of an iOS16 form spells, after a check that `bits` for each element fill `bytes_given` bytes.
Dims stored_shape(const Infer& c, std::string_view packed, std::int64_t bits) {
  Shape shape = c.ints("shape");
  for (const std::int64_t extent : shape) {
    if (extent < 0) c.reject("shape", "negative extent in {}", to_string(shape));
  }
  const std::int64_t count = element_count(shape);
  const Dims given = c.dims(packed);
  if (given.size() != 1) c.reject(packed, "expected a list of bytes, got shape {}", to_string(given));
  const std::int64_t need = count / 8 * bits + (count % 8 * bits + 7) / 8;
  if (given[0].known() && given[0].extent() != need) {
    c.reject(packed, "{} bytes, but {} elements of {} bits need {}", given[0].extent(), count, bits, need);
  }
  return dims_of(shape);
}

// A packed bit mask, read as bits from the low end of each byte.
struct Mask {
  const std::byte* data;
  std::int64_t count;

  bool operator[](std::int64_t i) const { return ((static_cast<unsigned>(data[i >> 3]) >> (i & 7)) & 1U) != 0; }
  std::int64_t ones() const {
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < count / 8; ++i) total += std::popcount(static_cast<unsigned>(data[i]));
    for (std::int64_t i = count / 8 * 8; i < count; ++i) total += (*this)[i] ? 1 : 0;
    return total;
  }
};

void check_list(const Infer& c, std::string_view param) {
  if (c.rank(param) != 1) c.reject(param, "expected a list, got shape {}", to_string(c.dims(param)));
}

// `data` holds one element for every set bit of `mask`, which has `count` bits.
void check_ones(const Infer& c, std::string_view mask, std::int64_t count, std::string_view data) {
  const Tensor bits = c.known(mask);
  const Dim given = c.dims(data)[0];
  if (!bits.defined() || !given.known()) return;
  if (const std::int64_t ones = Mask{bits.data(), count}.ones(); ones != given.extent()) {
    c.reject(data, "{} elements, but the mask has {} ones", given.extent(), ones);
  }
}

void check_mask(const Infer& c, std::string_view mask, std::string_view data) {
  const auto shape = shape_of(c.type(mask).tensor());
  check_list(c, data);
  if (shape) check_ones(c, mask, element_count(*shape), data);
}

// Copies element by element; sub-byte types keep their packing.
void copy_element(const Tensor& from, std::int64_t i, std::byte* to, std::int64_t k) {
  if (is_sub_byte(from.dtype())) {
    set_packed_element(to, from.dtype(), k, packed_element(from.data(), from.dtype(), i));
    return;
  }
  const std::size_t width = uz(bits(from.dtype())) / 8;
  std::memcpy(to + uz(k) * width, from.data() + uz(i) * width, width);
}

Tensor dense(const Tensor& nonzero, Mask mask, const Shape& shape) {
  Tensor result = Tensor::zeros(nonzero.dtype(), shape);
  std::byte* out = result.mutable_data();
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < mask.count; ++i) {
    if (mask[i]) copy_element(nonzero, next++, out, i);
  }
  return result;
}

// The elements under the ones of a mask.
Tensor sparse(const Tensor& full, Mask mask, std::int64_t ones) {
  Tensor result = Tensor::zeros(full.dtype(), {ones});
  std::byte* out = result.mutable_data();
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < mask.count; ++i) {
    if (mask[i]) copy_element(full, i, out, next++);
  }
  return result;
}

// Where a palette of vectors lays each vector: along `axis` of the result.
std::int64_t vector_axis(const OpView& c, std::int64_t rank) {
  if (!c.has("vector_axis")) return rank - 1;
  const std::int64_t axis = c.integer("vector_axis");
  if (axis < -rank || axis >= rank) c.reject("vector_axis", "axis {} is outside rank {}", axis, rank);
  return axis < 0 ? axis + rank : axis;
}

Dim times(Dim extent, std::int64_t factor) {
  return extent.known() ? Dim(checked_mul(extent.extent(), factor, "the number of elements")) : extent;
}

// Checks a palette `lut` of shape [blocks..., 2^bits, vector] against indices of shape `dims`; returns the size of its vectors.
std::int64_t check_palette(const Infer& c, const Dims& dims, DType indices) {
  const Dims lut = c.dims("lut");
  if (dims.empty()) c.reject("lut", "the indices are a scalar");
  if (lut.size() != dims.size() + 2)
    c.reject("lut", "rank {}, expected {} for indices of shape {}", lut.size(), dims.size() + 2, to_string(dims));
  if (!all_known(lut)) c.reject("lut", "its shape must be known, is {}", to_string(lut));
  check_blocks(c, "lut", dims, lut);
  const std::int64_t entries = lut[dims.size()].extent();
  if (entries != std::int64_t{1} << bits(indices))
    c.reject("lut", "{} entries, but the indices are {}", entries, name(indices));
  const std::int64_t vector = lut.back().extent();
  if (vector < 1) c.reject("lut", "holds empty vectors");
  if (vector > 1 && !c.has("vector_axis")) c.reject("vector_axis", "needed because lut holds vectors of {}", vector);
  vector_axis(c, iz(dims.size()));
  return vector;
}

Dims stretched(const OpView& c, Dims dims, std::int64_t vector) {
  Dim& extent = dims[uz(vector_axis(c, iz(dims.size())))];
  extent = times(extent, vector);
  return dims;
}

// Every index replaced by its entry (a vector along `axis`) of the palette of its block.
Tensor looked_up(const Tensor& indices, const Tensor& lut, std::int64_t axis, const Shape& out_shape) {
  const Shape& shape = indices.shape();
  const std::int64_t entries = lut.dim(lut.rank() - 2);
  const std::int64_t vector = lut.dim(lut.rank() - 1);
  std::int64_t inner = 1;
  for (std::size_t i = uz(axis) + 1; i < shape.size(); ++i) inner *= shape[i];
  const Tensor plain = indices.cast(DType::u8);
  const auto index = plain.values<std::uint8_t>();
  const BlockGrid grid(shape, Shape(lut.shape().begin(), lut.shape().end() - 2));
  Tensor result(lut.dtype(), out_shape);
  visit_dtype(lut.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* values = lut.values<T>().data();
    T* out = result.mutable_values<T>().data();
    grid.for_each_run([&](std::int64_t first, std::int64_t count, std::int64_t block) {
      const T* palette = values + block * entries * vector;
      if (vector == 1) {
        for (std::int64_t i = first; i < first + count; ++i) out[i] = palette[index[uz(i)]];
        return;
      }
      for (std::int64_t i = first; i < first + count; ++i) {
        const T* entry = palette + index[uz(i)] * vector;
        T* at = out + i / inner * vector * inner + i % inner;
        for (std::int64_t k = 0; k < vector; ++k) at[k * inner] = entry[k];
      }
    });
  });
  return result;
}

void infer_blockwise(const Infer& c, const Dims& data, DType dtype) {
  if (data.empty()) c.reject("scale", "the data are a scalar");
  const Dims scale = c.dims("scale");
  if (scale.size() != data.size()) c.reject("scale", "rank {}, expected {}", scale.size(), data.size());
  check_blocks(c, "scale", data, scale);
  if (!c.has("offset")) return;
  const Dims offset = c.dims("offset");
  if (offset != scale && all_known(offset) && all_known(scale)) {
    c.reject("offset", "shape {} differs from that of scale, {}", to_string(offset), to_string(scale));
  }
  if (offset.size() != scale.size()) c.reject("offset", "rank {}, expected {}", offset.size(), scale.size());
  if (const DType given = c.dtype("offset"); !is_floating(given) && given != dtype) {
    c.reject("offset", "dtype {} does not match the data, which are {}", name(given), name(dtype));
  }
}

Tensor blockwise(const Eval& c, const Tensor& data, DType dtype) {
  const Tensor scale = c.in("scale");
  const std::vector<float> offset = c.has("offset") ? widened(c.in("offset")) : std::vector<float>();
  return shift_scale(data, BlockGrid(data.shape(), scale.shape()), widened(scale), offset, dtype);
}

void infer_flat_palette(Infer& c) {
  const Dims lut = c.dims("lut");
  if (lut.size() != 1 || !lut[0].known()) c.reject("lut", "expected a list, got shape {}", to_string(lut));
  const auto entries = static_cast<std::uint64_t>(lut[0].extent());
  if (!std::has_single_bit(entries) || entries < 2 || entries > 256)
    c.reject("lut", "{} entries, expected 2, 4, 16, 64 or 256", entries);
  if (c.dtype("indices") != DType::u8) c.reject("indices", "expected uint8, got {}", name(c.dtype("indices")));
  c.out(c.dtype("lut"), stored_shape(c, "indices", std::countr_zero(entries)));
}

Tensor flat_palette(const Tensor& indices, const Tensor& lut, const Shape& shape) {
  const auto width = static_cast<unsigned>(std::countr_zero(static_cast<std::uint64_t>(lut.size())));
  const auto packed = indices.values<std::uint8_t>();
  Tensor result(lut.dtype(), shape);
  visit_dtype(lut.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto palette = lut.values<T>();
    unsigned window = 0, held = 0;
    std::size_t next = 0;
    for (T& out : result.mutable_values<T>()) {
      if (held < width) {
        window |= static_cast<unsigned>(packed[next++]) << held;
        held += 8;
      }
      out = palette[window & ((1U << width) - 1U)];
      window >>= width;
      held -= width;
    }
  });
  return result;
}

}  // namespace

TL_OP(constexpr_cast) {
  op.constexpr_op = true;
  op.in("source_val", reals);
  op.in("output_dtype", dt::string).constant();
  op.infer = [](Infer& c) {
    const auto dtype = dtype_from_name(c.text("output_dtype"));
    if (dtype != DType::f32 && dtype != DType::f16) c.reject("output_dtype", "cannot cast to '{}'", c.text("output_dtype"));
    c.out(*dtype, c.dims("source_val"));
  };
  op.eval = [](Eval& c) { c.set(0, c.in("source_val").cast(c.out_dtype())); };
}

TL_OP(constexpr_lut_to_dense) {
  op.constexpr_op = true;
  op.in("indices", palette_indices);
  op.in("lut", palette_values);
  op.in("vector_axis", dt::ints).constant().optional();
  op.in("shape", dt::ints).constant().optional();
  op.infer = [](Infer& c) {
    if (c.has("shape")) return infer_flat_palette(c);
    const Dims dims = c.dims("indices");
    c.out(c.dtype("lut"), stretched(c, dims, check_palette(c, dims, c.dtype("indices"))));
  };
  op.eval = [](Eval& c) {
    const Tensor indices = c.in("indices");
    const Tensor lut = c.in("lut");
    const Shape shape = c.out_shape();
    c.set(0, c.has("shape") ? flat_palette(indices, lut, shape)
                            : looked_up(indices, lut, vector_axis(c, iz(indices.rank())), shape));
  };
}

TL_OP(constexpr_sparse_to_dense) {
  op.constexpr_op = true;
  op.in("nonzero_data", quantized | reals);
  op.in("mask", dt::of(DType::u1) | dt::of(DType::u8));
  op.in("shape", dt::ints).constant().optional();
  op.infer = [](Infer& c) {
    const DType want = c.has("shape") ? DType::u8 : DType::u1;
    if (c.dtype("mask") != want) c.reject("mask", "expected {}, got {}", name(want), name(c.dtype("mask")));
    if (!c.has("shape")) {
      check_mask(c, "mask", "nonzero_data");
      c.out(c.dtype("nonzero_data"), c.dims("mask"));
      return;
    }
    const Dims dims = stored_shape(c, "mask", 1);
    check_list(c, "nonzero_data");
    check_ones(c, "mask", element_count(c.ints("shape")), "nonzero_data");
    c.out(c.dtype("nonzero_data"), dims);
  };
  op.eval = [](Eval& c) {
    const Shape shape = c.out_shape();
    const Tensor mask = c.in("mask");
    c.set(0, dense(c.in("nonzero_data"), Mask{mask.data(), element_count(shape)}, shape));
  };
}

TL_OP(constexpr_blockwise_shift_scale) {
  op.constexpr_op = true;
  op.in("data", quantized | reals);
  op.in("scale", reals);
  op.in("offset", quantized | reals).optional();
  op.infer = [](Infer& c) {
    const Dims dims = c.dims("data");
    infer_blockwise(c, dims, c.dtype("data"));
    c.out(c.dtype("scale"), dims);
  };
  op.eval = [](Eval& c) { c.set(0, blockwise(c, c.in("data"), c.out_dtype())); };
}

TL_OP(constexpr_lut_to_sparse) {
  op.constexpr_op = true;
  op.in("indices_mask", dt::of(DType::u1));
  op.in("indices_nonzero_data", palette_indices);
  op.in("lut", palette_values);
  op.in("vector_axis", dt::ints).constant().optional();
  op.infer = [](Infer& c) {
    check_mask(c, "indices_mask", "indices_nonzero_data");
    const Dims dims = c.dims("indices_mask");
    const std::int64_t vector = check_palette(c, dims, c.dtype("indices_nonzero_data"));
    c.out(DType::u1, stretched(c, dims, vector));
    c.out(c.dtype("lut"), {times(c.dims("indices_nonzero_data")[0], vector)});
  };
  op.eval = [](Eval& c) {
    const Tensor mask = c.in("indices_mask");
    const Tensor lut = c.in("lut");
    const Tensor nonzero = c.in("indices_nonzero_data");
    const std::int64_t axis = vector_axis(c, iz(mask.rank()));
    const Shape shape = c.out_shape(0);
    const Tensor indices = dense(nonzero, Mask{mask.data(), mask.size()}, mask.shape());
    const Tensor values = looked_up(indices, lut, axis, shape);
    // The mask is stretched as the indices are: by a palette whose every entry is the bit itself.
    const std::int64_t vector = lut.dim(lut.rank() - 1);
    Shape bits_shape(mask.rank(), 1);
    bits_shape.push_back(2);
    bits_shape.push_back(vector);
    Tensor entries = Tensor::zeros(DType::u8, bits_shape);
    std::memset(entries.mutable_data() + vector, 1, uz(vector));
    const Tensor stretched_mask = looked_up(mask, entries, axis, shape).cast(DType::u1);
    c.set(1, sparse(values, Mask{stretched_mask.data(), stretched_mask.size()}, c.out_shape(1)[0]));
    c.set(0, stretched_mask);
  };
}

TL_OP(constexpr_sparse_blockwise_shift_scale) {
  op.constexpr_op = true;
  op.in("data_mask", dt::of(DType::u1));
  op.in("nonzero_data", quantized | reals);
  op.in("scale", reals);
  op.in("offset", quantized | reals).optional();
  op.infer = [](Infer& c) {
    check_mask(c, "data_mask", "nonzero_data");
    const Dims dims = c.dims("data_mask");
    infer_blockwise(c, dims, c.dtype("nonzero_data"));
    c.out(DType::u1, dims);
    c.out(c.dtype("scale"), c.dims("nonzero_data"));
  };
  op.eval = [](Eval& c) {
    const Tensor data_mask = c.in("data_mask");
    const Mask mask{data_mask.data(), data_mask.size()};
    const Tensor nonzero = c.in("nonzero_data");
    c.set(1, sparse(blockwise(c, dense(nonzero, mask, data_mask.shape()), c.out_dtype(1)), mask, nonzero.size()));
    c.set(0, data_mask);
  };
}

}  // namespace tl::op
