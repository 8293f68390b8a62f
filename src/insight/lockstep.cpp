#include "insight/lockstep.hpp"

#include <algorithm>

#include "base/knobs.hpp"

namespace tl::insight {

using namespace ir;

namespace {

const std::int64_t max_iterations = knob_value(Knob::loop_limit);

const Precision& single_precision() {
  static const Precision precision{Precision::Base::single, {}, true};
  return precision;
}

Value brought_to(Value value, DType dtype) {
  if (!value.is_tensor() || !half_or_single(value.tensor().dtype()) || !half_or_single(dtype)) return value;
  return in_precision(value.tensor(), dtype, false);
}

DType declared(const Type& type) { return is_float(type) ? type.tensor().dtype : DType::i32; }

// The variables of a block that nothing reads after each of its ops.
class LastReads {
 public:
  explicit LastReads(const Block& block) : dying_(block.ops.size()) {
    std::unordered_map<const Var*, std::size_t> last;
    for (const auto& param : block.params) last[param.get()] = 0;
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
      note(*block.ops[i], i, last);
      for (const auto& output : block.ops[i]->outputs) last[output.get()] = i;
    }
    for (const Var* output : block.outputs) last.erase(output);
    for (const auto& [var, i] : last) {
      if (i < dying_.size()) dying_[i].push_back(var);
    }
  }
  const std::vector<const Var*>& after(std::size_t i) const { return dying_[i]; }

 private:
  static void note(const Op& op, std::size_t i, std::unordered_map<const Var*, std::size_t>& last) {
    const auto read = [&](const Var* var) {
      if (const auto found = last.find(var); found != last.end()) found->second = i;
    };
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) {
        if (const auto* var = std::get_if<Var*>(&binding)) read(*var);
      }
    }
    for (const auto& inner : op.blocks) {
      for (const Var* output : inner->outputs) read(output);
      for (const auto& nested : inner->ops) note(*nested, i, last);
    }
  }
  std::vector<std::vector<const Var*>> dying_;
};

bool known(const Op& op) {
  return !op.outputs.empty() &&
         std::all_of(op.outputs.begin(), op.outputs.end(), [](const auto& output) { return output->constant != nullptr; });
}

using Lookup = std::function<Value(const Var&)>;

Arguments gather(const Op& op, const Lookup& lookup) {
  Arguments arguments;
  for (const Argument& argument : op.inputs) {
    auto& bound = arguments.emplace_back();
    for (const Binding& binding : argument.bindings) {
      const ConstantPtr constant = constant_of(binding);
      if (constant != nullptr) {
        bound.push_back(constant->value);
      } else {
        const Var& var = *std::get<Var*>(binding);
        // States are found by their variable, not by a value.
        bound.push_back(var.type.as<StateType>() != nullptr ? Value() : lookup(var));
      }
    }
  }
  return arguments;
}

// One side alone.
class Run {
 public:
  Run(const Precision& precision, Evaluator& evaluator, const plan::StateCells& states)
      : precision_(precision), evaluator_(evaluator), states_(states) {}

  std::vector<Value> block(const Block& block, std::span<const Value> args, const Lookup& outer) {
    std::unordered_map<const Var*, Value> values;
    if (args.size() != block.params.size())
      fail(ErrorKind::bad_model, "a block takes {} values, {} are given", block.params.size(), args.size());
    for (std::size_t i = 0; i < args.size(); ++i) values[block.params[i].get()] = args[i];
    return ops(block, std::move(values), outer);
  }

