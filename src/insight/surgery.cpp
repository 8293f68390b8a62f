#include "insight/surgery.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "base/error.hpp"
#include "ir/build.hpp"
#include "ir/op_def.hpp"
#include "ir/verify.hpp"

namespace tl::insight {

using namespace ir;

namespace {

// What an op reads from outside itself, the ops in its blocks included.
void reads(const Op& op, std::vector<const Var*>& result) {
  for (const Argument& argument : op.inputs) {
    for (const Binding& binding : argument.bindings) {
      if (const auto* var = std::get_if<Var*>(&binding)) result.push_back(*var);
    }
  }
  for (const auto& inner : op.blocks) {
    std::vector<const Var*> inside;
    std::unordered_set<const Var*> own;
    for (const auto& param : inner->params) own.insert(param.get());
    for (const auto& nested : inner->ops) {
      reads(*nested, inside);
      for (const auto& output : nested->outputs) own.insert(output.get());
    }
    inside.insert(inside.end(), inner->outputs.begin(), inner->outputs.end());
    for (const Var* var : inside) {
      if (own.count(var) == 0) result.push_back(var);
    }
  }
}

// Constants and what unpacks them: each part has its own.
bool is_weight(const Var& var) {
  return var.producer != nullptr &&
         (var.producer->type == "const" || (var.producer->def != nullptr && var.producer->def->constexpr_op));
}

bool is_state(const Var& var) { return var.type.as<StateType>() != nullptr; }

bool is_scalar(const Var& var) {
  const auto* type = var.type.as<TensorType>();
  return type != nullptr && type->dims && type->dims->empty();
}

bool at_border(const Var& var) {
  const auto* type = var.type.as<TensorType>();
  if (type == nullptr || !shape_of(*type)) return false;
  return type->dtype == DType::f16 || type->dtype == DType::f32 || type->dtype == DType::i32;
}

Feature feature_of(const Var& var, const std::vector<Feature>& known) {
  for (const Feature& feature : known) {
    if (feature.name == var.name) return feature;
  }
  if (!at_border(var)) {
    fail(ErrorKind::invalid_argument, "'{}' is {}: models take and give float16, float32 and int32 arrays of fixed shape",
         var.name, to_string(var.type));
  }
  Shape shape = *shape_of(var.type.tensor());
  if (shape.empty()) shape = {1};
  ArrayFeature array;
  array.dtype = var.type.tensor().dtype;
  array.shape = std::move(shape);
  Feature feature;
  feature.name = var.name;
  feature.kind = std::move(array);
  return feature;
}

const Var& find(const Function& function, const std::string& name) {
  std::string close;
  int listed = 0;
  const auto consider = [&](const Var& var) {
    if (listed < 5 && (var.name.find(name) != std::string::npos || name.find(var.name) != std::string::npos))
      close += (listed++ == 0 ? "; did you mean '" : ", '") + var.name + "'";
    return var.name == name;
  };
  for (const auto& input : function.inputs) {
    if (consider(*input)) return *input;
  }
  for (const auto& op : function.body.ops) {
    if (op->type == "const") continue;
    for (const auto& output : op->outputs) {
      if (consider(*output) || op->label() == name) return *output;
    }
  }
  fail(ErrorKind::not_found, "no value '{}'{}", name, close);
}

// The ops that the variables `needed` come from, back to `stops`, and all that these read. A state is kept whole, with all that
// read and write it.
std::pair<std::unordered_set<const Op*>, std::unordered_set<const Var*>> behind(const Function& function,
                                                                                std::unordered_set<const Var*> needed,
                                                                                const std::unordered_set<const Var*>& stops) {
  std::unordered_set<const Op*> kept;
  // Another round where a state turns up that ops further on work on.
  for (std::size_t before = 0; before != needed.size();) {
    before = needed.size();
    for (auto op = function.body.ops.rbegin(); op != function.body.ops.rend(); ++op) {
      if (kept.count(op->get()) != 0) continue;
      std::vector<const Var*> read;
      reads(**op, read);
      const bool used =
          std::any_of((*op)->outputs.begin(), (*op)->outputs.end(),
                      [&](const auto& output) { return needed.count(output.get()) != 0 && stops.count(output.get()) == 0; }) ||
          std::any_of(read.begin(), read.end(), [&](const Var* var) { return is_state(*var) && needed.count(var) != 0; });
      if (!used) continue;
      kept.insert(op->get());
      needed.insert(read.begin(), read.end());
    }
  }
  return {std::move(kept), std::move(needed)};
}

}  // namespace

Model cut_out(const Model& model, const Function& function, const Interface& interface, const std::vector<std::string>& inputs,
              const std::vector<std::string>& outputs) {
  std::vector<const Var*> given;
  std::vector<const Var*> wanted;
  for (const std::string& name : inputs) given.push_back(&find(function, name));
  for (const std::string& name : outputs) wanted.push_back(&find(function, name));
  if (wanted.empty()) fail(ErrorKind::invalid_argument, "no outputs are asked for");

  const std::unordered_set<const Var*> stops(given.begin(), given.end());
  const auto [kept, needed] = behind(function, {wanted.begin(), wanted.end()}, stops);
  for (const auto& input : function.inputs) {
    if (needed.count(input.get()) != 0 && stops.count(input.get()) == 0 && !is_state(*input))
      fail(ErrorKind::invalid_argument, "the outputs need the input '{}' as well", input->name);
  }
  for (const Var* var : given) {
    if (needed.count(var) == 0) fail(ErrorKind::invalid_argument, "the outputs do not depend on '{}'", var->name);
  }

  // A copy whose ops are those that are kept; what is given becomes an input.
  Model result;
  result.info = model.info;
  result.program = std::make_unique<Program>();
  result.program->version = model.program->version;
  result.program->attributes = model.program->attributes;
  auto copy = clone(function);
  std::unordered_map<const Var*, Var*> twins;
  std::unordered_set<std::string> names;
  for_each_op(function.body, [&](const Op& op) {
    for (const auto& output : op.outputs) names.insert(output->name);
  });
  for (std::size_t i = 0; i < function.inputs.size(); ++i) twins[function.inputs[i].get()] = copy->inputs[i].get();
  for (std::size_t i = 0; i < function.body.ops.size(); ++i) {
    for (std::size_t k = 0; k < function.body.ops[i]->outputs.size(); ++k)
      twins[function.body.ops[i]->outputs[k].get()] = copy->body.ops[i]->outputs[k].get();
  }
  std::vector<std::unique_ptr<Var>> inputs_of_part;
  std::unordered_map<const Var*, Var*> replaced;
  std::vector<std::unique_ptr<Op>> ops;
  const auto inside_name = [&](const Var& var) {
    std::string name = var.name + "_scalar";
    while (names.count(name) != 0) name += "_";
    return name;
  };
  for (const Var* var : given) {
    auto input = std::make_unique<Var>(*var);
    input->producer = nullptr;
    input->constant = nullptr;
    replaced[twins.at(var)] = input.get();
    inputs_of_part.push_back(std::move(input));
    if (!is_scalar(*var)) continue;
    // A scalar is an array of one number outside.
    Var* outside = inputs_of_part.back().get();
    outside->type = Type(var->type.tensor().dtype, Dims{1});
    ops.push_back(make_op("squeeze", {{"x", outside}, {"axes", ints_binding({0})}}, inside_name(*var)));
    replaced[twins.at(var)] = ops.back()->outputs[0].get();
  }
  std::vector<const Var*> states;
  for (const auto& input : function.inputs) {
    if (!is_state(*input) || needed.count(input.get()) == 0) continue;
    states.push_back(input.get());
    auto state = std::make_unique<Var>(*input);
    replaced[twins.at(input.get())] = state.get();
    inputs_of_part.push_back(std::move(state));
  }
  for (std::size_t i = 0; i < function.body.ops.size(); ++i) {
    if (kept.count(function.body.ops[i].get()) != 0) ops.push_back(std::move(copy->body.ops[i]));
  }
  const std::function<void(Op&)> rebind = [&](Op& op) {
    for (Argument& argument : op.inputs) {
      for (Binding& binding : argument.bindings) {
        if (auto* var = std::get_if<Var*>(&binding)) {
          if (const auto found = replaced.find(*var); found != replaced.end()) binding = found->second;
        }
      }
    }
    for (const auto& inner : op.blocks) {
      for (const auto& nested : inner->ops) rebind(*nested);
      for (Var*& output : inner->outputs) {
        if (const auto found = replaced.find(output); found != replaced.end()) output = found->second;
      }
    }
  };
  for (const auto& op : ops) rebind(*op);
  auto part = std::make_unique<Function>();
  part->name = "main";
  part->opset = function.opset;
  part->attributes = function.attributes;
  part->inputs = std::move(inputs_of_part);
  part->body.attributes = function.body.attributes;
  Interface face;
  face.function = part->name;
  for (const Var* var : wanted) {
    if (stops.count(var) != 0) fail(ErrorKind::invalid_argument, "'{}' is an input and an output", var->name);
    Var* result = twins.at(var);
    const bool declared = std::any_of(interface.outputs.begin(), interface.outputs.end(),
                                      [&](const Feature& feature) { return feature.name == var->name; });
    if (is_scalar(*var) && !declared) {
      result->name = inside_name(*var);
      ops.push_back(make_op("expand_dims", {{"x", result}, {"axes", ints_binding({0})}}, var->name));
      result = ops.back()->outputs[0].get();
    }
    part->body.outputs.push_back(result);
    face.outputs.push_back(feature_of(*var, interface.outputs));
  }
  for (const Var* var : given) face.inputs.push_back(feature_of(*var, interface.inputs));
  for (const Var* var : states) {
    const auto known = std::find_if(interface.states.begin(), interface.states.end(),
                                    [&](const Feature& feature) { return feature.name == var->name; });
    if (known == interface.states.end()) fail(ErrorKind::bad_model, "the state '{}' is not in the interface", var->name);
    face.states.push_back(*known);
  }
  part->body.ops = std::move(ops);
  // Weights that were decoded to be run stay as they are stored.
  for_each_op(part->body, [](const Op& op) {
    for (const auto& output : op.outputs) {
      if (op.type != "const") output->constant = nullptr;
    }
  });
  result.program->functions.push_back(std::move(part));
  const auto has = [&](const std::string& name) {
    return std::any_of(face.outputs.begin(), face.outputs.end(), [&](const Feature& f) { return f.name == name; });
  };
  if (has(interface.predicted_feature)) face.predicted_feature = interface.predicted_feature;
  if (has(interface.predicted_probabilities)) face.predicted_probabilities = interface.predicted_probabilities;
  if (face.predicted_feature.empty()) {
    result.info.string_labels.clear();
    result.info.integer_labels.clear();
  }
  result.info.interfaces = {std::move(face)};
  result.info.model_type = "mlprogram";
  verify(*result.program);
  return result;
}

std::vector<Span> state_spans(const Function& function) {
  std::vector<Span> spans;
  std::unordered_map<const Var*, std::size_t> index;
  for (std::size_t i = 0; i < function.body.ops.size(); ++i) {
    std::vector<const Var*> read;
    reads(*function.body.ops[i], read);
    for (const Var* var : read) {
      if (!is_state(*var)) continue;
      const auto [found, first] = index.emplace(var, spans.size());
      if (first) spans.push_back({var, i, i});
      spans[found->second].last = i;
    }
  }
  return spans;
}

std::vector<Border> borders(const Function& function) {
  const std::vector<Span> spans = state_spans(function);
  std::unordered_map<const Var*, std::size_t> last;
  const auto& ops = function.body.ops;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    std::vector<const Var*> read;
    reads(*ops[i], read);
    for (const Var* var : read) last[var] = i;
  }
  const auto last_read = last;
  for (const Var* output : function.body.outputs) last[output] = ops.size();
  std::vector<Border> result;
  std::vector<const Var*> crossing;
  for (std::size_t i = 0; i + 1 < ops.size(); ++i) {
    for (const auto& output : ops[i]->outputs) {
      if (!is_weight(*output) && last.count(output.get()) != 0) crossing.push_back(output.get());
    }
    crossing.erase(std::remove_if(crossing.begin(), crossing.end(), [&](const Var* var) { return last.at(var) <= i; }),
                   crossing.end());
    // Constants belong to what follows them.
    if (ops[i]->type == "const" || ops[i]->outputs.empty() || is_weight(*ops[i]->outputs.front())) continue;
    Border border;
    border.op = i;
    bool possible =
        std::none_of(spans.begin(), spans.end(), [&](const Span& span) { return span.first <= i && i < span.last; });
    for (const Var* var : crossing) {
      // Outputs of the whole leave the part that makes them and need not enter the next.
      const auto read = last_read.find(var);
      if (read == last_read.end() || read->second <= i) continue;
      possible = possible && at_border(*var);
      if (!possible) break;
      border.bytes += packed_bytes(var->type.tensor().dtype, element_count(*shape_of(var->type.tensor())));
      border.values.push_back(var);
    }
    if (possible && !border.values.empty()) result.push_back(std::move(border));
  }
  return result;
}

