#include "plan/interpreter.hpp"

#include "base/knobs.hpp"

namespace tl::plan {

using namespace ir;

namespace {

constexpr double longest_limit = 1e9;  // seconds; what is longer is no limit

}  // namespace

Limits::Limits(double seconds) : seconds_(seconds > 0 ? seconds : static_cast<double>(knob_value(Knob::time_limit))) {
  using Clock = std::chrono::steady_clock;
  if (seconds_ > 0 && seconds_ < longest_limit)
    end_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_));
}

void Limits::count_round() {
  if (rounds_++ == knob_value(Knob::loop_limit))
    fail(ErrorKind::limit, "the loops of this prediction ran {} rounds (TL_LOOP_LIMIT)", knob_value(Knob::loop_limit));
}

void Limits::check_time() const {
  if (end_ && std::chrono::steady_clock::now() > *end_)
    fail(ErrorKind::limit, "the prediction ran over its time of {} s (time_limit)", seconds_);
}

StateCell& state_cell(const Op& op, std::string_view param, const StateCells& states) {
  const Argument* argument = op.argument(param);
  const Var* const* var = argument == nullptr ? nullptr : std::get_if<Var*>(&argument->bindings.front());
  const auto found = var == nullptr ? states.end() : states.find(*var);
  if (found == states.end()) fail(ErrorKind::invalid_argument, "this model keeps state: pass one made by make_state");
  return *found->second;
}

std::vector<Value> interpret_op(const Op& op, const OuterLookup& lookup, const StateCells& states, Limits& limits) {
  std::vector<std::vector<Value>> inputs;
  inputs.reserve(op.inputs.size());
  for (const Argument& argument : op.inputs) {
    auto& bound = inputs.emplace_back();
    for (const Binding& binding : argument.bindings) {
      if (const ConstantPtr constant = constant_of(binding)) {
        bound.push_back(constant->value);
      } else {
        bound.push_back(lookup(*std::get<Var*>(binding)));
      }
    }
  }
  BlockRunner run_block;
  if (!op.blocks.empty()) {
    run_block = [&](const Block& block, std::span<const Value> args) {
      if (op.type == "while_loop" && &block == op.blocks.back().get()) limits.count_round();
      limits.check_time();
      return interpret_block(block, args, lookup, states, limits);
    };
  }
  const auto state = [&](std::string_view param) -> StateCell& { return state_cell(op, param, states); };
  return evaluate(op, std::move(inputs), std::move(run_block), state);
}

std::vector<Value> interpret_block(const Block& block, std::span<const Value> args, const OuterLookup& outer,
                                   const StateCells& states, Limits& limits) {
  std::unordered_map<const Var*, Value> values;
  if (args.size() != block.params.size()) {
    fail(ErrorKind::bad_model, "a block takes {} values, {} are given", block.params.size(), args.size());
  }
  for (std::size_t i = 0; i < args.size(); ++i) values[block.params[i].get()] = args[i];
  const OuterLookup lookup = [&](const Var& var) -> Value {
    if (const auto found = values.find(&var); found != values.end()) return found->second;
    return outer(var);
  };
  for (const auto& op : block.ops) {
    if (op->type == "const") continue;
    limits.check_time();
    std::vector<Value> results = interpret_op(*op, lookup, states, limits);
    for (std::size_t i = 0; i < results.size(); ++i) values[op->outputs[i].get()] = std::move(results[i]);
  }
  std::vector<Value> outputs;
  outputs.reserve(block.outputs.size());
  for (const Var* output : block.outputs)
    outputs.push_back(output->constant != nullptr ? output->constant->value : lookup(*output));
  return outputs;
}

}  // namespace tl::plan
