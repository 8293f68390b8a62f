#include <algorithm>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {
namespace {

using Ints = std::vector<std::int64_t>;

// The name of a gate's function. Their parameters are fixed: what the file gives must be absent or agree.
std::string function_of(const spec::ActivationParams& params) {
  using Params = spec::ActivationParams;
  const auto fixed = [](const auto& p, float alpha, float beta) {
    if ((p.alpha() != 0 || p.beta() != 0) && (p.alpha() != alpha || p.beta() != beta)) {
      fail(ErrorKind::unsupported, "a gate function with alpha {} and beta {}", p.alpha(), p.beta());
    }
  };
  switch (params.NonlinearityType_case()) {
    case Params::kSigmoid: return "sigmoid";
    case Params::kTanh: return "tanh";
    case Params::kReLU: return "relu";
    case Params::kLinear: fixed(params.linear(), 1, 0); return "linear";
    case Params::kSigmoidHard: fixed(params.sigmoidhard(), 0.2F, 0.5F); return "sigmoid_hard";
    case Params::kScaledTanh: fixed(params.scaledtanh(), 1, 1); return "scaled_tanh";
    default:
      fail(ErrorKind::unsupported, "gate function {} is not supported", static_cast<int>(params.NonlinearityType_case()));
  }
}

std::vector<std::string> functions_of(const google::protobuf::RepeatedPtrField<spec::ActivationParams>& params, int count) {
  if (params.size() != count) fail(ErrorKind::bad_model, "{} gate functions, expected {}", params.size(), count);
  std::vector<std::string> names;
  for (const auto& function : params) names.push_back(function_of(function));
  return names;
}

struct Recurrent {
  Layer& layer;
  std::int64_t in, hidden;
  Blob x;  // (sequence, batch, features)

  Recurrent(Layer& l, std::uint64_t input, std::uint64_t output)
      : layer(l), in(l.count(input, "inputVectorSize")), hidden(l.count(output, "outputVectorSize")) {
    if (rank_of(l.x()) != 5) fail(ErrorKind::bad_model, "rank {}, expected 5", rank_of(l.x()));
    x = l.e.squeeze(l.x(), {3, 4});
  }

  // The state that input `i` gives, (batch, hidden); zeros without it.
  Blob state(std::size_t i) const {
    Emitter& e = layer.e;
    if (i >= layer.in.size()) {
      const Blob shape = e.concat({e.shape_slice(x, 1, 2), Arg::int_list({hidden})}, 0);
      return e.op("fill", {{"shape", shape}, {"value", 0.0F}});
    }
    // Models write (1, batch, hidden, 1, 1) as well as (batch, hidden, 1, 1, 1).
    return e.reshape(layer.x(i), Ints{-1, hidden});
  }

  // Matrices of several gates as one, with the gates in the order given.
  Blob stacked(std::initializer_list<const spec::WeightParams*> gates, std::int64_t columns, const std::string& suffix) const {
    return named(joined(gates, {hidden, columns}, suffix), suffix);
  }
  Tensor vectors(std::initializer_list<const spec::WeightParams*> gates, const std::string& suffix) const {
    return joined(gates, {hidden}, suffix);
  }
  Blob named(const Tensor& values, const std::string& suffix) const {
    return layer.e.weight(values, layer.e.prefix() + "_" + suffix);
  }

  void put_sequence(const Blob& y) const { layer.put(layer.e.expand(y, {3, 4})); }
  void put_state(const Blob& h) const { layer.put(layer.e.expand(h, {0, 3, 4})); }

 private:
  // What the file cannot hold is refused before room is made for it.
  Tensor joined(std::initializer_list<const spec::WeightParams*> gates, Shape shape, const std::string& what) const {
    std::vector<Tensor> parts;
    for (const spec::WeightParams* gate : gates) parts.push_back(dense(layer, *gate, shape, what));
    shape[0] *= iz(parts.size());
    Tensor all(DType::f32, shape);
    float* to = all.mutable_values<float>().data();
    for (const Tensor& part : parts) to = std::copy(part.values<float>().begin(), part.values<float>().end(), to);
    return all;
  }
};

const char* direction(bool reversed) { return reversed ? "reverse" : "forward"; }

}  // namespace

void translate(Layer& layer, const spec::SimpleRecurrentLayerParams& params) {
  const Recurrent r(layer, params.inputvectorsize(), params.outputvectorsize());
  const auto results =
      layer.e.ops("rnn", {{"x", r.x},
                          {"initial_h", r.state(1)},
                          {"weight_ih", layer.weight(params.weightmatrix(), {r.hidden, r.in}, "input_weights")},
                          {"weight_hh", layer.weight(params.recursionmatrix(), {r.hidden, r.hidden}, "recurrent_weights")},
                          {"bias", layer.maybe(params.hasbiasvector(), params.biasvector(), {r.hidden}, "bias")},
                          {"direction", direction(params.reverseinput())},
                          {"output_sequence", params.sequenceoutput()},
                          {"activation", function_of(params.activation())}});
  r.put_sequence(results[0]);
  r.put_state(results[1]);
}

