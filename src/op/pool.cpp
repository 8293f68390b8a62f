#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "op/window.hpp"

namespace tl::op {

using namespace ir;

namespace {

// Output = finish(value, taps, area): `value` begins as start() and gather(value, x) adds each of the `taps` inputs under the
// window; `area` counts padding too.
template <class Start, class Gather, class Finish>
void pool(Eval& c, Start&& start, Gather&& gather, Finish&& finish) {
  const Shape& shape = c.shape("x");
  std::array<WindowAxis, 3> axes;
  const std::vector<WindowAxis> list = pool_geometry(c, shape);
  std::copy(list.begin(), list.end(), axes.end() - static_cast<std::ptrdiff_t>(list.size()));
  const std::vector<float> x = c.floats("x");
  const auto& [ad, ah, aw] = axes;
  std::vector<double> out;
  out.reserve(uz(shape[0] * shape[1] * ad.out * ah.out * aw.out));
  // The inputs and padding under a window; ceil_mode lets it reach past the padding, which doesn't count.
  const auto covered = [](const WindowAxis& axis, std::int64_t o) {
    const std::int64_t first = o * axis.stride - axis.before;
    return std::max<std::int64_t>(0, std::min(first + axis.kernel, axis.in + axis.after) - first);
  };
  for (std::int64_t plane = 0; plane < shape[0] * shape[1]; ++plane) {
    const float* in = x.data() + plane * ad.in * ah.in * aw.in;
    for (std::int64_t d = 0; d < ad.out; ++d) {
      const IndexRange td = ad.taps(d);
      for (std::int64_t h = 0; h < ah.out; ++h) {
        const IndexRange th = ah.taps(h);
        for (std::int64_t w = 0; w < aw.out; ++w) {
          const IndexRange tw = aw.taps(w);
          double value = start();
          std::int64_t taps = 0;
          for (std::int64_t kd = td.first; kd < td.last; ++kd) {
            for (std::int64_t kh = th.first; kh < th.last; ++kh) {
              const std::int64_t row = ((d * ad.stride - ad.before + kd) * ah.in + h * ah.stride - ah.before + kh) * aw.in +
                                       w * aw.stride - aw.before;
              for (std::int64_t kw = tw.first; kw < tw.last; ++kw) gather(value, static_cast<double>(in[row + kw]));
              taps += std::max<std::int64_t>(0, tw.last - tw.first);
            }
          }
          const double area =
              static_cast<double>(covered(ad, d)) * static_cast<double>(covered(ah, h)) * static_cast<double>(covered(aw, w));
          out.push_back(finish(value, static_cast<double>(taps), area));
        }
      }
    }
  }
  c.store(0, out);
}

void pool_parameters(OpDef& op) {
  op.in("x", dt::floats);
  op.in("kernel_sizes", dt::ints).constant();
  op.in("strides", dt::ints).constant().optional();
  op.in("pad_type", dt::string).constant().def("valid");
  op.in("pad", dt::ints).constant().optional();
  op.in("ceil_mode", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) { c.out(c.dtype("x"), pool_dims(c)); };
}

}  // namespace

// A window that holds padding only has the maximum of nothing, -inf; NaN wins over numbers.
TL_OP(max_pool) {
  pool_parameters(op);
  op.eval = [](Eval& c) {
    pool(
        c, [] { return -std::numeric_limits<double>::infinity(); },
        [](double& value, double x) { value = x > value || std::isnan(x) ? x : value; },
        [](double value, double, double) { return value; });
  };
}

TL_OP(avg_pool) {
  pool_parameters(op);
  op.in("exclude_padding_from_average", dt::boolean).constant().def(false);
  op.infer = [](Infer& c) {
    c.boolean("exclude_padding_from_average");
    c.out(c.dtype("x"), pool_dims(c));
  };
  op.eval = [](Eval& c) {
    const bool exclude = c.boolean("exclude_padding_from_average");
    pool(
        c, [] { return 0.0; }, [](double& value, double x) { value += x; },
        [exclude](double value, double taps, double area) { return value / (exclude ? taps : area); });
  };
}

TL_OP(l2_pool) {
  pool_parameters(op);
  op.eval = [](Eval& c) {
    pool(
        c, [] { return 0.0; }, [](double& value, double x) { value += x * x; },
        [](double value, double, double) { return std::sqrt(value); });
  };
}

}  // namespace tl::op