  std::vector<Value> ops(const Block& block, std::unordered_map<const Var*, Value> values, const Lookup& outer) {
    const LastReads last(block);
    const Lookup lookup = [&](const Var& var) -> Value {
      if (var.constant != nullptr) return var.constant->value;
      const auto found = values.find(&var);
      return found == values.end() ? outer(var) : found->second;
    };
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
      const Op& op = *block.ops[i];
      if (!known(op)) {
        auto results = this->op(op, gather(op, lookup), lookup);
        for (std::size_t k = 0; k < results.size(); ++k) values[op.outputs[k].get()] = std::move(results[k]);
      }
      for (const Var* var : last.after(i)) values.erase(var);
    }
    std::vector<Value> outputs;
    for (const Var* output : block.outputs) outputs.push_back(lookup(*output));
    return outputs;
  }

  std::vector<Value> op(const Op& op, Arguments arguments, const Lookup& lookup) {
    if (is_float_cast(op) && precision_.raised(op))
      return {brought_to(std::move(arguments[index_of(op, "x")].front()), DType::f32)};
    if (const auto param = state_param(op); !param.empty()) return on_state(op, param, std::move(arguments));
    if (op.blocks.empty()) return evaluator_.run(op, precision_, std::move(arguments), states_);
    const auto nested = [&](const Block& inner, std::span<const Value> args) {
      std::vector<Value> params(args.begin(), args.end());
      for (std::size_t i = 0; i < params.size() && i < inner.params.size(); ++i) enter(op, inner.params[i]->type, params[i]);
      std::vector<Value> outputs = block(inner, params, lookup);
      for (std::size_t i = 0; i < outputs.size(); ++i) enter(op, inner.outputs[i]->type, outputs[i]);
      return outputs;
    };
    return evaluator_.run(op, precision_, std::move(arguments), states_, nested);
  }

  // A value that crosses the border of a block of `op`.
  void enter(const Op& op, const Type& type, Value& value) const {
    if (is_float(type)) value = brought_to(std::move(value), precision_.at_border(op, declared(type)));
  }

 private:
  static std::size_t index_of(const Op& op, std::string_view param) {
    std::size_t i = 0;
    while (op.inputs[i].name != param) ++i;
    return i;
  }

  // The parameter that is a state; empty for ops that take none.
  static std::string_view state_param(const Op& op) {
    if (op.type == "read_state" || op.type == "write_state") return "input";
    return op.type == "coreml_update_state" ? "state" : "";
  }

  // The cell has the type of this side, which may not be that of the declaration.
  std::vector<Value> on_state(const Op& op, std::string_view param, Arguments arguments) const {
    const auto* var = std::get_if<Var*>(&op.argument(param)->bindings.front());
    const auto found = var == nullptr ? states_.end() : states_.find(*var);
    if (found == states_.end()) fail(ErrorKind::bad_model, "{}: no state of the function", param);
    Tensor held = found->second->value.tensor();
    if (op.type == "read_state") return {held};
    const Value& given = arguments[index_of(op, op.type == "write_state" ? "data" : "value")].front();
    const Tensor value = brought_to(given, held.dtype()).tensor();
    if (value.dtype() != held.dtype() || value.shape() != held.shape())
      fail(ErrorKind::bad_model, "{} {} does not fit a state of {} {}", name(value.dtype()), to_string(value.shape()),
           name(held.dtype()), to_string(held.shape()));
    found->second->value = value;
    return op.type == "write_state" ? std::vector<Value>() : std::vector<Value>{value};
  }

  const Precision& precision_;
  Evaluator& evaluator_;
  const plan::StateCells& states_;
};

std::unordered_map<const Var*, Value> input_values(const Function& function, std::span<const Value> inputs, bool single) {
  std::unordered_map<const Var*, Value> values;
  for (std::size_t i = 0; i < function.inputs.size(); ++i) {
    if (function.inputs[i]->type.as<StateType>() != nullptr) continue;
    values[function.inputs[i].get()] = single ? brought_to(inputs[i], DType::f32) : inputs[i];
  }
  return values;
}

[[noreturn]] Value undefined(const Var& var) { fail(ErrorKind::internal, "variable '{}' has no value", var.name); }

std::vector<Value> finished(const Function& function, std::vector<Value> outputs, bool single) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Type& type = function.body.outputs[i]->type;
    if (is_float(type)) outputs[i] = brought_to(std::move(outputs[i]), single ? DType::f32 : declared(type));
  }
  return outputs;
}

}  // namespace

bool has_twin(const Op& op) { return op.def->pure && op.blocks.empty(); }

States::States(const Function& function, bool single) {
  for (const auto& input : function.inputs) {
    const auto* type = input->type.as<StateType>();
    if (type == nullptr) continue;
    const TensorType& held = type->wrapped->tensor();
    const auto shape = shape_of(held);
    if (!shape) throw Error(ErrorKind::bad_model, "a state needs a fixed shape", fmt::format("state '{}'", input->name));
    storage_.push_back(std::make_unique<StateCell>());
    storage_.back()->value = Tensor::zeros(single && held.dtype == DType::f16 ? DType::f32 : held.dtype, *shape);
    cells_[input.get()] = storage_.back().get();
  }
}

