#include <algorithm>
#include <cmath>

#include "ir/op_def.hpp"
#include "op/gemm.hpp"

namespace tl::op {

using namespace ir;

namespace {

using Activation = double (*)(double);

Activation activation(const OpView& c, std::string_view param) {
  std::string text = c.text(param);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char ch) { return ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch + 32) : ch; });
  if (text == "tanh" || text == "scaled_tanh") return [](double v) { return std::tanh(v); };  // both scales are 1 here
  if (text == "sigmoid") return [](double v) { return 1 / (1 + std::exp(-v)); };
  if (text == "hard_sigmoid" || text == "sigmoid_hard")
    return [](double v) { return std::isnan(v) ? v : std::clamp(0.2 * v + 0.5, 0.0, 1.0); };
  if (text == "relu") return [](double v) { return v < 0 ? 0 : v; };
  if (text == "linear") return [](double v) { return v; };
  c.reject(param, "'{}' is not one of tanh, scaled_tanh, sigmoid, hard_sigmoid, relu, linear", text);
}

enum class Direction { forward, reverse, bidirectional };
Direction direction(const OpView& c, bool may_be_both) {
  const std::string text = c.text("direction");
  if (text == "forward") return Direction::forward;
  if (text == "reverse") return Direction::reverse;
  if (text == "bidirectional" && may_be_both) return Direction::bidirectional;
  c.reject("direction", "'{}' is not one of forward, reverse{}", text, may_be_both ? ", bidirectional" : "");
}

void parameters(OpDef& op) {
  op.in("x", dt::floats);
  op.in("initial_h", dt::floats);
  op.in("weight_ih", dt::floats);
  op.in("weight_hh", dt::floats);
  op.in("bias", dt::floats).optional();
  op.in("direction", dt::string).constant().def("forward");
  op.in("output_sequence", dt::boolean).constant().def(false);
  op.in("activation", dt::string).constant().def("tanh");
}

void expect(const Infer& c, std::string_view param, const Dims& expected) {
  const Dims dims = c.dims(param);
  bool same = dims.size() == expected.size();
  for (std::size_t i = 0; same && i < dims.size(); ++i)
    same = !dims[i].known() || !expected[i].known() || dims[i] == expected[i];
  if (!same) c.reject(param, "shape {}, expected {}", to_string(dims), to_string(expected));
}

// A state of at least as many rows as the batch, whose first rows are taken: coremltools writes packed sequences of torch with
// the state of as many rows as there are steps.
void expect_state(const Infer& c, std::string_view param, Dim batch, Dim width) {
  const Dims dims = c.dims(param);
  const bool longer = dims.size() == 2 && dims[0].known() && batch.known() && dims[0].extent() > batch.extent();
  expect(c, param, {longer ? dims[0] : batch, width});
}

Dim times(Dim extent, std::int64_t factor) {
  return extent.known() ? Dim(checked_mul(extent.extent(), factor, "hidden size")) : factor == 1 ? extent : Dim::unknown();
}

// The hidden size, from the recurrent weight of [gates * H, H]; checks the other parameters of one direction against it.
Dim hidden_size(const Infer& c, std::int64_t gates, const Dims& x, std::string_view suffix = "") {
  const auto param = [&](const char* text) { return std::string(text) + std::string(suffix); };
  const Dims recurrent = c.dims(param("weight_hh"));
  if (recurrent.size() != 2) c.reject(param("weight_hh"), "rank {}, expected 2", recurrent.size());
  const Dim hidden = recurrent[1];
  const Dim rows = times(hidden, gates);
  expect(c, param("weight_hh"), {rows, hidden});
  expect(c, param("weight_ih"), {rows, x[2]});
  if (c.has(param("bias"))) expect(c, param("bias"), {rows});
  return hidden;
}

Dims sequence(const Infer& c) {
  Dims x = c.dims("x");
  if (x.size() != 3) c.reject("x", "rank {}, expected 3: sequence, batch, features", x.size());
  return x;
}

void push_outputs(Infer& c, const Dims& x, Dim hidden, std::size_t states) {
  c.out(c.dtype("x"), {c.boolean("output_sequence") ? x[0] : Dim(1), x[1], hidden});
  for (std::size_t i = 0; i < states; ++i) c.out(c.dtype("x"), {x[1], hidden});
}

