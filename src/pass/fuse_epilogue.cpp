#include <algorithm>
#include <cmath>
#include <limits>

#include "base/knobs.hpp"
#include "op/levels.hpp"
#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

struct Activation {
  std::string kind;
  float alpha = 0;
  float beta = 0;
};

// The op as an activation of its `x`; empty kind when it is none.
Activation activation_of(const Op& op) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const auto number = [&](std::string_view param) {
    const std::vector<float> values = constant_floats(op, param);
    return values.size() == 1 ? values[0] : std::numeric_limits<float>::quiet_NaN();
  };
  if (op.type == "relu") return {"clamp", 0, inf};
  if (op.type == "relu6") return {"clamp", 0, 6};
  if (op.type == "clip") return {"clamp", number("alpha"), number("beta")};
  if (op.type == "leaky_relu" || op.type == "elu" || op.type == "thresholded_relu") return {op.type, number("alpha"), 0};
  if (op.type == "sigmoid" || op.type == "tanh" || op.type == "silu") return {op.type, 0, 0};
  if (op.type == "sigmoid_hard") return {"hard_sigmoid", number("alpha"), number("beta")};
  if (op.type == "tl.hard_swish") return {"hard_swish", number("alpha"), number("beta")};
  if (op.type == "gelu") {
    const std::string mode = Infer(op).text("mode");
    return {mode == "EXACT" ? "gelu" : mode == "TANH_APPROXIMATION" ? "gelu_tanh" : "gelu_sigmoid", 0, 0};
  }
  return {};
}

// A convolution or linear that takes in what follows it.
class Fuser {
 public:
  explicit Fuser(Function& function) : function_(function), uses_(function) {}

