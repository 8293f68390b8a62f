#include <algorithm>
#include <cmath>

#include "op/elementwise.hpp"

namespace tl::op {

using namespace ir;

namespace {

std::int64_t spatial_size(const Shape& shape) {
  std::int64_t size = 1;
  for (std::size_t i = 2; i < shape.size(); ++i) size *= shape[i];
  return size;
}

void check_channels(const Infer& c, std::initializer_list<const char*> params) {
  const Dims dims = c.dims("x");
  if (dims.size() < 3) c.reject("x", "needs batch, channels and at least one more axis, rank is {}", dims.size());
  for (const char* param : params) {
    if (!c.has(param)) continue;
    const Dims given = c.dims(param);
    if (given.size() != 1 || (given[0].known() && dims[1].known() && given[0] != dims[1])) {
      c.reject(param, "expected one value per channel, got shape {} for {}", to_string(given), to_string(dims));
    }
  }
}

std::vector<double> per_channel(const Eval& c, const char* param, std::size_t channels, double value) {
  return c.has(param) ? c.doubles(param) : std::vector<double>(channels, value);
}

}  // namespace

TL_OP(batch_norm) {
  op.in("x", dt::floats);
  op.in("mean", dt::floats);
  op.in("variance", dt::floats);
  op.in("gamma", dt::floats).optional();
  op.in("beta", dt::floats).optional();
  op.in("epsilon", dt::floats).constant().def(1e-5);
  op.infer = [](Infer& c) {
    c.number("epsilon");
    check_channels(c, {"mean", "variance", "gamma", "beta"});
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::size_t channels = uz(shape[1]);
    const auto mean = c.doubles("mean");
    const auto variance = c.doubles("variance");
    const auto gamma = per_channel(c, "gamma", channels, 1);
    const auto beta = per_channel(c, "beta", channels, 0);
    const double epsilon = c.number("epsilon");
    const std::size_t area = uz(spatial_size(shape));
    for (std::size_t begin = 0; begin < values.size(); begin += area) {
      const std::size_t k = begin / area % channels;
      const double deviation = std::sqrt(variance[k] + epsilon);
      for (std::size_t i = begin; i < begin + area; ++i) values[i] = gamma[k] * (values[i] - mean[k]) / deviation + beta[k];
    }
    c.store(0, shape, values);
  };
}

TL_OP(instance_norm) {
  op.in("x", dt::floats);
  op.in("gamma", dt::floats).optional();
  op.in("beta", dt::floats).optional();
  op.in("epsilon", dt::floats).constant().def(1e-5);
  op.infer = [](Infer& c) {
    c.number("epsilon");
    check_channels(c, {"gamma", "beta"});
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::size_t channels = uz(shape[1]);
    const auto gamma = per_channel(c, "gamma", channels, 1);
    const auto beta = per_channel(c, "beta", channels, 0);
    const double epsilon = c.number("epsilon");
    const std::size_t area = uz(spatial_size(shape));
    for (std::size_t begin = 0; begin < values.size(); begin += area) {
      const std::size_t k = begin / area % channels;
      double mean = 0;
      for (std::size_t i = 0; i < area; ++i) mean += values[begin + i];
      mean /= static_cast<double>(area);
      double variance = 0;
      for (std::size_t i = 0; i < area; ++i) variance += (values[begin + i] - mean) * (values[begin + i] - mean);
      const double scale = gamma[k] / std::sqrt(variance / static_cast<double>(area) + epsilon);
      for (std::size_t i = 0; i < area; ++i) values[begin + i] = (values[begin + i] - mean) * scale + beta[k];
    }
    c.store(0, shape, values);
  };
}

TL_OP(layer_norm) {
  op.in("x", dt::floats);
  op.in("axes", dt::i32).constant().optional();
  op.in("gamma", dt::floats).optional();
  op.in("beta", dt::floats).optional();
  op.in("epsilon", dt::floats).constant().def(1e-5);
  op.infer = [](Infer& c) {
    c.number("epsilon");
    const Dims dims = c.dims("x");
    std::vector<std::int64_t> axes;
    if (c.has("axes")) {
      for (const std::int64_t axis : c.ints("axes")) axes.push_back(c.axis("axes", axis, iz(dims.size())));
    } else {
      for (std::size_t i = 0; i < dims.size(); ++i) axes.push_back(iz(i));
    }
    std::sort(axes.begin(), axes.end());
    if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) c.reject("axes", "an axis stands twice");
    for (const char* param : {"gamma", "beta"}) {
      if (!c.has(param)) continue;
      const Dims given = c.dims(param);
      bool fits = given.size() == axes.size();
      for (std::size_t i = 0; fits && i < axes.size(); ++i) {
        const Dim want = dims[uz(axes[i])];
        fits = !given[i].known() || !want.known() || given[i] == want;
      }
      if (!fits) c.reject(param, "shape {} does not fit the normalised axes of {}", to_string(given), to_string(dims));
    }
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t rank = iz(shape.size());
    std::vector<bool> inside(shape.size(), !c.has("axes"));
    if (c.has("axes")) {
      for (const std::int64_t axis : c.ints("axes")) inside[uz((axis + rank) % rank)] = true;
    }
    // Offsets of the elements of one group, and of the groups.
    std::vector<std::size_t> group{0}, members{0};
    std::size_t stride = values.size();
    for (std::size_t i = 0; i < shape.size(); ++i) {
      stride = shape[i] == 0 ? 0 : stride / uz(shape[i]);
      auto& offsets = inside[i] ? members : group;
      std::vector<std::size_t> next;
      next.reserve(offsets.size() * uz(shape[i]));
      for (const std::size_t offset : offsets) {
        for (std::size_t k = 0; k < uz(shape[i]); ++k) next.push_back(offset + k * stride);
      }
      offsets = std::move(next);
    }
    const auto gamma = per_channel(c, "gamma", members.size(), 1);
    const auto beta = per_channel(c, "beta", members.size(), 0);
    const double epsilon = c.number("epsilon");
    const auto count = static_cast<double>(members.size());
    for (const std::size_t base : group) {
      double mean = 0;
      for (const std::size_t offset : members) mean += values[base + offset];
      mean /= count;
      double variance = 0;
      for (const std::size_t offset : members) variance += (values[base + offset] - mean) * (values[base + offset] - mean);
      const double scale = 1 / std::sqrt(variance / count + epsilon);
      for (std::size_t i = 0; i < members.size(); ++i) {
        double& at = values[base + members[i]];
        at = (at - mean) * scale * gamma[i] + beta[i];
      }
    }
    c.store(0, shape, values);
  };
}