// One direction of a recurrent op: its weights, and the gates' share of the input at every step.
struct Direct {
  std::int64_t steps = 0, batch = 0, hidden = 0, rows = 0;
  bool backward = false;
  std::vector<float> recurrent;  // [rows, hidden]
  std::vector<float> inputs;     // [steps, batch, rows], bias added

  Direct(const Eval& c, std::string_view suffix, std::string_view bias, bool reversed) : backward(reversed) {
    const auto param = [&](const char* text) { return std::string(text) + std::string(suffix); };
    const Shape& x = c.shape("x");
    steps = x[0];
    batch = x[1];
    const std::string weight_hh = param("weight_hh");
    rows = c.shape(weight_hh)[0];
    hidden = c.shape(weight_hh)[1];
    recurrent = c.floats(weight_hh);
    const std::vector<float> weight = c.floats(param("weight_ih"));
    const std::vector<float> shift = c.has(bias) ? c.floats(bias) : std::vector<float>{};
    inputs.resize(uz(element_count({steps, batch, rows})));
    gemm_rows(c.floats("x").data(), weight.data(), shift.empty() ? nullptr : shift.data(), inputs.data(), steps * batch, rows,
              x[2]);
  }

  // The input that step `t` takes, and its place in a sequence that runs forward in time.
  std::int64_t source(std::int64_t t) const { return backward ? steps - 1 - t : t; }
  const float* input(std::int64_t t, std::int64_t b) const { return inputs.data() + (source(t) * batch + b) * rows; }
};

std::vector<float> optional_floats(const Eval& c, const std::string& param) {
  return c.has(param) ? c.floats(param) : std::vector<float>{};
}

// The hidden states of all steps when they are asked for, else of the last one; `place(t)` says where step t goes.
class Trace {
 public:
  Trace(bool all, std::int64_t steps, std::int64_t batch, std::int64_t width)
      : all_(all), batch_(batch), width_(width), values_(uz((all ? steps : 1) * batch * width)) {}

  void put(std::int64_t place, const std::vector<float>& h, std::int64_t hidden, std::int64_t offset) {
    for (std::int64_t b = 0; b < batch_; ++b) {
      const std::int64_t row = ((all_ ? place : 0) * batch_ + b) * width_ + offset;
      std::copy_n(h.data() + b * hidden, hidden, values_.data() + row);
    }
  }
  bool all() const { return all_; }
  const std::vector<float>& values() const { return values_; }

 private:
  bool all_;
  std::int64_t batch_, width_;
  std::vector<float> values_;
};

double at(const std::vector<float>& values, std::int64_t i) { return values.empty() ? 0 : static_cast<double>(values[uz(i)]); }

struct LstmCell {
  Activation gate, cell, out;
  double clip = 0;
  std::vector<float> peephole;

  // One batch row: `pre` holds the gates i, f, o, z before activation; h and c are updated.
  void step(const float* in, const float* pre, std::int64_t hidden, float* h, float* c) const {
    for (std::int64_t k = 0; k < hidden; ++k) {
      const auto sum = [&](std::int64_t g) {
        return static_cast<double>(in[g * hidden + k]) + static_cast<double>(pre[g * hidden + k]);
      };
      const auto old = static_cast<double>(c[k]);
      const double i = gate(sum(0) + at(peephole, k) * old);
      const double f = gate(sum(1) + at(peephole, hidden + k) * old);
      const double z = cell(sum(3));
      double next = f * old + i * z;
      if (clip > 0) next = std::isnan(next) ? next : std::clamp(next, -clip, clip);
      const double o = gate(sum(2) + at(peephole, 2 * hidden + k) * next);
      c[k] = static_cast<float>(next);
      h[k] = static_cast<float>(o * out(next));
    }
  }
};

// The columns [offset, offset + hidden) of a state of `width` columns.
std::vector<float> state_part(const std::vector<float>& state, std::int64_t batch, std::int64_t width, std::int64_t offset,
                              std::int64_t hidden) {
  std::vector<float> part(uz(batch * hidden));
  for (std::int64_t b = 0; b < batch; ++b) std::copy_n(state.data() + b * width + offset, hidden, part.data() + b * hidden);
  return part;
}

struct LstmRun {
  Trace trace;
  Trace last_h, last_c;
};

