#include "insight/diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "base/checked.hpp"
#include "insight/constants.hpp"
#include "insight/model_graph.hpp"

namespace tl::insight {

using namespace ir;

namespace {

constexpr std::int64_t largest_compared = std::int64_t{1} << 28;
constexpr std::int64_t small_constant = 16;  // elements that are shown rather than measured

std::string arrow(const std::string& a, const std::string& b) {
  return (a.empty() ? "(none)" : a) + " -> " + (b.empty() ? "(none)" : b);
}

std::size_t mixed(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15ULL + (seed << 6U) + (seed >> 2U));
}
std::size_t hashed(std::string_view text) { return std::hash<std::string_view>()(text); }

// The ops of one function that are compared, and what identifies their results in both models.
struct Side {
  std::vector<const Op*> ops;
  std::unordered_map<const Op*, std::size_t> index;
  std::vector<std::size_t> match;  // in the other side, or `none`
  std::unordered_map<const Var*, std::size_t> ids;

  explicit Side(const Function& function) {
    for (const auto& input : function.inputs) ids[input.get()] = mixed(1, hashed(input->name));
    for_each_op(function.body, [&](const Op& op) {
      for (const auto& block : op.blocks) {
        for (std::size_t i = 0; i < block->params.size(); ++i) ids[block->params[i].get()] = mixed(2, i);
      }
      if (gives_constant(op)) return;
      index[&op] = ops.size();
      ops.push_back(&op);
    });
    match.assign(ops.size(), none);
  }
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
};

void pair_up(Side& a, Side& b, std::size_t i, std::size_t j) {
  a.match[i] = j;
  b.match[j] = i;
}

// Matches what is left over by a key, in the order of the programs.
template <class KeyA, class KeyB>
std::size_t match_by(Side& a, Side& b, KeyA&& key_a, KeyB&& key_b) {
  std::unordered_map<std::size_t, std::deque<std::size_t>> waiting;
  for (std::size_t i = 0; i < a.ops.size(); ++i) {
    if (a.match[i] == Side::none) waiting[key_a(i)].push_back(i);
  }
  std::size_t matched = 0;
  for (std::size_t j = 0; j < b.ops.size(); ++j) {
    if (b.match[j] != Side::none) continue;
    const auto found = waiting.find(key_b(j));
    if (found == waiting.end() || found->second.empty()) continue;
    pair_up(a, b, found->second.front(), j);
    found->second.pop_front();
    ++matched;
  }
  return matched;
}

// What an op computes, from the ids of what it reads; of matched ops the pair.
std::vector<std::size_t> structure_ids(Side& side, bool second) {
  std::vector<std::size_t> ids(side.ops.size());
  for (std::size_t i = 0; i < side.ops.size(); ++i) {
    const Op& op = *side.ops[i];
    std::size_t id = 0;
    if (side.match[i] != Side::none) {
      id = mixed(3, second ? side.match[i] : i);
    } else {
      id = mixed(4, hashed(op.type));
      for (const Argument& argument : op.inputs) {
        id = mixed(id, hashed(argument.name));
        for (const Binding& binding : argument.bindings) {
          const auto* var = std::get_if<Var*>(&binding);
          const auto found = var == nullptr ? side.ids.end() : side.ids.find(*var);
          id = mixed(id, found == side.ids.end() ? 5 : found->second);
        }
      }
    }
    ids[i] = id;
    for (std::size_t k = 0; k < op.outputs.size(); ++k) side.ids[op.outputs[k].get()] = mixed(id, k);
  }
  return ids;
}

class Comparer {
 public:
  explicit Comparer(ModelDiff& diff) : diff_(diff) {}

