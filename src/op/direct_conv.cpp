#include "op/direct_conv.hpp"

#include <algorithm>

#include "base/finite.hpp"

namespace tl::op {
namespace {

std::int64_t floor_divide(std::int64_t a, std::int64_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace

void DirectConv::accumulate(const std::array<float*, lanes>& sums, const float* in, const std::array<float, lanes>& w,
                            std::size_t count) noexcept {
  float* __restrict s0 = sums[0];
  float* __restrict s1 = sums[1];
  float* __restrict s2 = sums[2];
  float* __restrict s3 = sums[3];
  const float* __restrict x = in;
  const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
  for (std::size_t i = 0; i < count; ++i) {
    s0[i] += w0 * x[i];
    s1[i] += w1 * x[i];
    s2[i] += w2 * x[i];
    s3[i] += w3 * x[i];
  }
}

DirectConv::DirectConv(ConvGeometry geometry, bool transposed) : g_(std::move(geometry)), transposed_(transposed) {
  std::vector<WindowAxis> list = g_.axes;
  std::erase_if(list, [](const WindowAxis& a) { return a.in == 1 && a.out == 1 && a.kernel == 1 && a.before == 0; });
  // Trailing trivial axes are merged, so that rows are long.
  while (list.size() > 1 && list.back().trivial() && list[list.size() - 2].trivial()) {
    const std::int64_t row = list.back().in;
    list.pop_back();
    list.back().in *= row;
    list.back().out *= row;
  }
  list.insert(list.begin(), 3 - list.size(), WindowAxis{});
  std::copy(list.begin(), list.end(), axes_.begin());
  for (const WindowAxis& axis : axes_) {
    taps_ *= axis.kernel;
    out_size_ *= axis.out;
  }
  (transposed_ ? phases_ : read_step_) = axes_[2].stride;
  length_ = phase_length_ = axes_[2].in;
  if (read_step_ != 1 && length_ != 0) {
    phase_length_ = (axes_[2].in - 1) / read_step_ + 1;
    length_ = std::min(read_step_, axes_[2].in) * phase_length_;
  }
}

std::int64_t DirectConv::input_rows() const noexcept { return g_.batch * g_.in_channels * axes_[0].in * axes_[1].in; }

void DirectConv::arrange(const float* row, float* out) const noexcept {
  for (std::int64_t i = 0; i < axes_[2].in; ++i) out[i % read_step_ * phase_length_ + i / read_step_] = row[i];
}

std::int64_t DirectConv::rows() const noexcept {
  const std::int64_t per_group = (g_.out_channels / g_.groups + iz(lanes) - 1) / iz(lanes);
  return g_.batch * g_.groups * per_group * axes_[0].out * axes_[1].out;
}

std::int64_t DirectConv::source(const WindowAxis& axis, std::int64_t o, std::int64_t k) const noexcept {
  std::int64_t i = 0;
  if (transposed_) {
    const std::int64_t reached = o + axis.before - k * axis.dilation;
    if (reached < 0 || reached % axis.stride != 0) return -1;
    i = reached / axis.stride;
  } else {
    i = o * axis.stride - axis.before + k * axis.dilation;
  }
  return i < axis.in ? i : -1;
}

struct DirectConv::Task {
  const float* x;       // the group's input channels of one image
  const float* weight;  // of the first output channel and the first input channel
  std::int64_t in_channels, channels, channel_step, input_step, d, h;
  bool finite;
};

// Zeros of the padding times the tap's weights, for the outputs [0, count) outside of `inside`.
void DirectConv::sum_padding(const Task& t, const float* w, IndexRange inside, std::int64_t count,
                             const std::array<float*, lanes>& sums) const noexcept {
  for (std::int64_t k = 0; k < t.channels; ++k) {
    const float nothing = 0 * w[k * t.channel_step];
    if (nothing == 0) continue;
    for (std::int64_t i = 0; i < count; ++i) {
      if (i < inside.first || i >= inside.last) sums[uz(k)][i] += nothing;
    }
  }
}

// Adds to the outputs phase + (first + i) * phases of a row, i in [0, count).
void DirectConv::sum_row(const Task& t, std::int64_t phase, std::int64_t first, std::int64_t count,
                         const std::array<float*, lanes>& sums, Accumulate add) const noexcept {
  const auto& [ad, ah, aw] = axes_;
  for (std::int64_t c = 0; c < t.in_channels; ++c) {
    for (std::int64_t kd = 0; kd < ad.kernel; ++kd) {
      const std::int64_t id = source(ad, t.d, kd);
      if (id < 0 && t.finite) continue;
      for (std::int64_t kh = 0; kh < ah.kernel; ++kh) {
        const std::int64_t ih = source(ah, t.h, kh);
        if (ih < 0 && t.finite) continue;
        const float* row = t.x + ((c * ad.in + id) * ah.in + ih) * length_;
        const float* w = t.weight + c * t.input_step + (kd * ah.kernel + kh) * aw.kernel;
        for (std::int64_t kw = 0; kw < aw.kernel; ++kw) {
          std::int64_t offset = kw * aw.dilation - aw.before;
          if (transposed_) {
            const std::int64_t reached = phase - offset;
            offset = floor_divide(reached, aw.stride);
            if (offset * aw.stride != reached) continue;
          }
          offset += first * read_step_;
          IndexRange inside = indices_inside(offset, read_step_, aw.in, count);
          if (id < 0 || ih < 0) inside = {};
          if (!t.finite) sum_padding(t, w + kw, inside, count, sums);
          if (inside.first >= inside.last) continue;
          const std::int64_t start = inside.first * read_step_ + offset;
          const float* in = row + (read_step_ == 1 ? start : start % read_step_ * phase_length_ + start / read_step_);
          std::array<float*, lanes> to{};
          std::array<float, lanes> by{};
          for (std::int64_t k = 0; k < iz(lanes); ++k) {
            to[uz(k)] = sums[uz(k)] + inside.first;
            if (k < t.channels) by[uz(k)] = w[k * t.channel_step + kw];
          }
          const auto n = uz(inside.last - inside.first);
          if (t.channels == iz(lanes)) {
            add(to, in, by, n);
          } else {
            for (std::int64_t k = 0; k < t.channels; ++k) {
              float* __restrict s = to[uz(k)];
              for (std::size_t i = 0; i < n; ++i) s[i] += by[uz(k)] * in[i];
            }
          }
        }
      }
    }
  }
}

DirectConv::Row DirectConv::compute(std::int64_t index, const float* arranged, const float* weight, const float* bias,
                                    float* scratch, Accumulate add, bool finite) const noexcept {
  const auto& [ad, ah, aw] = axes_;
  const std::int64_t in_channels = g_.in_channels / g_.groups, out_channels = g_.out_channels / g_.groups;
  const std::int64_t blocks = (out_channels + iz(lanes) - 1) / iz(lanes);
  Task t{};
  t.h = index % ah.out;
  t.d = index / ah.out % ad.out;
  const std::int64_t rest = index / ah.out / ad.out;
  const std::int64_t group = rest / blocks % g_.groups, image = rest / blocks / g_.groups;
  const std::int64_t first_channel = rest % blocks * iz(lanes);
  t.channels = std::min(iz(lanes), out_channels - first_channel);
  t.in_channels = in_channels;
  t.x = arranged + (image * g_.in_channels + group * in_channels) * ad.in * ah.in * length_;
  t.finite = finite || transposed_;
  t.channel_step = transposed_ ? taps_ : in_channels * taps_;
  t.input_step = transposed_ ? out_channels * taps_ : taps_;
  t.weight = weight + group * in_channels * out_channels * taps_ + first_channel * t.channel_step;
  const std::int64_t channel = group * out_channels + first_channel;

  float* apart = scratch + iz(lanes) * aw.out;  // sums of outputs that do not lie side by side
  for (std::int64_t phase = 0; phase < std::min(phases_, aw.out); ++phase) {
    const std::int64_t outputs = (aw.out - phase - 1) / phases_ + 1;
    for (std::int64_t first = 0; first < outputs; first += iz(block)) {
      const std::int64_t count = std::min(iz(block), outputs - first);
      std::array<float*, lanes> sums{};
      for (std::int64_t k = 0; k < iz(lanes); ++k) {
        sums[uz(k)] = phases_ == 1 ? scratch + k * aw.out + first : apart + k * iz(block);
        if (k < t.channels) std::fill_n(sums[uz(k)], count, bias == nullptr ? 0.0F : bias[channel + k]);
      }
      sum_row(t, phase, first, count, sums, add);
      for (std::int64_t k = 0; phases_ != 1 && k < t.channels; ++k) {
        float* row = scratch + k * aw.out + phase + first * phases_;
        for (std::int64_t i = 0; i < count; ++i) row[i * phases_] = sums[uz(k)][i];
      }
    }
  }
  Row row;
  row.channels = uz(t.channels);
  row.channel_stride = uz(out_size_);
  row.width = uz(aw.out);
  row.offset = uz((image * g_.out_channels + channel) * out_size_ + (t.d * ah.out + t.h) * aw.out);
  return row;
}

std::vector<float> convolve(const DirectConv& conv, const std::vector<float>& x, const std::vector<float>& weight,
                            const std::vector<float>& bias) {
  const std::int64_t rows = conv.input_rows();
  std::vector<float> arranged;
  if (conv.arranges()) {
    arranged.resize(uz(rows) * conv.arranged_length());
    for (std::size_t r = 0; r < uz(rows); ++r)
      conv.arrange(x.data() + r * conv.row_length(), arranged.data() + r * conv.arranged_length());
  }
  const ConvGeometry& g = conv.geometry();
  const bool finite = all_finite(weight);
  std::int64_t outputs = g.batch * g.out_channels;
  for (const WindowAxis& axis : g.axes) outputs *= axis.out;
  std::vector<float> out(uz(outputs));
  std::vector<float> scratch(outputs == 0 ? 0 : conv.scratch_floats());
  for (std::int64_t i = 0; outputs != 0 && i < conv.rows(); ++i) {
    const DirectConv::Row row =
        conv.compute(i, conv.arranges() ? arranged.data() : x.data(), weight.data(), bias.empty() ? nullptr : bias.data(),
                     scratch.data(), DirectConv::accumulate, finite);
    for (std::size_t k = 0; k < row.channels; ++k)
      std::copy_n(scratch.data() + k * row.width, row.width, out.data() + row.offset + k * row.channel_stride);
  }
  return out;
}

}  // namespace tl::op
