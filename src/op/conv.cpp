#include <algorithm>

#include "op/direct_conv.hpp"

namespace tl::op {

using namespace ir;

namespace {

void window_parameters(OpDef& op) {
  op.in("strides", dt::ints).constant().optional();
  op.in("pad_type", dt::string).constant().def("valid");
  op.in("pad", dt::ints).constant().optional();
  op.in("dilations", dt::ints).constant().optional();
  op.in("groups", dt::ints).constant().def(1);
}

std::vector<float> bias_of(const Eval& c) { return c.has("bias") ? c.floats("bias") : std::vector<float>{}; }

// The values of a quantization parameter, one per output channel.
std::vector<float> per_channel(const Eval& c, std::string_view param, std::int64_t channels) {
  std::vector<float> values = c.floats(param);
  if (values.size() == 1) values.resize(uz(channels), values[0]);
  if (iz(values.size()) != channels) c.reject(param, "{} values for {} output channels", values.size(), channels);
  return values;
}

}  // namespace

TL_OP(conv) {
  op.in("x", dt::floats);
  op.in("weight", dt::floats);
  op.in("bias", dt::floats).optional();
  window_parameters(op);
  op.infer = [](Infer& c) { c.out(c.dtype("x"), conv_dims(c)); };
  op.eval = [](Eval& c) {
    const DirectConv conv(conv_geometry(c, c.shape("x"), c.shape("weight")), false);
    c.store(0, convolve(conv, c.floats("x"), c.floats("weight"), bias_of(c)));
  };
}

// Weights as unsigned codes: code * quant_scale + quant_bias per output channel.
TL_OP(conv_quantized) {
  op.in("x", dt::floats);
  op.in("weight", dt::of(DType::u8));
  op.in("bias", dt::floats).optional();
  window_parameters(op);
  op.in("quantization_type", dt::string).constant();
  op.in("nbits", dt::ints).constant().def(8);
  op.in("quant_scale", dt::floats).constant();
  op.in("quant_bias", dt::floats).constant();
  op.infer = [](Infer& c) {
    if (const std::string type = c.text("quantization_type"); type != "linear") {
      c.reject("quantization_type", "'{}' is not supported, only linear", type);
    }
    if (const std::int64_t bits = c.integer("nbits"); bits < 1 || bits > 8) c.reject("nbits", "{} is outside [1, 8]", bits);
    c.out(c.dtype("x"), conv_dims(c));
  };
  op.eval = [](Eval& c) {
    const DirectConv conv(conv_geometry(c, c.shape("x"), c.shape("weight")), false);
    std::vector<float> weight = c.floats("weight");
    const std::vector<float> scale = per_channel(c, "quant_scale", conv.geometry().out_channels);
    const std::vector<float> shift = per_channel(c, "quant_bias", conv.geometry().out_channels);
    const std::size_t row = scale.empty() ? 1 : std::max<std::size_t>(1, weight.size() / scale.size());
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = weight[i] * scale[i / row] + shift[i / row];
    c.store(0, convolve(conv, c.floats("x"), weight, bias_of(c)));
  };
}

TL_OP(conv_transpose) {
  op.in("x", dt::floats);
  op.in("weight", dt::floats);
  op.in("bias", dt::floats).optional();
  op.in("output_shape", dt::ints).constant().optional();
  window_parameters(op);
  op.infer = [](Infer& c) { c.out(c.dtype("x"), conv_transpose_dims(c)); };
  op.eval = [](Eval& c) {
    const DirectConv conv(conv_transpose_geometry(c, c.shape("x"), c.shape("weight")), true);
    c.store(0, convolve(conv, c.floats("x"), c.floats("weight"), bias_of(c)));
  };
}

}  // namespace tl::op