  void run() {
    auto& ops = function_.body.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      for (const auto& output : ops[i]->outputs) place_[output.get()] = i;
    }
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (ops[i] == nullptr) continue;
      if (ops[i]->type == "linear") to_dialect(*ops[i]);
      if (ops[i]->type == "matmul") matmul_to_dialect(*ops[i]);
      if (ops[i]->type == "tl.conv" || ops[i]->type == "tl.linear") absorb(i);
    }
    set_ops(function_, std::move(ops));
    remove_dead(function_);
  }

 private:
  static void to_dialect(Op& op) {
    for (const char* param : {"weight", "bias"}) {
      const Binding* bound = binding(op, param);
      if (bound != nullptr && !is_weight(*bound)) return;
    }
    const Var* x = variable(op, "x");
    if (x == nullptr || !is_floating(x->type.tensor().dtype)) return;
    op.type = "tl.linear";
    op.def = find_op("tl.linear");
  }

  // x times a constant matrix.
  static void matmul_to_dialect(Op& op) {
    const Binding* y = binding(op, "y");
    const ConstantPtr matrix = y == nullptr ? nullptr : constant_of(*y);
    const Var* x = variable(op, "x");
    const auto shape = x == nullptr ? std::nullopt : shape_of(*x);
    if (matrix == nullptr || !shape || shape->size() < 2 || Infer(op).boolean("transpose_x")) return;
    Tensor weight = matrix->value.tensor();
    if (weight.rank() != 2 || weight.dtype() != x->type.tensor().dtype || !is_floating(weight.dtype())) return;
    if (!Infer(op).boolean("transpose_y")) {
      const Tensor perm = Tensor::of<std::int32_t>({2}, {1, 0});
      weight = eager("transpose", {{"x", weight}, {"perm", perm}}).front().tensor();
    }
    op.inputs = {{"x", {variable(op, "x")}}, {"weight", {make_constant(std::move(weight))}}};
    op.type = "tl.linear";
    op.def = find_op("tl.linear");
  }

  // Takes in the users of op `i` one by one; it then stands where the last of them stood.
  void absorb(std::size_t i) {
    auto& ops = function_.body.ops;
    while (true) {
      Op& op = *ops[i];
      Var& result = *op.outputs[0];
      if (op.argument("y_scale") != nullptr) return;
      Op* user = uses_.only_user(result);
      if (user == nullptr) return beside_values(op);
      if (user->outputs.size() != 1) return;
      if (user->type == "quantize") {
        if (const auto chain = levels_between(op, *user)) {
          take_levels(op, *user, "mid");
          if (!take_activation(op, *chain->next, chain->dequantized)) take_sum(op, *chain->next, chain->dequantized);
          // What stood between goes; the op behind is the user that is taken in.
          kept_.push_back(std::move(user->outputs[0]));
          const std::size_t between = place_.at(chain->dequantized);
          ops[place_.at(kept_.back().get())] = nullptr;
          kept_.push_back(std::move(ops[between]->outputs[0]));
          ops[between] = nullptr;
          user = chain->next;
        } else if (op.argument("y_scale") != nullptr || !of_levels(op, *user)) {
          return;
        } else {
          take_levels(op, *user, "y");
        }
      } else if (user->outputs[0]->type != result.type || op.argument("activation") != nullptr ||
                 !(take_activation(op, *user, &result) || take_sum(op, *user, &result) || take_scale(op, *user, &result))) {
        return;
      }
      const std::size_t next = place_.at(user->outputs[0].get());
      // Reads of the old result are gone with its user.
      op.outputs[0] = std::move(user->outputs[0]);
      op.outputs[0]->producer = &op;
      ops[next] = std::move(ops[i]);
      i = next;
    }
  }

  // One user quantizes the result, others read it as it is: the op gives both.
  void beside_values(Op& op) {
    Var& result = *op.outputs[0];
    for (Op* user : uses_.users(result)) {
      if (user->type != "quantize" || !of_levels(op, *user)) continue;
      const std::size_t place = place_.at(user->outputs[0].get());
      take_levels(op, *user, "y");
      op.inputs.push_back({"y_values", {make_constant(Tensor::scalar(true))}});
      op.outputs.insert(op.outputs.begin(), std::move(user->outputs[0]));
      op.outputs[0]->producer = &op;
      function_.body.ops[place] = nullptr;
      return;
    }
  }

  static bool take_activation(Op& op, const Op& user, const Var* of) {
    const Activation activation = activation_of(user);
    if (activation.kind.empty() || variable(user, "x") != of || activation.alpha != activation.alpha ||
        activation.beta != activation.beta)
      return false;
    op.inputs.push_back({"activation", {text_binding(activation.kind)}});
    op.inputs.push_back({"alpha", {float_binding(activation.alpha)}});
    op.inputs.push_back({"beta", {float_binding(activation.beta)}});
    if (const Binding* threshold = binding(user, "threshold")) op.inputs.push_back({"threshold", {*threshold}});
    return true;
  }

  // True when the products are of levels.
  static bool of_levels(const Op& op) {
    const Binding& weight = *binding(op, "weight");
    if (constant_of(weight) != nullptr || !op::level_input(variable(op, "x"))) return false;
    const Op* source = std::get<Var*>(weight)->producer;
    return source != nullptr && op::level_weights(*source);
  }
  // And the user gives levels of one scale.
  static bool of_levels(const Op& op, const Op& user) {
    return of_levels(op) && constant_floats(user, "scale").size() == 1 && constant_floats(user, "zero_point").size() <= 1 &&
           binding(user, "axis") == nullptr;
  }

  static void take_levels(Op& op, const Op& user, const std::string& prefix) {
    const std::vector<float> zero = constant_floats(user, "zero_point");
    op.inputs.push_back({prefix + "_scale", {float_binding(static_cast<double>(constant_floats(user, "scale")[0]))}});
    op.inputs.push_back({prefix + "_zero_point", {float_binding(zero.empty() ? 0.0 : static_cast<double>(zero[0]))}});
    op.inputs.push_back({prefix + "_dtype", {text_binding(Infer(user).text("output_dtype"))}});
  }

  // quantize, dequantize by the same scale, an activation or a sum of two variables; each read by the next alone.
  struct Chain {
    Var* dequantized;
    Op* next;
  };
  std::optional<Chain> levels_between(const Op& op, const Op& quantize) const {
    for (const char* taken : {"activation", "mid_scale", "residual"}) {
      if (op.argument(taken) != nullptr) return std::nullopt;
    }
    if (!of_levels(op, quantize)) return std::nullopt;
    const Op* back = uses_.only_user(*quantize.outputs[0]);
    if (back == nullptr || back->type != "dequantize" || !op::level_input(back->outputs[0].get())) return std::nullopt;
    if (constant_floats(*back, "scale") != constant_floats(quantize, "scale") ||
        constant_floats(*back, "zero_point") != constant_floats(quantize, "zero_point"))
      return std::nullopt;
    Var* dequantized = back->outputs[0].get();
    Op* next = uses_.only_user(*dequantized);
    if (next == nullptr || next->outputs.size() != 1 || next->outputs[0]->type != op.outputs[0]->type) return std::nullopt;
    if (next->type == "add") {
      const Var* x = variable(*next, "x");
      const Var* y = variable(*next, "y");
      if (x == nullptr || y == nullptr || x == y || x->type != y->type) return std::nullopt;
      return Chain{dequantized, next};
    }
    const Activation found = activation_of(*next);
    if (found.kind.empty() || variable(*next, "x") != dequantized || found.alpha != found.alpha || found.beta != found.beta)
      return std::nullopt;
    return Chain{dequantized, next};
  }

  // The sum of `result` and something else.
  bool take_sum(Op& op, const Op& user, const Var* result) {
    if (user.type != "add") return false;
    const bool first = variable(user, "x") == result;
    const std::string_view other_param = first ? "y" : "x";
    if (!first && variable(user, "y") != result) return false;
    if (Var* other = variable(user, other_param)) {
      if (other == result || other->type != result->type || op.argument("residual") != nullptr) return false;
      const auto levels = of_levels(op) ? op::level_input(other) : std::nullopt;
      if (levels) {
        op.inputs.push_back({"residual", {const_cast<Var*>(levels->levels)}});
        op.inputs.push_back({"residual_scale", {float_binding(static_cast<double>(levels->scale))}});
        op.inputs.push_back({"residual_zero_point", {float_binding(levels->zero)}});
      } else {
        op.inputs.push_back({"residual", {other}});
      }
      uses_.replace(*other, &user, &op);
      return true;
    }
    return op.argument("mid_scale") == nullptr && take_bias(op, *constant_of(*binding(user, other_param)));
  }

  // A constant per channel, the last axis, or one number for all; empty when it is neither.
  static std::vector<float> per_channel(const Op& op, const Constant& constant) {
    const Tensor& value = constant.value.tensor();
    const std::int64_t channels = shape_of(*op.outputs[0])->back();
    const bool each = value.size() == channels && (value.rank() == 0 ? channels == 1 : value.shape().back() == channels);
    if (!each && value.size() != 1) return {};
    const Tensor wide = value.cast(DType::f32);
    const auto values = wide.values<float>();
    return each ? std::vector<float>(values.begin(), values.end()) : std::vector<float>(uz(channels), values[0]);
  }

  static void set_constant(Op& op, std::string_view param, Tensor value) {
    std::erase_if(op.inputs, [&](const Argument& a) { return a.name == param; });
    op.inputs.push_back({std::string(param), {make_constant(std::move(value))}});
  }

  // A factor for each channel. Only where no kernel is less exact or slower for it: Strassen's scales its sums, others take the
  // factors into their weights, of which they keep floats.
  static bool take_scale(Op& op, const Op& user, const Var* result) {
    if (user.type != "mul" || op.type != "tl.linear") return false;
    for (const char* taken : {"scale", "residual", "mid_scale"}) {
      if (op.argument(taken) != nullptr) return false;
    }
    const std::string_view other = variable(user, "x") == result ? "y" : "x";
    const ConstantPtr constant = constant_of(*binding(user, other));
    const ConstantPtr weight = constant_of(*binding(op, "weight"));
    const auto shape = shape_of(*result);
    if (constant == nullptr || weight == nullptr || !shape || shape->back() == 0 || result->type.tensor().dtype != DType::f16 ||
        !keeps_float_weights(element_count(*shape) / shape->back(), weight->value.tensor().size(), true))
      return false;
    std::vector<float> factors = per_channel(op, *constant);
    if (factors.empty() || !std::all_of(factors.begin(), factors.end(), [](float v) { return std::isfinite(v); })) return false;
    Tensor scale(DType::f32, {iz(factors.size())});
    std::copy(factors.begin(), factors.end(), scale.mutable_values<float>().begin());
    set_constant(op, "scale", std::move(scale));
    return true;
  }

  static bool take_bias(Op& op, const Constant& constant) {
    const std::vector<float> added = per_channel(op, constant);
    if (added.empty() || op.argument("scale") != nullptr) return false;
    const std::vector<float> old = constant_floats(op, "bias");
    Tensor bias(DType::f32, {iz(added.size())});
    auto out = bias.mutable_values<float>();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = (old.empty() ? 0.0F : old[i]) + added[i];
    set_constant(op, "bias", std::move(bias));
    return true;
  }

  Function& function_;
  Uses uses_;
  std::unordered_map<const Var*, std::size_t> place_;
  std::vector<std::unique_ptr<Var>> kept_;
};

}  // namespace

void fuse_epilogue(Function& function) { Fuser(function).run(); }

}  // namespace tl::pass
