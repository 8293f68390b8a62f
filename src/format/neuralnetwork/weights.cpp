#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/elements.hpp"
#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

enum class Storage { f32, f16, packed, i8 };

Storage storage_of(const spec::WeightParams& params) {
  const int given = (params.floatvalue_size() > 0 ? 1 : 0) + (params.float16value().empty() ? 0 : 1) +
                    (params.rawvalue().empty() ? 0 : 1) + (params.int8rawvalue().empty() ? 0 : 1);
  if (given > 1) fail(ErrorKind::bad_model, "its values are given in {} forms", given);
  if (!params.float16value().empty()) return Storage::f16;
  if (!params.rawvalue().empty()) return Storage::packed;
  if (!params.int8rawvalue().empty()) return Storage::i8;
  return Storage::f32;
}

std::int64_t bits_of(const spec::WeightParams& params) {
  const std::uint64_t bits = params.quantization().numberofbits();
  if (bits < 1 || bits > 8) fail(ErrorKind::bad_model, "{} bits per value, 1 to 8 are possible", bits);
  return static_cast<std::int64_t>(bits);
}

void expect(std::int64_t given, std::int64_t wanted, const char* what, const Shape& shape) {
  if (given != wanted) fail(ErrorKind::bad_model, "{} {} are given, shape {} needs {}", given, what, to_string(shape), wanted);
}

// The narrowest unsigned type that holds codes of `bits` bits.
DType code_type(std::int64_t bits) {
  switch (bits) {
    case 1: return DType::u1;
    case 2: return DType::u2;
    case 3: return DType::u3;
    case 4: return DType::u4;
    case 6: return DType::u6;
    default: return DType::u8;
  }
}

// The codes of a quantized weight. The file packs them from the highest bit down, tensors from the lowest bit up.
Tensor codes(const spec::WeightParams& params, const Shape& shape, const std::shared_ptr<const void>& owner) {
  const std::int64_t bits = bits_of(params);
  const std::int64_t count = element_count(shape);
  const std::string& bytes = params.rawvalue();
  expect(iz(bytes.size()), (checked_mul(count, bits, "weight size") + 7) / 8, "bytes", shape);
  if (bits == 8) return Tensor::view(DType::u8, shape, bytes.data(), owner);
  Tensor result = Tensor::zeros(code_type(bits), shape);
  std::byte* out = count == 0 ? nullptr : result.mutable_data();
  const bool whole = result.dtype() == DType::u8;
  unsigned held = 0, available = 0;
  std::size_t at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (available < static_cast<unsigned>(bits)) {
      held = held << 8 | static_cast<unsigned char>(bytes[at++]);
      available += 8;
    }
    available -= static_cast<unsigned>(bits);
    const unsigned code = held >> available & ((1U << bits) - 1);
    held &= (1U << available) - 1;
    if (whole) {
      out[i] = static_cast<std::byte>(code);
    } else {
      set_packed_element(out, result.dtype(), i, static_cast<std::int32_t>(code));
    }
  }
  return result;
}

Shape unit_shape(std::size_t rank) { return Shape(rank, 1); }

// One factor, or one per position of an axis, in the rank of the weight.
template <class Values>
Tensor factors(const Values& values, const Shape& shape, std::size_t axis, const char* what) {
  Shape grid = unit_shape(shape.size());
  if (values.size() != 1) {
    if (axis >= shape.size() || values.size() != shape[axis]) {
      fail(ErrorKind::bad_model, "{} {} are given for a weight of shape {}", values.size(), what, to_string(shape));
    }
    grid[axis] = values.size();
  }
  Tensor result(DType::f32, grid);
  std::copy(values.begin(), values.end(), result.mutable_values<float>().begin());
  return result;
}