void run_lstm(const Direct& d, const LstmCell& cell, std::vector<float> h, std::vector<float> c, std::int64_t offset,
              bool aligned, LstmRun& run) {
  std::vector<float> pre(uz(d.batch * d.rows));
  for (std::int64_t t = 0; t < d.steps; ++t) {
    gemm_rows(h.data(), d.recurrent.data(), nullptr, pre.data(), d.batch, d.rows, d.hidden);
    for (std::int64_t b = 0; b < d.batch; ++b) {
      cell.step(d.input(t, b), pre.data() + b * d.rows, d.hidden, h.data() + b * d.hidden, c.data() + b * d.hidden);
    }
    if (run.trace.all()) run.trace.put(aligned ? d.source(t) : t, h, d.hidden, offset);
  }
  if (!run.trace.all()) run.trace.put(0, h, d.hidden, offset);
  run.last_h.put(0, h, d.hidden, offset);
  run.last_c.put(0, c, d.hidden, offset);
}

void infer_lstm(Infer& c) {
  const Dims x = sequence(c);
  const bool both = direction(c, true) == Direction::bidirectional;
  for (const char* param : {"recurrent_activation", "cell_activation", "activation"}) activation(c, param);
  const Dim hidden = hidden_size(c, 4, x);
  if (c.has("peephole")) expect(c, "peephole", {times(hidden, 3)});
  if (both) {
    for (const char* param : {"weight_ih_back", "weight_hh_back"}) {
      if (!c.has(param)) c.reject(param, "required when direction is bidirectional");
    }
    const Dim back = hidden_size(c, 4, x, "_back");
    if (back.known() && hidden.known() && back != hidden) c.reject("weight_hh_back", "another hidden size than weight_hh");
    if (c.has("peephole_back")) expect(c, "peephole_back", {times(hidden, 3)});
  }
  const Dim width = times(hidden, both ? 2 : 1);
  expect_state(c, "initial_h", x[1], width);
  expect_state(c, "initial_c", x[1], width);
  if (c.has("clip") && c.known("clip").defined()) c.number("clip");
  push_outputs(c, x, width, 2);
}

// A reverse pass alone gives its states in the order it computes them; that of a bidirectional op, in the order of time.
void eval_lstm(Eval& c) {
  const Direction way = direction(c, true);
  const bool both = way == Direction::bidirectional;
  LstmCell cell{activation(c, "recurrent_activation"), activation(c, "cell_activation"), activation(c, "activation"),
                c.has("clip") ? c.number("clip") : 0, optional_floats(c, "peephole")};
  const std::int64_t steps = c.shape("x")[0], batch = c.shape("x")[1], width = c.shape("initial_h")[1];
  const std::vector<float> h = c.floats("initial_h");
  const std::vector<float> state = c.floats("initial_c");
  LstmRun run{Trace(c.boolean("output_sequence"), steps, batch, width), Trace(false, 1, batch, width),
              Trace(false, 1, batch, width)};
  const Direct first(c, "", "bias", way == Direction::reverse);
  run_lstm(first, cell, state_part(h, batch, width, 0, first.hidden), state_part(state, batch, width, 0, first.hidden), 0,
           false, run);
  if (both) {
    cell.peephole = optional_floats(c, "peephole_back");
    const Direct back(c, "_back", "bias_back", true);
    run_lstm(back, cell, state_part(h, batch, width, back.hidden, back.hidden),
             state_part(state, batch, width, back.hidden, back.hidden), back.hidden, true, run);
  }
  c.store(0, run.trace.values());
  c.store(1, run.last_h.values());
  c.store(2, run.last_c.values());
}

// Runs a cell with one state: step(d, t, h) makes the next hidden state of all batch rows.
template <class Step>
void run_simple(Eval& c, const Direct& d, Step&& step) {
  std::vector<float> h = c.floats("initial_h");
  Trace trace(c.boolean("output_sequence"), d.steps, d.batch, d.hidden);
  for (std::int64_t t = 0; t < d.steps; ++t) {
    step(t, h);
    if (trace.all()) trace.put(t, h, d.hidden, 0);
  }
  if (!trace.all()) trace.put(0, h, d.hidden, 0);
  c.store(0, trace.values());
  c.store(1, h);
}

void infer_simple(Infer& c, std::int64_t gates) {
  const Dims x = sequence(c);
  direction(c, false);
  activation(c, "activation");
  const Dim hidden = hidden_size(c, gates, x);
  expect(c, "initial_h", {x[1], hidden});
  push_outputs(c, x, hidden, 1);
}

