#include "insight/precision.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/f16.hpp"
#include "ir/op_def.hpp"

namespace tl::insight {

using namespace ir;

namespace {

constexpr std::array pinned = {"const",       "make_list",  "list_gather", "list_scatter",        "list_read", "list_write",
                               "list_length", "read_state", "write_state", "coreml_update_state", "classify"};
// What coremltools does not lower: these, and the control flow.
constexpr std::array never_lowered = {"cast", "while_loop", "cond"};

bool among(const auto& names, const std::string& type) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return type == name; });
}

template <class Test>
bool any_binding(const Op& op, Test&& test) {
  return std::any_of(op.inputs.begin(), op.inputs.end(), [&](const Argument& argument) {
    return std::any_of(argument.bindings.begin(), argument.bindings.end(), test);
  });
}

// A finite constant beyond float16's range keeps its op in float32.
bool constant_overflows(const Op& op) {
  return any_binding(op, [](const Binding& binding) {
    const ConstantPtr constant = constant_of(binding);
    if (constant == nullptr || !constant->value.is_tensor() || constant->value.tensor().dtype() != DType::f32) return false;
    const auto values = constant->value.tensor().values<float>();
    return std::any_of(values.begin(), values.end(), [](float v) { return std::fabs(v) > 65504.0F && std::fabs(v) < 1e38F; });
  });
}

// Since iOS 17 these parameters may have a type of their own, and coremltools leaves them in float32.
bool mixed_parameter(const Op& op, std::string_view param) {
  static constexpr std::array scaled = {
      "elu",          "leaky_relu",         "prelu", "thresholded_relu", "clamped_relu", "linear_activation", "scaled_tanh",
      "sigmoid_hard", "softplus_parametric"};
  static constexpr std::array guarded = {"inverse", "log", "rsqrt"};
  if (param == "alpha" || param == "beta") return among(scaled, op.type);
  return param == "epsilon" && among(guarded, op.type);
}

bool lowered(const Op& op) { return choosable(op) && !among(never_lowered, op.type) && !constant_overflows(op); }

}  // namespace

bool is_float(const Type& type) noexcept {
  const auto* tensor = type.as<TensorType>();
  return tensor != nullptr && half_or_single(tensor->dtype);
}

bool is_float_cast(const Op& op) {
  if (op.type != "cast") return false;
  const Argument* x = op.argument("x");
  return x != nullptr && is_float(type_of(x->bindings.front())) && is_float(op.outputs.front()->type);
}

bool choosable(const Op& op) {
  if (among(pinned, op.type) || op.def == nullptr || op.def->constexpr_op || op.outputs.empty()) return false;
  if (is_float_cast(op)) return false;
  const auto floats = [](const auto& output) { return is_float(output->type); };
  return std::any_of(op.outputs.begin(), op.outputs.end(), floats) || any_binding(op, [](const Binding& binding) {
           return is_float(type_of(binding)) && std::holds_alternative<Var*>(binding);
         });
}

bool names_float(const Op& op, std::string_view param, const Value& value) {
  if (param != "dtype" || (op.type != "cast" && op.type != "make_list")) return false;
  if (!value.is_tensor() || value.tensor().dtype() != DType::string || value.tensor().size() != 1) return false;
  const auto dtype = dtype_from_name(value.tensor().strings()[0]);
  return dtype && half_or_single(*dtype);
}

DType Precision::wanted(const Op& op, std::string_view param, DType declared) const {
  if (!half_or_single(declared)) return declared;
  if (op.def->constexpr_op) return declared;
  const Param* known = op.def->param(param);
  const auto takes = [&](DType dtype) { return known == nullptr || known->non_tensor || (known->dtypes & dt::of(dtype)) != 0; };
  if (raised(op)) return takes(DType::f32) ? DType::f32 : declared;
  if (base == Base::lower && lowered(op) && takes(DType::f16) && !(mixed_parameters && mixed_parameter(op, param)))
    return DType::f16;
  return declared;
}

DType Precision::at_border(const Op& op, DType declared) const {
  return half_or_single(declared) && raised(op) ? DType::f32 : declared;
}