// value = scale * code + bias as scale * (code - offset); nothing where a scale of 0 leaves no offset.
struct Linear {
  Tensor scale;
  std::optional<Tensor> offset;
};
std::optional<Linear> linear_of(const spec::LinearQuantizationParams& params, const Shape& shape, std::size_t axis) {
  Linear result{factors(params.scale(), shape, axis, "scales"), std::nullopt};
  if (params.bias_size() == 0) return result;
  const Tensor bias = factors(params.bias(), shape, axis, "biases");
  if (bias.size() > 1 && result.scale.size() == 1) {
    Tensor spread(DType::f32, bias.shape());
    for (float& value : spread.mutable_values<float>()) value = result.scale.values<float>()[0];
    result.scale = std::move(spread);
  }
  Tensor offset(DType::f32, result.scale.shape());
  auto out = offset.mutable_values<float>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float scale = result.scale.values<float>()[i];
    const float shift = bias.values<float>()[bias.size() == 1 ? 0 : i];
    out[i] = shift == 0 ? 0 : static_cast<float>(-static_cast<double>(shift) / static_cast<double>(scale));
    if (!std::isfinite(out[i])) return std::nullopt;
  }
  result.offset = std::move(offset);
  return result;
}

// For scales of 0: the bias alone.
Tensor affine(const Tensor& codes, const spec::LinearQuantizationParams& params, const Shape& shape, std::size_t axis) {
  const Tensor scale = factors(params.scale(), shape, axis, "scales");
  const Tensor bias = factors(params.bias(), shape, axis, "biases");
  std::int64_t inner = 1;
  for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  Tensor result(DType::f32, shape);
  auto out = result.mutable_values<float>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t channel = axis < shape.size() ? i / uz(inner) % uz(shape[axis]) : 0;
    const auto pick = [&](const Tensor& t) { return t.values<float>()[t.size() == 1 ? 0 : channel]; };
    out[i] = pick(scale) * static_cast<float>(codes.integer_at(iz(i))) + pick(bias);
  }
  return result;
}

// scale * code + bias for every code, for each position of the axis where they differ: what code widths without an affine op
// become.
Tensor linear_table(const spec::LinearQuantizationParams& params, const Shape& shape, std::size_t axis, int width) {
  const Tensor scale = factors(params.scale(), shape, axis, "scales");
  const Tensor bias = params.bias_size() == 0 ? Tensor::zeros(DType::f32, unit_shape(shape.size()))
                                              : factors(params.bias(), shape, axis, "biases");
  const Tensor& grid = scale.size() >= bias.size() ? scale : bias;
  const std::int64_t entries = std::int64_t{1} << width;
  Shape table = grid.shape();
  table.insert(table.end(), {entries, 1});
  Tensor result(DType::f32, table);
  auto out = result.mutable_values<float>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t channel = i / uz(entries);
    const auto pick = [&](const Tensor& t) { return t.values<float>()[t.size() == 1 ? 0 : channel]; };
    out[i] = pick(scale) * static_cast<float>(i % uz(entries)) + pick(bias);
  }
  return result;
}

Blob quantized(Layer& layer, const spec::WeightParams& params, const Shape& shape, std::size_t axis, const std::string& name) {
  const bool bytes = storage_of(params) == Storage::i8;
  Tensor data;
  if (bytes) {
    expect(iz(params.int8rawvalue().size()), element_count(shape), "bytes", shape);
    data = Tensor::view(DType::i8, shape, params.int8rawvalue().data(), layer.owner);
  } else {
    data = codes(params, shape, layer.owner);
  }
  const spec::QuantizationParams& quantization = params.quantization();
  if (quantization.has_lookuptablequantization()) {
    if (bytes) fail(ErrorKind::bad_model, "signed codes with a lookup table");
    const auto& table = quantization.lookuptablequantization().floatvalue();
    const std::int64_t entries = std::int64_t{1} << bits_of(params);
    if (table.size() != entries) fail(ErrorKind::bad_model, "a lookup table of {} entries, expected {}", table.size(), entries);
    Shape lut_shape = unit_shape(shape.size() + 2);
    lut_shape[shape.size()] = std::int64_t{1} << bits(data.dtype());
    Tensor lut = Tensor::zeros(DType::f32, lut_shape);
    std::copy(table.begin(), table.end(), lut.mutable_values<float>().begin());
    return layer.e.compressed("constexpr_lut_to_dense", {{"indices", Emitter::literal(data)}, {"lut", Emitter::literal(lut)}},
                              name);
  }
  if (!quantization.has_linearquantization()) fail(ErrorKind::bad_model, "quantized values without a quantization");
  const spec::LinearQuantizationParams& params_of = quantization.linearquantization();
  if (is_sub_byte(data.dtype()) && data.dtype() != DType::u4) {
    const Tensor lut = linear_table(params_of, shape, axis, bits(data.dtype()));
    return layer.e.compressed("constexpr_lut_to_dense", {{"indices", Emitter::literal(data)}, {"lut", Emitter::literal(lut)}},
                              name);
  }
  const auto linear = linear_of(params_of, shape, axis);
  if (!linear) return layer.e.weight(affine(data, params_of, shape, axis), name);
  std::optional<Blob> offset;
  if (linear->offset) offset = Emitter::literal(*linear->offset);
  return layer.e.compressed("constexpr_blockwise_shift_scale",
                            {{"data", Emitter::literal(data)}, {"scale", Emitter::literal(linear->scale)}, {"offset", offset}},
                            name);
}

}  // namespace