TL_OP(l2_norm) {
  op.in("x", dt::floats);
  op.in("epsilon", dt::floats).constant().def(1e-6);
  op.infer = [](Infer& c) {
    c.number("epsilon");
    if (c.rank("x") < 3) c.reject("x", "needs at least three axes, rank is {}", c.rank("x"));
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    // Over the last three axes.
    auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::size_t rank = shape.size();
    const std::size_t area = uz(shape[rank - 1] * shape[rank - 2] * shape[rank - 3]);
    const double epsilon = c.number("epsilon");
    for (std::size_t begin = 0; begin < values.size(); begin += area) {
      double sum = 0;
      for (std::size_t i = 0; i < area; ++i) sum += values[begin + i] * values[begin + i];
      const double scale = 1 / std::sqrt(sum + epsilon);
      for (std::size_t i = 0; i < area; ++i) values[begin + i] *= scale;
    }
    c.store(0, shape, values);
  };
}

TL_OP(local_response_norm) {
  op.in("x", dt::floats);
  op.in("size", dt::i32).constant();
  op.in("alpha", dt::floats).constant().def(1e-4);
  op.in("beta", dt::floats).constant().def(0.75);
  op.in("k", dt::floats).constant().def(1.0);
  op.infer = [](Infer& c) {
    if (c.rank("x") < 3) c.reject("x", "needs batch, channels and at least one more axis, rank is {}", c.rank("x"));
    for (const char* param : {"alpha", "beta", "k"}) c.number(param);
    if (c.integer("size") < 1) c.reject("size", "must be at least 1, is {}", c.integer("size"));
    infer_same(c);
  };
  op.eval = [](Eval& c) {
    const auto values = c.doubles("x");
    const Shape& shape = c.shape("x");
    const std::int64_t channels = shape[1];
    const std::int64_t area = spatial_size(shape);
    const std::int64_t size = c.integer("size");
    const double alpha = c.number("alpha");
    const double beta = c.number("beta");
    const double k = c.number("k");
    std::vector<double> result(values.size());
    for (std::int64_t n = 0; n < shape[0]; ++n) {
      for (std::int64_t ch = 0; ch < channels; ++ch) {
        const std::int64_t first = std::max<std::int64_t>(0, ch - size / 2);
        const std::int64_t last = std::min(channels, ch - size / 2 + size);
        for (std::int64_t i = 0; i < area; ++i) {
          double sum = 0;
          for (std::int64_t other = first; other < last; ++other) {
            const double v = values[uz((n * channels + other) * area + i)];
            sum += v * v;
          }
          const std::size_t at = uz((n * channels + ch) * area + i);
          result[at] = values[at] / std::pow(k + alpha / static_cast<double>(size) * sum, beta);
        }
      }
    }
    c.store(0, shape, result);
  };
}

}  // namespace tl::op