void Precision::close(const Function& function) {
  std::vector<const Op*> casts;
  for_each_op(function.body, [&](const Op& op) {
    if (is_float_cast(op)) casts.push_back(&op);
  });
  if (casts.empty() || keep.empty()) return;
  // Downwards: a cast of a value that is held in float32.
  for (const Op* cast : casts) {
    const auto* source = std::get_if<Var*>(&cast->argument("x")->bindings.front());
    if (source != nullptr && (*source)->producer != nullptr && keep.count((*source)->producer) != 0) keep.insert(cast);
  }
  // Upwards: a cast that such an op reads.
  std::vector<const Op*> pending(keep.begin(), keep.end());
  while (!pending.empty()) {
    const Op* op = pending.back();
    pending.pop_back();
    for (const Argument& argument : op->inputs) {
      for (const Binding& binding : argument.bindings) {
        const auto* var = std::get_if<Var*>(&binding);
        const Op* producer = var == nullptr ? nullptr : (*var)->producer;
        if (producer != nullptr && is_float_cast(*producer) && keep.insert(producer).second) pending.push_back(producer);
      }
    }
  }
}

Tensor in_precision(const Tensor& value, DType dtype, bool constant) {
  if (value.dtype() == dtype) return value;
  Tensor result = value.cast(dtype);
  if (dtype != DType::f16 || !constant) return result;
  constexpr std::uint16_t smallest = 1;
  constexpr std::uint16_t sign = 0x8000;
  const auto in = value.values<float>();
  auto out = result.mutable_values<f16>();
  for (std::size_t i = 0; i < in.size(); ++i) {
    if ((out[i].bits & 0x7FFF) == 0 && std::fabs(in[i]) > 1e-38F)
      out[i].bits = static_cast<std::uint16_t>(smallest | (in[i] < 0 ? sign : 0));
  }
  return result;
}

namespace {

// Copies a function op by op; every value of the base may stand in the copy under both float types.
class Writer {
 public:
  Writer(const Function& base, const Precision& precision) : precision_(precision) {
    for_each_op(base.body, [&](const Op& op) {
      for (const auto& output : op.outputs) names_.insert(output->name);
      for (const auto& inner : op.blocks) {
        for (const auto& param : inner->params) names_.insert(param->name);
      }
    });
    for (const auto& input : base.inputs) names_.insert(input->name);
  }

  std::unique_ptr<Function> run(const Function& base) {
    auto result = std::make_unique<Function>();
    result->name = base.name;
    result->opset = base.opset;
    result->attributes = base.attributes;
    for (const auto& input : base.inputs) {
      result->inputs.push_back(std::make_unique<Var>(*input));
      result->inputs.back()->producer = nullptr;
      held_[input.get()].push_back(result->inputs.back().get());
    }
    block(
        base.body, result->body, [](DType declared) { return declared; }, true);
    return result;
  }

 private:
  std::string fresh(std::string name) {
    while (!names_.insert(name).second) name += "_";
    return name;
  }

  std::unique_ptr<Op> constant_op(std::string name, ConstantPtr value) {
    auto op = std::make_unique<Op>();
    op->type = "const";
    op->def = find_op("const");
    op->attributes = {{"name", make_constant(name)}, {"val", value}};
    auto var = std::make_unique<Var>();
    var->name = std::move(name);
    var->type = value->type;
    var->constant = std::move(value);
    var->producer = op.get();
    op->outputs.push_back(std::move(var));
    return op;
  }

  Var* add(Block& block, std::unique_ptr<Op> op) {
    block.ops.push_back(std::move(op));
    return block.ops.back()->outputs.front().get();
  }

  Var* cast(Block& block, Var* source, DType dtype, std::string name) {
    auto op = std::make_unique<Op>();
    op->type = "cast";
    op->def = find_op("cast");
    Var* text = add(block, constant_op(fresh(name + "_dtype"), make_constant(std::string(tl::name(dtype)))));
    op->inputs = {{"dtype", {text}}, {"x", {source}}};
    op->attributes.emplace_back("name", make_constant(name));
    auto var = std::make_unique<Var>();
    var->name = std::move(name);
    var->type = source->type;
    if (const auto* tensor = source->type.as<TensorType>()) var->type = TensorType{dtype, tensor->dims};
    var->producer = op.get();
    op->outputs.push_back(std::move(var));
    return add(block, std::move(op));
  }

