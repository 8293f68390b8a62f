#include "insight/match.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "insight/precision.hpp"
#include "ir/op_def.hpp"

namespace tl::insight {

using namespace ir;

namespace {

using Hash = std::size_t;

Hash mixed(Hash a, Hash b) { return (a ^ (b + 0x9E3779B97F4A7C15U + (a << 6) + (a >> 2))) * 0xff51afd7ed558ccdU; }
Hash of_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

// How each value comes from the inputs; numbers of constants count by their amount only, casts between floats not at all.
class Shapes {
 public:
  explicit Shapes(const Function& function) {
    for (std::size_t i = 0; i < function.inputs.size(); ++i) hashes_[function.inputs[i].get()] = mixed(1, i);
    for (const auto& op : function.body.ops) {
      const Hash hash = of(*op);
      ops_[op.get()] = hash;
      for (std::size_t i = 0; i < op->outputs.size(); ++i)
        hashes_[op->outputs[i].get()] = is_float_cast(*op) ? hash : mixed(hash, i);
    }
  }
  Hash op(const Op& op) const { return ops_.at(&op); }

 private:
  Hash of(const Op& op) const {
    if (is_float_cast(op)) return of(op.argument("x")->bindings.front());
    std::vector<const Argument*> arguments;
    for (const Argument& argument : op.inputs) arguments.push_back(&argument);
    std::sort(arguments.begin(), arguments.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
    Hash hash = of_text(op.type);
    for (const Argument* argument : arguments) {
      if (argument->name == "dtype") continue;
      hash = mixed(hash, of_text(argument->name));
      for (const Binding& binding : argument->bindings) hash = mixed(hash, of(binding));
    }
    return hash;
  }
  Hash of(const Binding& binding) const {
    if (const ConstantPtr constant = constant_of(binding))
      return constant->value.is_tensor() ? static_cast<Hash>(constant->value.tensor().size()) : 7;
    const auto found = hashes_.find(std::get<Var*>(binding));
    return found == hashes_.end() ? 11 : found->second;
  }

  std::unordered_map<const Var*, Hash> hashes_;
  std::unordered_map<const Op*, Hash> ops_;
};

bool computes(const Op& op) { return op.type != "const" && !op.def->constexpr_op && !op.outputs.empty(); }

}  // namespace

std::string plain_name(std::string name) {
  static constexpr std::array<std::string_view, 3> suffixes = {"_cast_fp16", "_to_fp16", "_to_fp32"};
  for (const std::string_view suffix : suffixes) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return name;
}

Matches match(const Function& a, const Function& b) {
  Matches matches;
  std::map<std::pair<std::string, std::string>, const Op*> by_name;
  for (const auto& op : b.body.ops) {
    if (computes(*op)) by_name.emplace(std::pair(op->type, plain_name(op->outputs.front()->name)), op.get());
  }
  std::unordered_set<const Op*> taken;
  for (const auto& op : a.body.ops) {
    if (!computes(*op)) continue;
    const auto found = by_name.find({op->type, plain_name(op->outputs.front()->name)});
    if (found != by_name.end() && taken.insert(found->second).second) matches[op.get()] = found->second;
  }
  const Shapes of_a(a), of_b(b);
  std::map<Hash, std::vector<const Op*>> left_a, left_b;
  for (const auto& op : a.body.ops) {
    if (computes(*op) && matches.count(op.get()) == 0) left_a[of_a.op(*op)].push_back(op.get());
  }
  for (const auto& op : b.body.ops) {
    if (computes(*op) && taken.count(op.get()) == 0) left_b[of_b.op(*op)].push_back(op.get());
  }
  for (const auto& [hash, ops] : left_a) {
    const auto found = left_b.find(hash);
    if (found == left_b.end() || found->second.size() != ops.size()) continue;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (ops[i]->type == found->second[i]->type && ops[i]->outputs.size() == found->second[i]->outputs.size())
        matches[ops[i]] = found->second[i];
    }
  }
  return matches;
}

}  // namespace tl::insight