void translate(Layer& layer, const spec::GRULayerParams& p) {
  const Recurrent r(layer, p.inputvectorsize(), p.outputvectorsize());
  const auto functions = functions_of(p.activations(), 2);
  std::optional<Blob> bias;
  if (p.hasbiasvectors()) {
    bias = r.named(r.vectors({&p.resetgatebiasvector(), &p.outputgatebiasvector(), &p.updategatebiasvector()}, "bias"), "bias");
  }
  const auto results = layer.e.ops(
      "gru",
      {{"x", r.x},
       {"initial_h", r.state(1)},
       {"weight_ih", r.stacked({&p.resetgateweightmatrix(), &p.outputgateweightmatrix(), &p.updategateweightmatrix()}, r.in,
                               "input_weights")},
       {"weight_hh", r.stacked({&p.resetgaterecursionmatrix(), &p.outputgaterecursionmatrix(), &p.updategaterecursionmatrix()},
                               r.hidden, "recurrent_weights")},
       {"bias", bias},
       {"direction", direction(p.reverseinput())},
       {"output_sequence", p.sequenceoutput()},
       {"recurrent_activation", functions[0]},
       {"activation", functions[1]}});
  r.put_sequence(results[0]);
  r.put_state(results[1]);
}

namespace {

// The weights of one direction under the names of the op's parameters.
Args lstm_weights(const Recurrent& r, const spec::LSTMParams& params, const spec::LSTMWeightParams& w,
                  const std::string& back) {
  Args args;
  const auto add = [&](const char* forward, const char* backward, const Blob& blob) {
    args.emplace_back(back.empty() ? forward : backward, blob);
  };
  add("weight_ih", "weight_ih_back",
      r.stacked(
          {&w.inputgateweightmatrix(), &w.forgetgateweightmatrix(), &w.outputgateweightmatrix(), &w.blockinputweightmatrix()},
          r.in, "input_weights" + back));
  add("weight_hh", "weight_hh_back",
      r.stacked({&w.inputgaterecursionmatrix(), &w.forgetgaterecursionmatrix(), &w.outputgaterecursionmatrix(),
                 &w.blockinputrecursionmatrix()},
                r.hidden, "recurrent_weights" + back));
  if (params.hasbiasvectors() || params.forgetbias()) {
    Tensor bias = Tensor::zeros(DType::f32, {4 * r.hidden});
    if (params.hasbiasvectors()) {
      bias =
          r.vectors({&w.inputgatebiasvector(), &w.forgetgatebiasvector(), &w.outputgatebiasvector(), &w.blockinputbiasvector()},
                    "bias" + back);
    }
    if (params.forgetbias()) {
      auto values = bias.mutable_values<float>();
      for (std::int64_t i = r.hidden; i < 2 * r.hidden; ++i) values[uz(i)] += 1;
    }
    add("bias", "bias_back", r.named(bias, "bias" + back));
  }
  if (params.haspeepholevectors()) {
    add("peephole", "peephole_back",
        r.named(r.vectors({&w.inputgatepeepholevector(), &w.forgetgatepeepholevector(), &w.outputgatepeepholevector()},
                          "peephole" + back),
                "peephole" + back));
  }
  return args;
}

Args lstm_args(const Recurrent& r, const spec::LSTMParams& params, const std::vector<std::string>& functions) {
  if (params.coupledinputandforgetgate()) fail(ErrorKind::unsupported, "coupled input and forget gates");
  Args args{{"x", r.x},
            {"output_sequence", params.sequenceoutput()},
            {"recurrent_activation", functions[0]},
            {"cell_activation", functions[1]},
            {"activation", functions[2]}};
  if (params.cellclipthreshold() > 0) args.emplace_back("clip", params.cellclipthreshold());
  return args;
}

void append(Args& args, Args more) { args.insert(args.end(), more.begin(), more.end()); }

}  // namespace

void translate(Layer& layer, const spec::UniDirectionalLSTMLayerParams& params) {
  const Recurrent r(layer, params.inputvectorsize(), params.outputvectorsize());
  Args args = lstm_args(r, params.params(), functions_of(params.activations(), 3));
  append(args, lstm_weights(r, params.params(), params.weightparams(), ""));
  append(args, {{"initial_h", r.state(1)}, {"initial_c", r.state(2)}, {"direction", direction(params.reverseinput())}});
  const auto results = layer.e.ops("lstm", args);
  r.put_sequence(results[0]);
  r.put_state(results[1]);
  r.put_state(results[2]);
}

// Inputs and states: x, h, c, then h and c of the backward direction.
void translate(Layer& layer, const spec::BiDirectionalLSTMLayerParams& params) {
  Emitter& e = layer.e;
  const Recurrent r(layer, params.inputvectorsize(), params.outputvectorsize());
  if (params.weightparams_size() != 2)
    fail(ErrorKind::bad_model, "weights of {} directions, expected 2", params.weightparams_size());
  const auto functions = functions_of(params.activationsforwardlstm(), 3);
  if (functions_of(params.activationsbackwardlstm(), 3) != functions)
    fail(ErrorKind::unsupported, "the two directions have different gate functions");
  Args args = lstm_args(r, params.params(), functions);
  append(args, lstm_weights(r, params.params(), params.weightparams(0), ""));
  append(args, lstm_weights(r, params.params(), params.weightparams(1), "_back"));
  append(args, {{"initial_h", e.concat({r.state(1), r.state(3)}, 1)},
                {"initial_c", e.concat({r.state(2), r.state(4)}, 1)},
                {"direction", "bidirectional"}});
  const auto results = e.ops("lstm", args);
  r.put_sequence(results[0]);
  const auto h = e.ops("split", {{"x", results[1]}, {"axis", 1}, {"num_splits", 2}});
  const auto c = e.ops("split", {{"x", results[2]}, {"axis", 1}, {"num_splits", 2}});
  r.put_state(h[0]);
  r.put_state(c[0]);
  r.put_state(h[1]);
  r.put_state(c[1]);
}

}  // namespace tl::format::nn