  // The base's value in this dtype, converted in `block` when the copy does not hold it so far.
  Var* get(Block& block, const Var& base, DType dtype) {
    auto& held = held_.at(&base);
    if (!is_float(held.front()->type)) return held.front();
    for (Var* var : held) {
      if (var->type.tensor().dtype == dtype) return var;
    }
    const bool back = dtype == base.type.tensor().dtype && restored_.insert(base.name).second;
    const std::string name = back ? base.name : fresh(fmt::format("{}_{}", base.name, tl::name(dtype)));
    Var* result = base.constant != nullptr && base.constant->value.is_tensor()
                      ? add(block, constant_op(name, make_constant(in_precision(base.constant->value.tensor(), dtype, true))))
                      : cast(block, held.front(), dtype, name);
    held.push_back(result);
    made_here_.back().emplace_back(&base, result);
    return result;
  }

  Binding bind(Block& block, const Op& op, const Argument& argument, const Binding& binding) {
    if (const auto* var = std::get_if<Var*>(&binding)) {
      const DType declared = is_float((*var)->type) ? (*var)->type.tensor().dtype : DType::f32;
      return get(block, **var, precision_.wanted(op, argument.name, declared));
    }
    const ConstantPtr& constant = std::get<ConstantPtr>(binding);
    if (!is_float(constant->type)) return constant;
    const DType wanted = precision_.wanted(op, argument.name, constant->type.tensor().dtype);
    if (wanted == constant->type.tensor().dtype) return constant;
    return make_constant(in_precision(constant->value.tensor(), wanted, true));
  }

  void copy_op(const Op& op, Block& target) {
    if (is_float_cast(op) && precision_.raised(op)) {
      // The value passes as it is.
      const auto* source = std::get_if<Var*>(&op.argument("x")->bindings.front());
      if (source != nullptr) {
        held_[op.outputs.front().get()] = {get(target, **source, DType::f32)};
        return;
      }
    }
    auto copy = std::make_unique<Op>();
    copy->type = op.type;
    copy->def = op.def;
    copy->opset = op.opset;
    copy->attributes = op.attributes;
    bool moved = false;
    for (const Argument& argument : op.inputs) {
      Argument& to = copy->inputs.emplace_back();
      to.name = argument.name;
      for (const Binding& binding : argument.bindings) {
        to.bindings.push_back(bind(target, op, argument, binding));
        moved |= is_float(type_of(binding)) && type_of(to.bindings.back()).tensor().dtype != type_of(binding).tensor().dtype;
      }
      const ConstantPtr text = constant_of(argument.bindings.front());
      if (text != nullptr && names_float(op, argument.name, text->value) && precision_.raised(op)) {
        to.bindings = {
            add(target, constant_op(fresh(op.outputs.front()->name + "_dtype"), make_constant(std::string("fp32"))))};
        moved = true;
      }
    }
    for (const auto& inner : op.blocks) {
      copy->blocks.push_back(std::make_unique<Block>());
      Block& to = *copy->blocks.back();
      to.attributes = inner->attributes;
      for (const auto& param : inner->params) {
        to.params.push_back(std::make_unique<Var>(*param));
        to.params.back()->producer = nullptr;
        set_dtype(*to.params.back(), precision_.at_border(op, dtype_of(param->type)));
        held_[param.get()] = {to.params.back().get()};
      }
      block(
          *inner, to, [&](DType declared) { return precision_.at_border(op, declared); }, false);
    }
    const std::vector<Type> types = moved || !op.blocks.empty() ? infer_types(*copy) : std::vector<Type>();
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
      const Var& base = *op.outputs[i];
      auto var = std::make_unique<Var>(base);
      var->producer = copy.get();
      if (!types.empty() && is_float(base.type) && is_float(types[i])) {
        set_dtype(*var, types[i].tensor().dtype);
        if (types[i].tensor().dtype != base.type.tensor().dtype)
          var->name = fresh(fmt::format("{}_{}", base.name, tl::name(types[i].tensor().dtype)));
      }
      held_[&base] = {var.get()};
      copy->outputs.push_back(std::move(var));
    }
    target.ops.push_back(std::move(copy));
  }

