#include <algorithm>
#include <array>

#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

const std::vector<std::int64_t> to_last = {0, 2, 3, 1};
const std::vector<std::int64_t> to_first = {0, 3, 1, 2};
constexpr std::array<std::int64_t, 4> last_axis_of = {0, 3, 1, 2};  // where axis i of [N, C, H, W] stands in [N, H, W, C]

// Every variable of rank 4 may have a twin that holds the same values channels-last. Ops that can work on twins do; a
// transposition stands wherever the two worlds meet, and the unread ones are dropped in the end.
class Rewriter {
 public:
  explicit Rewriter(Function& function) : function_(function) {}

  void run() {
    for (auto& op : function_.body.ops) {
      if (!rewrite(*op)) ops_.push_back(std::move(op));
    }
    set_ops(function_, std::move(ops_));
    remove_dead(function_);
  }

 private:
  static bool rank4(const Var& var) {
    const auto shape = shape_of(var);
    return shape && shape->size() == 4;
  }

  bool has_twin(const Var* var) const { return var != nullptr && twins_.count(var) != 0; }

  Var* push(std::unique_ptr<Op> op) {
    Var* result = op->outputs.front().get();
    ops_.push_back(std::move(op));
    return result;
  }

  Var* twin(Var* var) {
    if (const auto found = twins_.find(var); found != twins_.end()) return found->second;
    // Levels move as the bytes they are.
    const Op* source = var->producer;
    if (source != nullptr && source->type == "dequantize" && binding(*source, "axis") == nullptr) {
      if (Var* levels = variable(*source, "input"); levels != nullptr && rank4(*levels)) {
        Var* result = push(remake(*source, "dequantize", arguments(*source, "input", twin(levels))));
        result->name = var->name + "_nhwc";
        return twins_[var] = result;
      }
    }
    Var* result = push(make_op("transpose", {{"x", var}, {"perm", ints_binding(to_last)}}, var->name + "_nhwc"));
    twins_[var] = result;
    return result;
  }

  // Emits `op`, whose first output is channels-last, as the producer of `result`.
  void emit(std::unique_ptr<Op> op, std::unique_ptr<Var>&& result) {
    op->outputs.front()->name = result->name + "_nhwc";
    Var* last = push(std::move(op));
    auto back = make_op("transpose", {{"x", last}, {"perm", ints_binding(to_first)}}, result->name);
    twins_[result.get()] = last;
    give_output(*back, std::move(result));
    ops_.push_back(std::move(back));
  }

  // The op under another name and other arguments; attributes stay.
  static std::unique_ptr<Op> remake(const Op& op, std::string_view type, std::vector<std::pair<std::string, Binding>> inputs) {
    return make_op(type, std::move(inputs), op.label());
  }

  // The arguments of `op`, with `param` replaced.
  static std::vector<std::pair<std::string, Binding>> arguments(const Op& op, std::string_view param, Binding value) {
    std::vector<std::pair<std::string, Binding>> result;
    for (const Argument& argument : op.inputs) {
      if (argument.name != param) result.emplace_back(argument.name, argument.bindings.front());
    }
    result.emplace_back(param, std::move(value));
    return result;
  }

  bool rewrite(Op& op) {
    if (op.outputs.size() != 1 || !op.blocks.empty()) return false;
    if (op.type == "conv") return window(op, "tl.conv");
    if (op.type == "max_pool") return window(op, "tl.max_pool");
    if (op.type == "avg_pool") return window(op, "tl.avg_pool");
    if (op.type == "transpose") return transpose(op);
    if (op.type == "concat") return concat(op);
    if (op.type == "pad") return pad(op);
    if (op.type == "reshape" || op.type == "flatten2d" || op.type == "squeeze") return flatten(op);
    if (op.def->elementwise) return elementwise(op);
    if (op.type.rfind("reduce_", 0) == 0) return reduce(op);
    if (op.type == "softmax") return along_axis(op);
    return false;
  }

  bool window(Op& op, std::string_view type) {
    Var* x = variable(op, "x");
    if (x == nullptr || !rank4(*x) || !rank4(*op.outputs[0])) return false;
    for (const char* param : {"weight", "bias"}) {
      const Binding* bound = binding(op, param);
      if (bound != nullptr && !is_weight(*bound)) return false;
    }
    emit(remake(op, type, arguments(op, "x", twin(x))), std::move(op.outputs[0]));
    return true;
  }

