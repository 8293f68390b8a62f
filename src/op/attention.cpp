#include <algorithm>
#include <cmath>
#include <limits>

#include "op/broadcast.hpp"
#include "op/gemm.hpp"

namespace tl::op {

using namespace ir;

namespace {

// Extents before the last `tail` axes.
Dims leading(const Dims& dims, std::size_t tail) { return {dims.begin(), dims.end() - static_cast<std::ptrdiff_t>(tail)}; }

Dims attention_dims(const Infer& c) {
  const Dims q = c.dims("query");
  const Dims k = c.dims("key");
  const Dims v = c.dims("value");
  if (q.size() < 3) c.reject("query", "rank {}, expected 3 or more", q.size());
  const auto agree = [&](std::string_view param, Dim a, Dim b, const char* what) {
    if (a.known() && b.known() && a != b) c.reject(param, "{} {}, expected {}", what, a.extent(), b.extent());
  };
  const std::size_t rank = q.size();
  for (const auto& [param, dims] : {std::pair<std::string_view, const Dims&>{"key", k}, {"value", v}}) {
    if (dims.size() != rank) c.reject(param, "rank {}, query has {}", dims.size(), rank);
    for (std::size_t i = 0; i + 2 < rank; ++i) agree(param, dims[i], q[i], "batch extent");
  }
  agree("key", k[rank - 1], q[rank - 1], "embedding size");
  agree("value", v[rank - 2], k[rank - 2], "sequence length");
  if (c.has("attn_mask")) {
    const Dims mask = c.dims("attn_mask");
    Dims scores = leading(q, 1);
    scores.push_back(k[rank - 2]);
    const Dims both = broadcast_dims(c, "attn_mask", mask, scores);
    if (both.size() != rank) c.reject("attn_mask", "rank {}, the scores have {}", mask.size(), rank);
    for (std::size_t i = 0; i < rank; ++i) agree("attn_mask", both[i], scores[i], "extent");
  }
  Dims out = leading(q, 1);
  out.push_back(v[rank - 1]);
  return out;
}

// What the mask adds to the scores: 0 or -inf for booleans.
std::vector<float> mask_values(const Eval& c) {
  std::vector<float> values = c.floats("attn_mask");
  if (c.in("attn_mask").dtype() == DType::boolean) {
    for (float& v : values) v = v != 0 ? 0 : -std::numeric_limits<float>::infinity();
  }
  return values;
}

void softmax(float* row, std::int64_t count) {
  const float high = *std::max_element(row, row + count);
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double e = std::exp(static_cast<double>(row[i]) - static_cast<double>(high));
    total += e;
    row[i] = static_cast<float>(e);
  }
  for (std::int64_t i = 0; i < count; ++i) row[i] = static_cast<float>(static_cast<double>(row[i]) / total);
}

}  // namespace

// softmax(query key^T / sqrt(E) + mask) value. A row whose scores are all -inf is NaN, as the formula says.
TL_OP(scaled_dot_product_attention) {
  op.in("query", dt::floats);
  op.in("key", dt::floats);
  op.in("value", dt::floats);
  op.in("attn_mask", dt::floats | dt::boolean).optional();
  op.infer = [](Infer& c) { c.out(c.dtype("query"), attention_dims(c)); };
  op.eval = [](Eval& c) {
    const Shape& q_shape = c.shape("query");
    const std::size_t rank = q_shape.size();
    const std::int64_t length = q_shape[rank - 2], embedding = q_shape[rank - 1];
    const std::int64_t sources = c.shape("key")[rank - 2], width = c.shape("value")[rank - 1];
    const std::vector<float> q = c.floats("query");
    const std::vector<float> k = c.floats("key");
    const std::vector<float> v = c.floats("value");
    Shape rows(q_shape.begin(), q_shape.end() - 1);
    std::vector<float> mask;
    Shape mask_rows;
    std::int64_t mask_step = 0;
    if (c.has("attn_mask")) {
      mask = mask_values(c);
      const Shape& shape = c.shape("attn_mask");
      if (!shape.empty()) mask_rows.assign(shape.begin(), shape.end() - 1);
      mask_step = shape.empty() || shape.back() == 1 ? 0 : 1;
    }
    const std::int64_t mask_width = mask_step == 0 ? 1 : sources;
    const double scale = 1 / std::sqrt(static_cast<double>(embedding));
    std::vector<float> values(uz(sources * width));
    std::vector<float> scores(uz(sources));
    std::vector<float> out(uz(element_count(c.out_shape())));
    if (out.empty()) return c.store(0, out);
    for_each_broadcast<1>(rows, {&mask_rows}, [&](std::size_t row, const std::array<std::int64_t, 1>& at) {
      const std::int64_t batch = iz(row) / length;
      if (iz(row) % length == 0) {
        for (std::int64_t s = 0; s < sources; ++s) {
          for (std::int64_t e = 0; e < width; ++e) values[uz(e * sources + s)] = v[uz((batch * sources + s) * width + e)];
        }
      }
      gemm_rows(q.data() + iz(row) * embedding, k.data() + batch * sources * embedding, nullptr, scores.data(), 1, sources,
                embedding);
      for (std::int64_t s = 0; s < sources; ++s) {
        float& score = scores[uz(s)];
        score = static_cast<float>(static_cast<double>(score) * scale);
        if (!mask.empty()) score += mask[uz(at[0] * mask_width + s * mask_step)];
      }
      if (sources > 0) softmax(scores.data(), sources);
      gemm_rows(scores.data(), values.data(), nullptr, out.data() + iz(row) * width, 1, width, sources);
    });
    c.store(0, out);
  };
}

}  // namespace tl::op