  static DType dtype_of(const Type& type) { return is_float(type) ? type.tensor().dtype : DType::i32; }
  static void set_dtype(Var& var, DType dtype) {
    if (is_float(var.type)) var.type = TensorType{dtype, var.type.tensor().dims};
  }

  template <class Wanted>
  void block(const Block& base, Block& target, Wanted&& wanted, bool named) {
    made_here_.emplace_back();
    for (const auto& op : base.ops) {
      within([&] { return fmt::format("op '{}' ({})", op->label(), op->type); }, [&] { copy_op(*op, target); });
    }
    for (std::size_t i = 0; i < base.outputs.size(); ++i) {
      const Var& output = *base.outputs[i];
      Var* var = held_.at(&output).front();
      if (is_float(output.type)) var = get(target, output, wanted(output.type.tensor().dtype));
      if (named && var->name != output.name) var = under_name(target, var, output.name);
      target.outputs.push_back(var);
    }
    // Values that were converted inside are not seen outside.
    for (const auto& [base_var, made] : made_here_.back()) {
      auto& held = held_.at(base_var);
      held.erase(std::remove(held.begin(), held.end(), made), held.end());
    }
    made_here_.pop_back();
    drop_unread(target);
  }

  // Outputs of the function keep their names: the name goes to the value, or to a copy of it when it is an input.
  Var* under_name(Block& target, Var* var, const std::string& name) {
    if (var->producer != nullptr && var->producer->type != "const") {
      var->name = name;
      return var;
    }
    auto op = std::make_unique<Op>();
    op->type = "identity";
    op->def = find_op("identity");
    op->inputs = {{"x", {var}}};
    op->attributes.emplace_back("name", make_constant(name));
    auto copy = std::make_unique<Var>();
    copy->name = name;
    copy->type = var->type;
    copy->producer = op.get();
    op->outputs.push_back(std::move(copy));
    return add(target, std::move(op));
  }

  // Constants and casts that nothing reads any more.
  static void drop_unread(Block& block) {
    std::unordered_set<const Var*> read(block.outputs.begin(), block.outputs.end());
    const auto note = [&](const Op& op) {
      for (const Argument& argument : op.inputs) {
        for (const Binding& binding : argument.bindings) {
          if (const auto* var = std::get_if<Var*>(&binding)) read.insert(*var);
        }
      }
    };
    std::vector<std::unique_ptr<Op>> kept;
    for (auto op = block.ops.rbegin(); op != block.ops.rend(); ++op) {
      const bool plain = (*op)->type == "const" || (*op)->type == "cast" || ((*op)->def != nullptr && (*op)->def->constexpr_op);
      if (plain && std::none_of((*op)->outputs.begin(), (*op)->outputs.end(),
                                [&](const auto& output) { return read.count(output.get()) != 0; }))
        continue;
      note(**op);
      for (const auto& inner : (*op)->blocks) {
        read.insert(inner->outputs.begin(), inner->outputs.end());
        for_each_op(*inner, note);
        for_each_op(*inner, [&](const Op& nested) {
          for (const auto& deeper : nested.blocks) read.insert(deeper->outputs.begin(), deeper->outputs.end());
        });
      }
      kept.push_back(std::move(*op));
    }
    block.ops.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  }

  const Precision& precision_;
  std::unordered_map<const Var*, std::vector<Var*>> held_;
  std::vector<std::vector<std::pair<const Var*, Var*>>> made_here_;  // per open block
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> restored_;  // names of the base that a cast back to the declared type bears
};

}  // namespace

std::unique_ptr<Function> write_out(const Function& function, const Precision& precision) {
  return Writer(function, precision).run(function);
}

}  // namespace tl::insight