  bool transpose(Op& op) {
    Var* x = variable(op, "x");
    const auto perm = Infer(op).maybe_ints("perm");
    if (x == nullptr || !perm || perm->size() != 4 || !rank4(*x) || !rank4(*op.outputs[0])) return false;
    std::vector<std::int64_t> order;
    for (const std::int64_t axis : *perm) order.push_back(axis < 0 ? axis + 4 : axis);
    if (order == to_first && !has_twin(x)) {
      twins_[op.outputs[0].get()] = x;
      return false;
    }
    if (!has_twin(x)) return false;
    std::vector<std::int64_t> from_last;
    for (const std::int64_t axis : order) from_last.push_back(last_axis_of[static_cast<std::size_t>(axis)]);
    const bool same = std::is_sorted(from_last.begin(), from_last.end());
    auto fresh = same ? remake(op, "reshape", {{"x", twins_[x]}, {"shape", ints_binding(*shape_of(*op.outputs[0]))}})
                      : remake(op, "transpose", {{"x", twins_[x]}, {"perm", ints_binding(from_last)}});
    give_output(*fresh, std::move(op.outputs[0]));
    ops_.push_back(std::move(fresh));
    return true;
  }

  bool concat(Op& op) {
    const Argument* values = op.argument("values");
    if (values == nullptr || !rank4(*op.outputs[0])) return false;
    const bool interleave = binding(op, "interleave") != nullptr && Infer(op).boolean("interleave");
    std::vector<Binding> twins;
    bool any = false;
    for (const Binding& bound : values->bindings) {
      Var* const* var = std::get_if<Var*>(&bound);
      if (var == nullptr || (*var)->constant != nullptr || !rank4(**var)) return false;
      any = any || has_twin(*var);
    }
    if (!any || interleave) return false;
    for (const Binding& bound : values->bindings) twins.emplace_back(twin(std::get<Var*>(bound)));
    const std::int64_t axis = Infer(op).axis("axis", 4);
    auto fresh = std::make_unique<Op>();
    fresh->type = "concat";
    fresh->def = op.def;
    fresh->attributes.emplace_back("name", make_constant(op.label()));
    fresh->inputs.push_back({"values", std::move(twins)});
    fresh->inputs.push_back({"axis", {make_constant(Tensor::scalar(static_cast<std::int32_t>(last_axis_of[uz(axis)])))}});
    fresh->outputs.push_back(std::make_unique<Var>());
    fresh->outputs.back()->type = infer_types(*fresh).front();
    fresh->outputs.back()->producer = fresh.get();
    emit(std::move(fresh), std::move(op.outputs[0]));
    return true;
  }

  bool pad(Op& op) {
    Var* x = variable(op, "x");
    if (!has_twin(x) || !rank4(*op.outputs[0])) return false;
    const auto amounts = Infer(op).maybe_ints("pad");
    if (!amounts || amounts->size() > 8 || Infer(op).text("mode") != "constant") return false;
    std::vector<std::int64_t> all(8 - amounts->size(), 0);
    all.insert(all.end(), amounts->begin(), amounts->end());
    std::vector<std::int64_t> last(8);
    for (std::size_t axis = 0; axis < 4; ++axis) {
      const auto to = uz(last_axis_of[axis]);
      last[2 * to] = all[2 * axis];
      last[2 * to + 1] = all[2 * axis + 1];
    }
    auto inputs = arguments(op, "x", twins_[x]);
    for (auto& [name, value] : inputs) {
      if (name == "pad") value = ints_binding(last);
    }
    emit(remake(op, "pad", std::move(inputs)), std::move(op.outputs[0]));
    return true;
  }

  // [N, C, 1, 1] to any shape: the bytes are the same in both orders.
  bool flatten(Op& op) {
    Var* x = variable(op, "x");
    if (!has_twin(x) || !rank4(*x)) return false;
    const Shape shape = *shape_of(*x);
    const auto target = shape_of(*op.outputs[0]);
    if (!target || (shape[1] != 1 && shape[2] * shape[3] != 1)) return false;
    auto fresh = remake(op, "reshape", {{"x", twins_[x]}, {"shape", ints_binding(*target)}});
    give_output(*fresh, std::move(op.outputs[0]));
    ops_.push_back(std::move(fresh));
    return true;
  }

