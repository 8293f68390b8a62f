#include <algorithm>
#include <array>

#include "op/window.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr std::int64_t lanes = 4;    // output channels computed together
constexpr std::int64_t block = 512;  // outputs of a row that stay in cache

// A convolution over three spatial axes: absent ones have extent 1. Those of one element go first and
// trailing trivial ones are merged, so that rows are long.
struct Problem {
  ConvGeometry g;
  std::array<WindowAxis, 3> axes;
  std::int64_t in_size = 1, out_size = 1, taps = 1;

  explicit Problem(ConvGeometry geometry) : g(std::move(geometry)) {
    std::vector<WindowAxis> list = g.axes;
    std::erase_if(list, [](const WindowAxis& a) { return a.in == 1 && a.out == 1 && a.kernel == 1 && a.before == 0; });
    while (list.size() > 1 && list.back().trivial() && list[list.size() - 2].trivial()) {
      const std::int64_t row = list.back().in;
      list.pop_back();
      list.back().in *= row;
      list.back().out *= row;
    }
    list.insert(list.begin(), 3 - list.size(), WindowAxis{});
    std::copy(list.begin(), list.end(), axes.begin());
    for (const WindowAxis& axis : axes) {
      in_size *= axis.in;
      out_size *= axis.out;
      taps *= axis.kernel;
    }
  }
};

// The rows of an input with the elements that lie `stride` apart side by side, so that windows of any stride read runs.
struct PhasedRows {
  std::int64_t length = 0;  // of a row
  std::int64_t phase = 0;   // of the elements with the same remainder
  std::vector<float> values;

  PhasedRows(std::vector<float> x, const WindowAxis& axis) {
    length = axis.in;
    phase = axis.in;
    if (axis.stride == 1 || axis.in == 0) {
      values = std::move(x);
      return;
    }
    phase = (axis.in - 1) / axis.stride + 1;
    length = std::min(axis.stride, axis.in) * phase;
    const std::int64_t rows = iz(x.size()) / axis.in;
    values.resize(uz(rows * length));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t i = 0; i < axis.in; ++i)
        values[uz(r * length + i % axis.stride * phase + i / axis.stride)] = x[uz(r * axis.in + i)];
    }
  }
};

// sums[lane][i] += w[lane] * in[i] for i in [0, count).
void accumulate(std::array<float*, lanes> sums, const float* in, const std::array<float, lanes>& w,
                std::int64_t count) noexcept {
  float* __restrict s0 = sums[0];
  float* __restrict s1 = sums[1];
  float* __restrict s2 = sums[2];
  float* __restrict s3 = sums[3];
  const float* __restrict x = in;
  const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
  for (std::int64_t i = 0; i < count; ++i) {
    s0[i] += w0 * x[i];
    s1[i] += w1 * x[i];
    s2[i] += w2 * x[i];
    s3[i] += w3 * x[i];
  }
}

void accumulate_one(float* sums, const float* in, float w, std::int64_t count) noexcept {
  float* __restrict s = sums;
  const float* __restrict x = in;
  for (std::int64_t i = 0; i < count; ++i) s[i] += w * x[i];
}

// Outputs [first, first + count) of row (d, h) for `channels` output channels of one group.
struct RowTask {
  const float* x;       // the group's input channels of one image
  const float* weight;  // of the first output channel
  std::int64_t in_channels, channels, d, h, first, count;
};

void compute_row(const Problem& p, const PhasedRows& rows, const RowTask& t, float (&sums)[lanes][block]) {
  const auto& [ad, ah, aw] = p.axes;
  const IndexRange td = ad.taps(t.d);
  const IndexRange th = ah.taps(t.h);
  const std::int64_t weights = t.in_channels * p.taps;
  for (std::int64_t c = 0; c < t.in_channels; ++c) {
    for (std::int64_t kd = td.first; kd < td.last; ++kd) {
      const std::int64_t id = t.d * ad.stride - ad.before + kd * ad.dilation;
      for (std::int64_t kh = th.first; kh < th.last; ++kh) {
        const std::int64_t ih = t.h * ah.stride - ah.before + kh * ah.dilation;
        const float* row = t.x + ((c * ad.in + id) * ah.in + ih) * rows.length;
        const float* w = t.weight + ((c * ad.kernel + kd) * ah.kernel + kh) * aw.kernel;
        for (std::int64_t kw = 0; kw < aw.kernel; ++kw) {
          const std::int64_t offset = t.first * aw.stride - aw.before + kw * aw.dilation;
          const IndexRange inside = indices_inside(offset, aw.stride, aw.in, t.count);
          if (inside.first >= inside.last) continue;
          const std::int64_t start = inside.first * aw.stride + offset;
          const float* in = row + (start % aw.stride * rows.phase + start / aw.stride);
          const std::int64_t n = inside.last - inside.first;
          if (t.channels == lanes) {
            accumulate({&sums[0][inside.first], &sums[1][inside.first], &sums[2][inside.first], &sums[3][inside.first]}, in,
                       {w[kw], w[weights + kw], w[2 * weights + kw], w[3 * weights + kw]}, n);
          } else {
            for (std::int64_t k = 0; k < t.channels; ++k) {
              accumulate_one(&sums[k][inside.first], in, w[k * weights + kw], n);
            }
          }
        }
      }
    }
  }
}