Blob Layer::weight(const spec::WeightParams& params, const Shape& shape, const std::string& suffix, std::size_t axis) {
  const std::string name = e.prefix() + "_" + suffix;
  return within(
      [&] { return suffix; },
      [&] {
        const std::int64_t count = element_count(shape);
        switch (storage_of(params)) {
          case Storage::f32:
            expect(params.floatvalue_size(), count, "values", shape);
            if (count == 0) return e.weight(Tensor(DType::f32, shape), name);
            return e.weight(Tensor::view(DType::f32, shape, params.floatvalue().data(), owner), name);
          case Storage::f16: {
            expect(iz(params.float16value().size()), checked_mul(count, std::int64_t{2}, "weight size"), "bytes", shape);
            const Tensor half = Tensor::view(DType::f16, shape, params.float16value().data(), owner);
            return e.compressed("constexpr_cast", {{"source_val", Emitter::literal(half)}, {"output_dtype", "fp32"}}, name);
          }
          case Storage::packed:
          case Storage::i8: return quantized(*this, params, shape, axis, name);
        }
        fail(ErrorKind::internal, "no such storage");
      });
}

std::int64_t stored_elements(const spec::WeightParams& params) {
  switch (storage_of(params)) {
    case Storage::f32: return params.floatvalue_size();
    case Storage::f16: return iz(params.float16value().size() / 2);
    case Storage::i8: return iz(params.int8rawvalue().size());
    case Storage::packed: return bits_of(params) == 8 ? iz(params.rawvalue().size()) : -1;
  }
  return -1;
}

Tensor dense(Layer& layer, const spec::WeightParams& params, const Shape& shape, const std::string& what) {
  return within([&] { return what; },
                [&] {
                  switch (storage_of(params)) {
                    case Storage::f32:
                      expect(params.floatvalue_size(), element_count(shape), "values", shape);
                      if (params.floatvalue_size() == 0) return Tensor(DType::f32, shape);
                      return Tensor::view(DType::f32, shape, params.floatvalue().data(), layer.owner);
                    case Storage::f16:
                      expect(iz(params.float16value().size()), element_count(shape) * 2, "bytes", shape);
                      return Tensor::view(DType::f16, shape, params.float16value().data(), layer.owner).cast(DType::f32);
                    default: break;
                  }
                  // Evaluates the op that would have been written.
                  ir::Block scratch;
                  Emitter emitter(scratch);
                  Layer local{emitter, layer.message, layer.owner, layer.rank5, {}, {}};
                  const Blob blob = local.weight(params, shape, what);
                  if (Tensor value = known(blob); value.defined()) return value;
                  const ir::Op& op = *scratch.ops.back();
                  std::vector<std::vector<Value>> values;
                  values.reserve(op.inputs.size());
                  for (const ir::Argument& argument : op.inputs) values.push_back({known(argument.bindings[0])});
                  return ir::evaluate(op, std::move(values)).at(0).tensor();
                });
}

std::int64_t Layer::count(std::uint64_t value, const char* what) const {
  if (value == 0 || value > (std::uint64_t{1} << 31)) fail(ErrorKind::bad_model, "{}: {} is out of range", what, value);
  return static_cast<std::int64_t>(value);
}

}  // namespace tl::format::nn