  void functions(const Function& fa, const Function& fb) {
    name_ = fb.name;
    Side a(fa), b(fb);
    const auto named = [](const Op& op) { return mixed(hashed(op.label()), hashed(op.type)); };
    match_by(
        a, b, [&](std::size_t i) { return named(*a.ops[i]); }, [&](std::size_t j) { return named(*b.ops[j]); });
    const auto ids_a = structure_ids(a, false), ids_b = structure_ids(b, true);
    const auto typed = [](const Op& op, std::size_t id) {
      for (const auto& output : op.outputs) id = mixed(id, hashed(to_string(output->type)));
      return id;
    };
    diff_.ops_renamed += match_by(
        a, b, [&](std::size_t i) { return typed(*a.ops[i], ids_a[i]); },
        [&](std::size_t j) { return typed(*b.ops[j], ids_b[j]); });
    diff_.ops_renamed += match_by(
        a, b, [&](std::size_t i) { return ids_a[i]; }, [&](std::size_t j) { return ids_b[j]; });
    match_by(
        a, b, [&](std::size_t i) { return hashed(a.ops[i]->label()); },
        [&](std::size_t j) { return hashed(b.ops[j]->label()); });
    structure_ids(a, false);
    structure_ids(b, true);
    diff_.ops_a += a.ops.size();
    diff_.ops_b += b.ops.size();
    for (std::size_t i = 0; i < a.ops.size(); ++i) {
      if (a.match[i] == Side::none) {
        diff_.removed.push_back({name_, a.ops[i]->label(), "", a.ops[i]->type, {}});
      } else {
        ++diff_.ops_matched;
      }
    }
    for (std::size_t j = 0; j < b.ops.size(); ++j) {
      if (b.match[j] == Side::none) {
        diff_.added.push_back({name_, "", b.ops[j]->label(), b.ops[j]->type, {}});
      } else {
        ops(*a.ops[b.match[j]], *b.ops[j], a, b);
      }
    }
    boundary(fa, fb, a, b);
  }

 private:
  void boundary(const Function& fa, const Function& fb, const Side& a, const Side& b) {
    OpChange change{name_, "", "", "function", {}};
    if (fa.opset != fb.opset) change.what.emplace_back("opset", arrow(fa.opset, fb.opset));
    const std::size_t count = std::max(fa.body.outputs.size(), fb.body.outputs.size());
    for (std::size_t i = 0; i < count; ++i) {
      const Var* va = i < fa.body.outputs.size() ? fa.body.outputs[i] : nullptr;
      const Var* vb = i < fb.body.outputs.size() ? fb.body.outputs[i] : nullptr;
      const auto id = [](const Side& side, const Var* var) {
        const auto found = var == nullptr ? side.ids.end() : side.ids.find(var);
        return found == side.ids.end() ? Side::none : found->second;
      };
      if (va == nullptr || vb == nullptr || id(a, va) != id(b, vb) || va->name != vb->name)
        change.what.emplace_back(fmt::format("output {}", i),
                                 arrow(va == nullptr ? "" : va->name, vb == nullptr ? "" : vb->name));
    }
    if (!change.what.empty()) {
      change.op_a = fa.name;
      change.op_b = fb.name;
      diff_.changed.push_back(std::move(change));
    }
  }

  void ops(const Op& a, const Op& b, const Side& side_a, const Side& side_b) {
    OpChange change{name_, a.label(), b.label(), a.type == b.type ? a.type : arrow(a.type, b.type), {}};
    if (a.type != b.type) change.what.emplace_back("type", arrow(a.type, b.type));
    if (a.label() != b.label()) change.what.emplace_back("name", arrow(a.label(), b.label()));
    std::vector<std::string> params;
    for (const Op* op : {&a, &b}) {
      for (const Argument& argument : op->inputs) {
        if (std::find(params.begin(), params.end(), argument.name) == params.end()) params.push_back(argument.name);
      }
    }
    for (const std::string& param : params) {
      const Argument* pa = a.argument(param);
      const Argument* pb = b.argument(param);
      const std::size_t count = std::max(pa == nullptr ? 0 : pa->bindings.size(), pb == nullptr ? 0 : pb->bindings.size());
      for (std::size_t i = 0; i < count; ++i) {
        const Binding* ba = pa != nullptr && i < pa->bindings.size() ? &pa->bindings[i] : nullptr;
        const Binding* bb = pb != nullptr && i < pb->bindings.size() ? &pb->bindings[i] : nullptr;
        bindings(count > 1 ? fmt::format("{}[{}]", param, i) : param, ba, bb, side_a, side_b, change);
      }
    }
    for (std::size_t i = 0; i < std::max(a.outputs.size(), b.outputs.size()); ++i) {
      const std::string ta = i < a.outputs.size() ? short_type(a.outputs[i]->type) : "";
      const std::string tb = i < b.outputs.size() ? short_type(b.outputs[i]->type) : "";
      if (ta != tb) change.what.emplace_back("gives", arrow(ta, tb));
    }
    attributes(a.attributes, b.attributes, change);
    if (!change.what.empty()) diff_.changed.push_back(std::move(change));
  }

  static void attributes(const Attributes& a, const Attributes& b, OpChange& change) {
    std::map<std::string, std::pair<std::string, std::string>> texts;
    for (const auto& [name, value] : a) texts[name].first = value == nullptr ? "" : constant_text(*value);
    for (const auto& [name, value] : b) texts[name].second = value == nullptr ? "" : constant_text(*value);
    texts.erase("name");  // told already
    for (const auto& [name, pair] : texts) {
      if (pair.first != pair.second) change.what.emplace_back(name, arrow(pair.first, pair.second));
    }
  }