  // A constant as it broadcasts against channels-last values.
  static std::optional<Binding> constant_last(const ConstantPtr& constant) {
    const Tensor& value = constant->value.tensor();
    if (value.size() == 1 || value.dtype() == DType::string) return Binding(constant);
    if (value.rank() > 4) return std::nullopt;
    Shape shape(4 - value.rank(), 1);
    shape.insert(shape.end(), value.shape().begin(), value.shape().end());
    const Tensor perm = Tensor::of<std::int32_t>({4}, {0, 2, 3, 1});
    return Binding(make_constant(eager("transpose", {{"x", value.reshaped(shape)}, {"perm", perm}}).front().tensor()));
  }

  bool elementwise(Op& op) {
    if (!rank4(*op.outputs[0]) || binding(op, "axis") != nullptr) return false;
    bool any = false;
    for (const Argument& argument : op.inputs) {
      for (const Binding& bound : argument.bindings) {
        if (const ConstantPtr constant = constant_of(bound)) {
          if (!constant->value.is_tensor() || constant->value.tensor().rank() > 4) return false;
          continue;
        }
        const Var* var = std::get<Var*>(bound);
        const auto shape = shape_of(*var);
        if (!shape || (shape->size() != 4 && element_count(*shape) != 1)) return false;
        any = any || has_twin(var);
      }
    }
    if (!any) return false;
    std::vector<std::pair<std::string, Binding>> inputs;
    for (const Argument& argument : op.inputs) {
      const Binding& bound = argument.bindings.front();
      if (const ConstantPtr constant = constant_of(bound)) {
        inputs.emplace_back(argument.name, *constant_last(constant));
      } else {
        Var* var = std::get<Var*>(bound);
        inputs.emplace_back(argument.name, rank4(*var) ? twin(var) : var);
      }
    }
    emit(remake(op, op.type, std::move(inputs)), std::move(op.outputs[0]));
    return true;
  }

  bool reduce(Op& op) {
    Var* x = variable(op, "x");
    if (!has_twin(x) || op.def->param("axes") == nullptr) return false;
    const Infer view(op);
    std::vector<std::int64_t> axes = {0, 1, 2, 3};
    if (view.has("axes")) {
      const auto given = view.maybe_ints("axes");
      if (!given) return false;
      if (!given->empty()) axes = *given;
    }
    for (std::int64_t& axis : axes) axis = last_axis_of[uz(axis < 0 ? axis + 4 : axis)];
    const bool keep = view.boolean("keep_dims");
    const auto kept = [&](std::int64_t axis) { return std::count(axes.begin(), axes.end(), axis) == 0; };
    // Without keep_dims what is left must come out in MIL's order.
    if (!keep && kept(3) && (kept(1) || kept(2))) return false;
    std::sort(axes.begin(), axes.end());
    auto inputs = arguments(op, "x", twins_[x]);
    std::erase_if(inputs, [](const auto& input) { return input.first == "axes"; });
    inputs.emplace_back("axes", ints_binding(axes));
    auto fresh = remake(op, op.type, std::move(inputs));
    if (keep) {
      emit(std::move(fresh), std::move(op.outputs[0]));
    } else {
      give_output(*fresh, std::move(op.outputs[0]));
      ops_.push_back(std::move(fresh));
    }
    return true;
  }

  bool along_axis(Op& op) {
    Var* x = variable(op, "x");
    if (!has_twin(x)) return false;
    const auto axis = last_axis_of[uz(Infer(op).axis("axis", 4))];
    emit(remake(op, op.type, {{"x", twins_[x]}, {"axis", make_constant(Tensor::scalar(static_cast<std::int32_t>(axis)))}}),
         std::move(op.outputs[0]));
    return true;
  }

  Function& function_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::unordered_map<const Var*, Var*> twins_;
};

}  // namespace

void channels_last(Function& function) {
  const bool any = std::any_of(function.body.ops.begin(), function.body.ops.end(), [](const auto& op) {
    const auto shape = op->outputs.empty() ? std::nullopt : shape_of(*op->outputs[0]);
    return op->type == "conv" && shape && shape->size() == 4;
  });
  if (any) Rewriter(function).run();
}

}  // namespace tl::pass