std::uint64_t weight_bytes(const Function& function, std::size_t first, std::size_t last) {
  std::unordered_set<const Constant*> seen;
  std::uint64_t total = 0;
  const auto add = [&](const ConstantPtr& constant) {
    if (constant == nullptr || !constant->value.is_tensor() || !seen.insert(constant.get()).second) return;
    if (constant->value.tensor().dtype() != DType::string) total += constant->value.tensor().bytes();
  };
  const std::function<void(const Op&)> visit = [&](const Op& op) {
    for (const Argument& argument : op.inputs) {
      for (const Binding& binding : argument.bindings) {
        if (const auto* var = std::get_if<Var*>(&binding)) {
          // Compressed weights count as they are stored.
          if ((*var)->producer != nullptr && (*var)->producer->def != nullptr && (*var)->producer->def->constexpr_op) {
            visit(*(*var)->producer);
          } else {
            add((*var)->constant);
          }
        } else {
          add(std::get<ConstantPtr>(binding));
        }
      }
    }
    for (const auto& inner : op.blocks) {
      for (const auto& nested : inner->ops) visit(*nested);
    }
  };
  for (std::size_t i = first; i <= last && i < function.body.ops.size(); ++i) {
    const Op& op = *function.body.ops[i];
    if (op.type != "const" && !(op.def != nullptr && op.def->constexpr_op)) visit(op);
  }
  return total;
}

std::vector<const Var*> read_by(const Function& function, std::size_t first, std::size_t end) {
  std::vector<const Var*> result;
  std::unordered_set<const Var*> seen;
  for (std::size_t i = first; i < end; ++i) {
    const Op& op = *function.body.ops[i];
    if (op.type == "const" || (op.def != nullptr && op.def->constexpr_op)) continue;
    std::vector<const Var*> read;
    reads(op, read);
    for (const Var* var : read) {
      if (!is_weight(*var) && !is_state(*var) && seen.insert(var).second) result.push_back(var);
    }
  }
  return result;
}

std::vector<std::string> inputs_for(const Function& function, const std::vector<std::string>& outputs) {
  std::unordered_set<const Var*> wanted;
  for (const std::string& name : outputs) wanted.insert(&find(function, name));
  const auto needed = behind(function, std::move(wanted), {}).second;
  std::vector<std::string> names;
  for (const auto& input : function.inputs) {
    if (needed.count(input.get()) != 0 && !is_state(*input)) names.push_back(input->name);
  }
  return names;
}

}  // namespace tl::insight