  static bool constant_side(const Binding& binding) {
    const auto* var = std::get_if<Var*>(&binding);
    return literal_of(binding) != nullptr ||
           (var != nullptr && (*var)->producer != nullptr && gives_constant(*(*var)->producer));
  }

  // "x" for a variable, a value or a type for a constant, and how it is packed.
  static std::string text_of(const Binding& binding) {
    if (const ConstantPtr literal = literal_of(binding)) return constant_text(*literal);
    const Var* var = std::get<Var*>(binding);
    return constant_side(binding) ? fmt::format("{} by {}", short_type(var->type), var->producer->type) : var->name;
  }

  void bindings(const std::string& param, const Binding* a, const Binding* b, const Side& side_a, const Side& side_b,
                OpChange& change) {
    if (a == nullptr || b == nullptr) {
      change.what.emplace_back(param, arrow(a == nullptr ? "" : text_of(*a), b == nullptr ? "" : text_of(*b)));
      return;
    }
    const bool known_a = constant_side(*a), known_b = constant_side(*b);
    if (known_a != known_b) {
      change.what.emplace_back(param, arrow(text_of(*a), text_of(*b)));
    } else if (!known_a) {
      const auto id = [](const Side& side, const Binding& binding) {
        const auto found = side.ids.find(std::get<Var*>(binding));
        return found == side.ids.end() ? Side::none : found->second;
      };
      if (id(side_a, *a) != id(side_b, *b)) change.what.emplace_back(param, arrow(text_of(*a), text_of(*b)));
    } else {
      constants(param, *a, *b, change);
    }
  }

  void constants(const std::string& param, const Binding& a, const Binding& b, OpChange& change) {
    const ConstantPtr la = literal_of(a), lb = literal_of(b);
    if (la != nullptr && la == lb) return;
    const std::string ta = text_of(a), tb = text_of(b);
    const Tensor va = value_of(a, largest_compared), vb = value_of(b, largest_compared);
    if (!va.defined() || !vb.defined()) {
      if (ta != tb) change.what.emplace_back(param, arrow(ta, tb));
      return;
    }
    if (va.identical(vb)) {
      if (ta != tb) change.what.emplace_back(param, arrow(ta, tb) + ", equal values");
      return;
    }
    const bool text = va.dtype() == DType::string || vb.dtype() == DType::string;
    if (text || va.shape() != vb.shape() || va.size() <= small_constant) {
      change.what.emplace_back(param, ta == tb ? "other values" : arrow(ta, tb));
      if (text || va.shape() != vb.shape()) return;
    } else if (ta != tb) {
      change.what.emplace_back(param, arrow(ta, tb));
    }
    if (va.size() > small_constant) weights(change.op_b, param, ta, tb, va, vb);
  }

 public:
  void weights(const std::string& op, const std::string& param, const std::string& ta, const std::string& tb, const Tensor& a,
               const Tensor& b) {
    WeightChange change{name_, op, param, ta, tb, a.size(), 0, 0, 0, 0};
    double sum = 0, squares = 0, reference = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) {
      const double x = a.number_at(i), y = b.number_at(i);
      const bool same = x == y || (std::isnan(x) && std::isnan(y));
      const double distance = same ? 0 : std::fabs(x - y);
      change.differing += same ? 0 : 1;
      change.largest = std::isnan(distance) || distance > change.largest ? distance : change.largest;
      sum += distance;
      squares += distance * distance;
      reference += x * x;
    }
    if (change.differing == 0) return;
    change.mean = sum / static_cast<double>(a.size());
    change.relative = reference > 0 ? std::sqrt(squares / reference) : INFINITY;
    diff_.weights.push_back(std::move(change));
  }

 private:
  ModelDiff& diff_;
  std::string name_;
};

void compare_metadata(const ModelInfo& a, const ModelInfo& b, ModelDiff& diff) {
  const auto add = [&](const std::string& name, const std::string& x, const std::string& y) {
    if (x != y) diff.metadata.emplace_back(name, arrow(x, y));
  };
  add("type", a.model_type, b.model_type);
  add("specification version", std::to_string(a.specification_version), std::to_string(b.specification_version));
  add("author", a.author, b.author);
  add("license", a.license, b.license);
  add("version", a.version, b.version);
  add("description", a.short_description, b.short_description);
  std::set<std::string> keys;
  for (const auto& entry : a.user_metadata) keys.insert(entry.first);
  for (const auto& entry : b.user_metadata) keys.insert(entry.first);
  const auto at = [](const ModelInfo& info, const std::string& key) {
    const auto found = info.user_metadata.find(key);
    return found == info.user_metadata.end() ? std::string() : found->second;
  };
  for (const std::string& key : keys) add("metadata " + key, at(a, key), at(b, key));
  if (a.string_labels != b.string_labels || a.integer_labels != b.integer_labels)
    diff.metadata.emplace_back("labels", fmt::format("{} -> {}, not the same", a.string_labels.size() + a.integer_labels.size(),
                                                     b.string_labels.size() + b.integer_labels.size()));
}