std::vector<Value> run_in(const Function& function, const Precision& precision, Evaluator& evaluator,
                          std::span<const Value> inputs, const States& states) {
  const bool single = precision.base == Precision::Base::single;
  Run run(precision, evaluator, states.cells());
  return finished(function, run.ops(function.body, input_values(function, inputs, single), undefined), single);
}

void merge(OpCounts& sum, const OpCounts& more) {
  sum.total.add(more.total);
  sum.added.add(more.added);
  sum.inherited.add(more.inherited);
  sum.storage.add(more.storage);
  sum.overflowed += more.overflowed;
  sum.not_a_number += more.not_a_number;
  sum.underflowed += more.underflowed;
  sum.beyond_half += more.beyond_half;
  sum.beyond_engine += more.beyond_engine;
  sum.reference_infinite += more.reference_infinite;
  sum.largest = std::max(sum.largest, more.largest);
  if (more.smallest > 0 && (sum.smallest == 0 || more.smallest < sum.smallest)) sum.smallest = more.smallest;
  sum.runs += more.runs;
}

struct Stepper::Impl {
  const Function& function;
  const States& states;
  Run run;
  LastReads last;
  std::unordered_map<const Var*, Value> values{};
  std::unordered_set<const Var*> held{};
  std::unordered_set<const Var*> dead{};
  std::size_t at = 0;
  std::size_t dropped = 0;
  Lookup lookup{};
};

Stepper::Stepper(const Function& function, const Precision& precision, Evaluator& evaluator, const States& states)
    : impl_(new Impl{function, states, Run(precision, evaluator, states.cells()), LastReads(function.body)}) {
  impl_->lookup = [this](const Var& var) {
    Value found = value(var);
    if (found.empty()) fail(ErrorKind::internal, "variable '{}' has no value", var.name);
    return found;
  };
}
Stepper::~Stepper() = default;

void Stepper::start(std::span<const Value> inputs) {
  impl_->values = input_values(impl_->function, inputs, false);
  impl_->dead.clear();
  impl_->at = impl_->dropped = 0;
}

const Op* Stepper::next() {
  const auto& ops = impl_->function.body.ops;
  for (; impl_->dropped < impl_->at; ++impl_->dropped) {
    for (const Var* var : impl_->last.after(impl_->dropped)) {
      if (impl_->held.count(var) == 0) {
        impl_->values.erase(var);
      } else {
        impl_->dead.insert(var);
      }
    }
  }
  while (impl_->at < ops.size() && known(*ops[impl_->at])) ++impl_->at;
  if (impl_->at == ops.size()) return nullptr;
  const Op& op = *ops[impl_->at++];
  auto results = within([&] { return fmt::format("op '{}' ({})", op.label(), op.type); },
                        [&] { return impl_->run.op(op, gather(op, impl_->lookup), impl_->lookup); });
  for (std::size_t i = 0; i < results.size(); ++i) impl_->values[op.outputs[i].get()] = std::move(results[i]);
  return &op;
}

Value Stepper::value(const Var& var) const {
  if (var.constant != nullptr) return var.constant->value;
  const auto found = impl_->values.find(&var);
  return found == impl_->values.end() ? Value() : found->second;
}

void Stepper::hold(const Var& var) { impl_->held.insert(&var); }

void Stepper::release(const Var& var) {
  impl_->held.erase(&var);
  if (impl_->dead.erase(&var) != 0) impl_->values.erase(&var);
}

std::vector<Value> Stepper::outputs() const {
  std::vector<Value> values;
  for (const Var* output : impl_->function.body.outputs) values.push_back(impl_->lookup(*output));
  return finished(impl_->function, std::move(values), false);
}

namespace {

struct Both {
  Value own, single;
  bool same = false;  // no number differs so far
};
using BothLookup = std::function<Both(const Var&)>;

}  // namespace

struct Lockstep::Impl {
  Lockstep& to;
  const plan::StateCells& own_states;
  const plan::StateCells& single_states;
  Run own{to.precision_, to.evaluator_, own_states};
  Run single{single_precision(), to.evaluator_, single_states};

  static Lookup side(const BothLookup& lookup, bool own) {
    return [&lookup, own](const Var& var) { return own ? lookup(var).own : lookup(var).single; };
  }