std::vector<float> convolve(const Problem& p, std::vector<float> x, const std::vector<float>& weight,
                            const std::vector<float>& bias) {
  const ConvGeometry& g = p.g;
  const std::int64_t in_channels = g.in_channels / g.groups;
  const std::int64_t out_channels = g.out_channels / g.groups;
  std::vector<float> out(uz(g.batch * g.out_channels * p.out_size));
  const PhasedRows rows(std::move(x), p.axes[2]);
  const std::int64_t channel = p.axes[0].in * p.axes[1].in * rows.length;
  float sums[lanes][block];
  const auto& [ad, ah, aw] = p.axes;
  for (std::int64_t n = 0; n < g.batch; ++n) {
    for (std::int64_t c = 0; c < g.out_channels;) {
      const std::int64_t group = c / out_channels;
      RowTask t{};
      t.x = rows.values.data() + (n * g.in_channels + group * in_channels) * channel;
      t.weight = weight.data() + c * in_channels * p.taps;
      t.in_channels = in_channels;
      t.channels = std::min(lanes, (group + 1) * out_channels - c);
      for (t.d = 0; t.d < ad.out; ++t.d) {
        for (t.h = 0; t.h < ah.out; ++t.h) {
          for (t.first = 0; t.first < aw.out; t.first += block) {
            t.count = std::min(block, aw.out - t.first);
            for (std::int64_t k = 0; k < t.channels; ++k) std::fill_n(sums[k], t.count, bias.empty() ? 0.0F : bias[uz(c + k)]);
            compute_row(p, rows, t, sums);
            for (std::int64_t k = 0; k < t.channels; ++k) {
              float* row = out.data() + (((n * g.out_channels + c + k) * ad.out + t.d) * ah.out + t.h) * aw.out;
              std::copy_n(sums[k], t.count, row + t.first);
            }
          }
        }
      }
      c += t.channels;
    }
  }
  return out;
}

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

// Adds what tap `w` of every window reads to the outputs it belongs to: the adjoint of `accumulate_one`.
void scatter_row(float* out, const float* in, std::int64_t stride, float w, std::int64_t count) noexcept {
  float* __restrict s = out;
  const float* __restrict x = in;
  if (stride == 1) {
    for (std::int64_t i = 0; i < count; ++i) s[i] += w * x[i];
  } else {
    for (std::int64_t i = 0; i < count; ++i) s[i * stride] += w * x[i];
  }
}

void transpose_plane(const Problem& p, const float* in, const float* weight, float* out) {
  const auto& [ad, ah, aw] = p.axes;
  for (std::int64_t kd = 0; kd < ad.kernel; ++kd) {
    const IndexRange rd = indices_inside(kd * ad.dilation - ad.before, ad.stride, ad.out, ad.in);
    for (std::int64_t kh = 0; kh < ah.kernel; ++kh) {
      const IndexRange rh = indices_inside(kh * ah.dilation - ah.before, ah.stride, ah.out, ah.in);
      for (std::int64_t kw = 0; kw < aw.kernel; ++kw) {
        const std::int64_t offset = kw * aw.dilation - aw.before;
        const IndexRange rw = indices_inside(offset, aw.stride, aw.out, aw.in);
        if (rw.first >= rw.last) continue;
        const float w = weight[(kd * ah.kernel + kh) * aw.kernel + kw];
        for (std::int64_t d = rd.first; d < rd.last; ++d) {
          const std::int64_t od = d * ad.stride + kd * ad.dilation - ad.before;
          for (std::int64_t h = rh.first; h < rh.last; ++h) {
            const std::int64_t oh = h * ah.stride + kh * ah.dilation - ah.before;
            scatter_row(out + ((od * ah.out + oh) * aw.out + rw.first * aw.stride + offset),
                        in + ((d * ah.in + h) * aw.in + rw.first), aw.stride, w, rw.last - rw.first);
          }
        }
      }
    }
  }
}

}  // namespace

TL_OP(conv) {
  op.in("x", dt::floats);
  op.in("weight", dt::floats);
  op.in("bias", dt::floats).optional();
  window_parameters(op);
  op.infer = [](Infer& c) { c.out(c.dtype("x"), conv_dims(c)); };
  op.eval = [](Eval& c) {
    const Problem p(conv_geometry(c, c.shape("x"), c.shape("weight")));
    c.store(0, convolve(p, c.floats("x"), c.floats("weight"), bias_of(c)));
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
    const Problem p(conv_geometry(c, c.shape("x"), c.shape("weight")));
    std::vector<float> weight = c.floats("weight");
    const std::vector<float> scale = per_channel(c, "quant_scale", p.g.out_channels);
    const std::vector<float> shift = per_channel(c, "quant_bias", p.g.out_channels);
    const std::size_t row = scale.empty() ? 1 : std::max<std::size_t>(1, weight.size() / scale.size());
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = weight[i] * scale[i / row] + shift[i / row];
    c.store(0, convolve(p, c.floats("x"), weight, bias_of(c)));
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
    const Problem p(conv_transpose_geometry(c, c.shape("x"), c.shape("weight")));
    const ConvGeometry& g = p.g;
    const std::vector<float> x = c.floats("x");
    const std::vector<float> weight = c.floats("weight");
    const std::vector<float> bias = bias_of(c);
    const std::int64_t in_channels = g.in_channels / g.groups;
    const std::int64_t out_channels = g.out_channels / g.groups;
    std::vector<float> out(uz(g.batch * g.out_channels * p.out_size));
    for (std::int64_t n = 0; n < g.batch; ++n) {
      for (std::int64_t o = 0; o < g.out_channels; ++o) {
        float* plane = out.data() + (n * g.out_channels + o) * p.out_size;
        std::fill_n(plane, p.out_size, bias.empty() ? 0.0F : bias[uz(o)]);
        for (std::int64_t i = 0; i < in_channels; ++i) {
          const std::int64_t input = o / out_channels * in_channels + i;
          transpose_plane(p, x.data() + (n * g.in_channels + input) * p.in_size,
                          weight.data() + (input * out_channels + o % out_channels) * p.taps, plane);
        }
      }
    }
    c.store(0, out);
  };
}

}  // namespace tl::op