// Gates r, o, z. With `reset_after` the reset gate scales the recurrent product of o (its bias included), else the state before
// it.
void eval_gru(Eval& c) {
  const bool after = c.boolean("reset_after");
  const Activation gate = activation(c, "recurrent_activation");
  const Activation out = activation(c, "activation");
  const Direct d(c, "", "input_bias", direction(c, false) == Direction::reverse);
  const std::vector<float> bias = optional_floats(c, "bias");
  const std::int64_t n = d.hidden;
  std::vector<float> pre(uz(d.batch * d.rows));
  std::vector<float> scaled(uz(d.batch * n));
  std::vector<float> update(uz(d.batch * n));
  const float* output_weight = d.recurrent.data() + n * n;
  run_simple(c, d, [&](std::int64_t t, std::vector<float>& h) {
    gemm_rows(h.data(), d.recurrent.data(), bias.empty() ? nullptr : bias.data(), pre.data(), d.batch, d.rows, n);
    for (std::int64_t b = 0; b < d.batch; ++b) {
      const float* in = d.input(t, b);
      const float* own = pre.data() + b * d.rows;
      for (std::int64_t k = 0; k < n; ++k) {
        const double r = gate(static_cast<double>(in[k]) + static_cast<double>(own[k]));
        update[uz(b * n + k)] =
            static_cast<float>(gate(static_cast<double>(in[2 * n + k]) + static_cast<double>(own[2 * n + k])));
        scaled[uz(b * n + k)] = static_cast<float>(r * static_cast<double>(after ? own[n + k] : h[uz(b * n + k)]));
      }
    }
    std::vector<float> candidate = scaled;
    if (!after)
      gemm_rows(scaled.data(), output_weight, bias.empty() ? nullptr : bias.data() + n, candidate.data(), d.batch, n, n);
    for (std::int64_t b = 0; b < d.batch; ++b) {
      for (std::int64_t k = 0; k < n; ++k) {
        const std::size_t i = uz(b * n + k);
        const double o = out(static_cast<double>(d.input(t, b)[n + k]) + static_cast<double>(candidate[i]));
        const auto z = static_cast<double>(update[i]);
        h[i] = static_cast<float>((1 - z) * o + z * static_cast<double>(h[i]));
      }
    }
  });
}

}  // namespace

TL_OP(lstm) {
  parameters(op);
  op.in("initial_c", dt::floats);
  op.in("peephole", dt::floats).optional();
  op.in("weight_ih_back", dt::floats).optional();
  op.in("weight_hh_back", dt::floats).optional();
  op.in("bias_back", dt::floats).optional();
  op.in("peephole_back", dt::floats).optional();
  op.in("recurrent_activation", dt::string).constant().def("sigmoid");
  op.in("cell_activation", dt::string).constant().def("tanh");
  op.in("clip", dt::floats).constant().optional();
  op.infer = infer_lstm;
  op.eval = eval_lstm;
}

TL_OP(gru) {
  parameters(op);
  op.in("recurrent_activation", dt::string).constant().def("sigmoid");
  op.in("reset_after", dt::boolean).constant().def(false);
  op.in("input_bias", dt::floats).optional();
  op.infer = [](Infer& c) {
    activation(c, "recurrent_activation");
    infer_simple(c, 3);
    if (c.has("input_bias")) expect(c, "input_bias", {times(c.dims("weight_hh")[1], 3)});
  };
  op.eval = eval_gru;
}

TL_OP(rnn) {
  parameters(op);
  op.infer = [](Infer& c) { infer_simple(c, 1); };
  op.eval = [](Eval& c) {
    const Activation out = activation(c, "activation");
    const Direct d(c, "", "bias", direction(c, false) == Direction::reverse);
    std::vector<float> pre(uz(d.batch * d.rows));
    run_simple(c, d, [&](std::int64_t t, std::vector<float>& h) {
      gemm_rows(h.data(), d.recurrent.data(), nullptr, pre.data(), d.batch, d.rows, d.hidden);
      for (std::int64_t b = 0; b < d.batch; ++b) {
        for (std::int64_t k = 0; k < d.hidden; ++k) {
          const std::size_t i = uz(b * d.hidden + k);
          h[i] = static_cast<float>(out(static_cast<double>(d.input(t, b)[k]) + static_cast<double>(pre[i])));
        }
      }
    });
  };
}

}  // namespace tl::op