  std::vector<Both> ops(const Block& block, std::unordered_map<const Var*, Both> values, const BothLookup& outer, bool top) {
    const LastReads last(block);
    const BothLookup lookup = [&](const Var& var) -> Both {
      if (var.constant != nullptr) return {var.constant->value, var.constant->value, true};
      const auto found = values.find(&var);
      return found == values.end() ? outer(var) : found->second;
    };
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
      const Op& op = *block.ops[i];
      if (top && to.progress) to.progress(i, block.ops.size());
      if (!known(op)) {
        auto results = within([&] { return fmt::format("op '{}' ({})", op.label(), op.type); },
                              [&] { return op.blocks.empty() ? plain(op, lookup) : control(op, lookup); });
        for (std::size_t k = 0; k < results.size(); ++k) values[op.outputs[k].get()] = std::move(results[k]);
      }
      for (const Var* var : last.after(i)) values.erase(var);
    }
    std::vector<Both> outputs;
    for (const Var* output : block.outputs) outputs.push_back(lookup(*output));
    return outputs;
  }

  std::vector<Both> plain(const Op& op, const BothLookup& lookup) {
    bool same = true;
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) {
        if (const auto* var = std::get_if<Var*>(&binding); var != nullptr && (*var)->type.as<StateType>() == nullptr)
          same = same && lookup(**var).same;
      }
    }
    const Lookup own_side = side(lookup, true);
    const Lookup single_side = side(lookup, false);
    std::vector<Value> mine = own.op(op, gather(op, own_side), own_side);
    std::vector<Value> full;
    std::vector<Value> twin;
    const bool random = op.type.rfind("random_", 0) == 0;
    if (random) {
      // Drawn numbers have no other precision to be compared with.
      for (const Value& value : mine) full.push_back(brought_to(value, DType::f32));
      twin = full;
    } else {
      full = single.op(op, gather(op, single_side), single_side);
      if (!has_twin(op)) {
        for (const Value& value : mine) twin.push_back(brought_to(value, DType::f32));
      } else {
        twin = same ? full : single.op(op, gather(op, own_side), own_side);
      }
    }
    return counted(op, std::move(mine), twin, std::move(full));
  }

  std::vector<Both> counted(const Op& op, std::vector<Value> mine, const std::vector<Value>& twin, std::vector<Value> full) {
    OpRecord& record = to.records_[&op];
    std::vector<Both> results;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      bool same = false;
      if (mine[i].is_tensor() && full[i].is_tensor() && twin[i].is_tensor()) {
        OpCounts counts;
        count(counts, mine[i].tensor(), twin[i].tensor(), full[i].tensor());
        same = counts.total.equal == counts.total.count && counts.total.broken == 0;
        merge(record.counts, counts);
      }
      results.push_back({std::move(mine[i]), std::move(full[i]), same});
    }
    return results;
  }

  // A nested block on both sides.
  std::vector<Both> nested(const Op& op, const Block& block, const std::vector<Both>& args, const BothLookup& lookup) {
    std::unordered_map<const Var*, Both> values;
    if (block.params.size() > args.size())
      fail(ErrorKind::bad_model, "a block takes {} values, {} are given", block.params.size(), args.size());
    for (std::size_t i = 0; i < block.params.size(); ++i)
      values[block.params[i].get()] = crossing(op, block.params[i]->type, args[i]);
    std::vector<Both> outputs = ops(block, std::move(values), lookup, false);
    for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i] = crossing(op, block.outputs[i]->type, outputs[i]);
    return outputs;
  }

  Both crossing(const Op& op, const Type& type, Both value) const {
    own.enter(op, type, value.own);
    single.enter(op, type, value.single);
    return value;
  }

  static bool is_true(const Value& value) { return value.tensor().size() == 1 && value.tensor().integer_at(0) != 0; }

  std::vector<Both> control(const Op& op, const BothLookup& lookup) {
    std::vector<Both> results;
    if (op.type == "cond") {
      const Argument* argument = op.argument("pred");
      const ConstantPtr constant = constant_of(argument->bindings.front());
      const Both pred = constant != nullptr ? Both{constant->value, constant->value, true}
                                            : lookup(*std::get<Var*>(argument->bindings.front()));
      const bool mine = is_true(pred.own);
      const bool theirs = is_true(pred.single);
      if (mine == theirs) {
        results = nested(op, *op.blocks[mine ? 0 : 1], {}, lookup);
      } else {
        to.records_[&op].diverged = true;
        const Lookup own_side = side(lookup, true), single_side = side(lookup, false);
        results = paired(own.op(op, gather(op, own_side), own_side), single.op(op, gather(op, single_side), single_side));
      }
    } else if (op.type == "while_loop") {
      results = loop(op, lookup);
    } else {
      const Lookup own_side = side(lookup, true), single_side = side(lookup, false);
      results = paired(own.op(op, gather(op, own_side), own_side), single.op(op, gather(op, single_side), single_side));
    }
    std::vector<Value> mine, full;
    for (Both& both : results) {
      mine.push_back(both.own);
      full.push_back(both.single);
    }
    return counted(op, mine, mine, std::move(full));
  }

  static std::vector<Both> paired(std::vector<Value> own, std::vector<Value> single) {
    std::vector<Both> results;
    for (std::size_t i = 0; i < own.size(); ++i) results.push_back({std::move(own[i]), std::move(single[i]), false});
    return results;
  }

  std::vector<Both> loop(const Op& op, const BothLookup& lookup) {
    std::vector<Both> values;
    for (const Binding& binding : op.argument("loop_vars")->bindings) {
      const ConstantPtr constant = constant_of(binding);
      values.push_back(constant != nullptr ? Both{constant->value, constant->value, true} : lookup(*std::get<Var*>(binding)));
    }
    const Block& condition = *op.blocks[0];
    const Block& body = *op.blocks[1];
    for (std::int64_t i = 0; i < max_iterations; ++i) {
      const Both go_on = nested(op, condition, values, lookup).at(0);
      const bool mine = is_true(go_on.own);
      const bool theirs = is_true(go_on.single);
      if (mine != theirs) {
        to.records_[&op].diverged = true;
        return rest(op, values, lookup, mine);
      }
      if (!mine) {
        for (std::size_t k = 0; k < values.size(); ++k) values[k] = crossing(op, body.params[k]->type, values[k]);
        return values;
      }
      values = nested(op, body, values, lookup);
    }
    throw Error(ErrorKind::limit, fmt::format("the loop ran {} times", max_iterations));
  }

  // The side that goes on finishes alone.
  std::vector<Both> rest(const Op& op, std::vector<Both> values, const BothLookup& lookup, bool mine) {
    Run& run = mine ? own : single;
    const Lookup outer = side(lookup, mine);
    std::vector<Value> args;
    for (const Both& both : values) args.push_back(mine ? both.own : both.single);
    const auto once = [&](const Block& block) {
      for (std::size_t k = 0; k < args.size(); ++k) run.enter(op, block.params[k]->type, args[k]);
      return run.block(block, args, outer);
    };
    for (std::int64_t i = 0; is_true(once(*op.blocks[0]).at(0)); ++i) {
      if (i == max_iterations) throw Error(ErrorKind::limit, fmt::format("the loop ran {} times", max_iterations));
      args = once(*op.blocks[1]);
    }
    for (std::size_t k = 0; k < values.size(); ++k) {
      (mine ? values[k].own : values[k].single) = args[k];
      values[k] = crossing(op, op.blocks[1]->params[k]->type, values[k]);
      values[k].same = false;
    }
    return values;
  }
};

Lockstep::Lockstep(const Function& function, const Precision& precision, Evaluator& evaluator)
    : function_(function), precision_(precision), evaluator_(evaluator) {}
Lockstep::~Lockstep() = default;

BothOutputs Lockstep::run(std::span<const Value> inputs, const States& own, const States& single) {
  Impl impl{*this, own.cells(), single.cells()};
  std::unordered_map<const Var*, Both> values;
  auto mine = input_values(function_, inputs, false);
  auto full = input_values(function_, inputs, true);
  for (auto& [var, value] : mine) values[var] = {std::move(value), std::move(full[var]), true};
  const auto results = impl.ops(
      function_.body, std::move(values),
      [](const Var& var) -> Both {
        return {undefined(var), {}, false};
      },
      true);
  BothOutputs outputs;
  for (const Both& both : results) {
    outputs.own.push_back(both.own);
    outputs.single.push_back(both.single);
  }
  outputs.own = finished(function_, std::move(outputs.own), false);
  outputs.single = finished(function_, std::move(outputs.single), true);
  return outputs;
}

}  // namespace tl::insight