void compare_features(const std::string& place, const std::vector<Feature>& a, const std::vector<Feature>& b, ModelDiff& diff) {
  std::map<std::string, std::pair<std::string, std::string>> texts;
  const auto text = [](const Feature& feature) { return describe(feature) + (feature.optional ? ", optional" : ""); };
  for (const Feature& feature : a) texts[feature.name].first = text(feature);
  for (const Feature& feature : b) texts[feature.name].second = text(feature);
  for (const auto& [name, pair] : texts) {
    if (pair.first != pair.second) diff.interface.emplace_back(place + " " + name, arrow(pair.first, pair.second));
  }
}

void compare_interfaces(const ModelInfo& a, const ModelInfo& b, ModelDiff& diff) {
  for (const Interface& ib : b.interfaces) {
    const Interface* ia = a.interface(ib.function);
    if (ia == nullptr && a.interfaces.size() == 1 && b.interfaces.size() == 1) ia = &a.interfaces.front();
    if (ia == nullptr) continue;
    const std::string place = b.interfaces.size() > 1 ? ib.function + ": " : "";
    compare_features(place + "input", ia->inputs, ib.inputs, diff);
    compare_features(place + "output", ia->outputs, ib.outputs, diff);
    compare_features(place + "state", ia->states, ib.states, diff);
  }
}

void compare_tensors(const Model& a, const Model& b, ModelDiff& diff) {
  std::map<std::string, std::pair<const StoredTensor*, const StoredTensor*>> pairs;
  for (const StoredTensor& tensor : a.tensors) pairs[tensor.name].first = &tensor;
  for (const StoredTensor& tensor : b.tensors) pairs[tensor.name].second = &tensor;
  Comparer comparer(diff);
  const auto text = [](const StoredTensor& tensor) { return tensor.storage + " " + to_string(tensor.shape); };
  for (const auto& [name, pair] : pairs) {
    const auto& [ta, tb] = pair;
    if (ta == nullptr || tb == nullptr) {
      diff.tensors.push_back(name + (ta == nullptr ? ": added" : ": removed"));
    } else if (ta->shape != tb->shape) {
      diff.tensors.push_back(name + ": " + arrow(text(*ta), text(*tb)));
    } else {
      const Tensor va = ta->read(), vb = tb->read();
      if (va.identical(vb)) continue;
      const std::size_t before = diff.weights.size();
      if (va.dtype() != DType::string && vb.dtype() != DType::string) comparer.weights("", name, text(*ta), text(*tb), va, vb);
      if (diff.weights.size() == before) diff.tensors.push_back(name + ": " + arrow(text(*ta), text(*tb)));
    }
  }
}

}  // namespace

bool ModelDiff::same() const noexcept {
  return metadata.empty() && interface.empty() && functions_added.empty() && functions_removed.empty() && added.empty() &&
         removed.empty() && changed.empty() && weights.empty() && tensors.empty();
}

ModelDiff diff_models(const Model& a, const Model& b) {
  ModelDiff diff;
  compare_metadata(a.info, b.info, diff);
  compare_interfaces(a.info, b.info, diff);
  if (a.program == nullptr || b.program == nullptr) {
    compare_tensors(a, b, diff);
    return diff;
  }
  const bool single = a.program->functions.size() == 1 && b.program->functions.size() == 1;
  for (const auto& fb : b.program->functions) {
    const Function* fa = single ? a.program->functions.front().get() : a.program->function(fb->name);
    if (fa == nullptr) {
      diff.functions_added.push_back(fb->name);
    } else {
      Comparer(diff).functions(*fa, *fb);
    }
  }
  for (const auto& fa : a.program->functions) {
    if (!single && b.program->function(fa->name) == nullptr) diff.functions_removed.push_back(fa->name);
  }
  std::stable_sort(diff.weights.begin(), diff.weights.end(),
                   [](const WeightChange& x, const WeightChange& y) { return x.relative > y.relative; });
  return diff;
}

}  // namespace tl::insight
