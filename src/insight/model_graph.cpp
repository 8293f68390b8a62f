#include "insight/model_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/checked.hpp"
#include "insight/constants.hpp"
#include "insight/scopes.hpp"
#include "ir/op_def.hpp"

namespace tl::insight {

using namespace ir;

namespace {

enum class Family : int {
#define TL_FAMILY(name, title, colour) name,
#define TL_FAMILY_OP(op, name)
#include "insight/families.inc"
};

const std::vector<Colouring::Class> family_classes = {
#define TL_FAMILY(name, title, colour) {title, colour},
#define TL_FAMILY_OP(op, name)
#include "insight/families.inc"
};

struct FamilyRow {
  std::string_view op;
  Family family;
};
constexpr std::array family_rows = {
#define TL_FAMILY(name, title, colour)
#define TL_FAMILY_OP(op, name) FamilyRow{#op, Family::name},
#include "insight/families.inc"
};

Family family_of(std::string_view type) {
  for (const FamilyRow& row : family_rows) {
    const bool prefix = row.op.back() == '*';
    if (prefix ? type.starts_with(row.op.substr(0, row.op.size() - 1)) : type == row.op) return row.family;
  }
  const OpDef* def = find_op(type);
  if (def == nullptr) return Family::unknown;
  return def->view ? Family::move : def->elementwise ? Family::elementwise : Family::other;
}

constexpr std::int64_t short_list = 12;
constexpr std::size_t longest_text = 300;
constexpr std::int64_t histogram_from = 32;
constexpr std::int64_t sample = 1 << 16;
constexpr std::size_t bins = 40;

std::string cut(std::string text) {
  if (text.size() > longest_text) text = text.substr(0, longest_text) + "...";
  return text;
}

std::string tensor_text(const Tensor& tensor) {
  const auto element = [&](std::int64_t i) {
    if (tensor.dtype() == DType::string) return fmt::format("\"{}\"", cut(tensor.strings()[uz(i)]));
    if (tensor.dtype() == DType::boolean) return std::string(tensor.integer_at(i) != 0 ? "true" : "false");
    return is_floating(tensor.dtype()) ? fmt::format("{:.6g}", tensor.number_at(i)) : std::to_string(tensor.integer_at(i));
  };
  if (tensor.size() == 1 && tensor.rank() == 0) return element(0);
  std::string text = "[";
  for (std::int64_t i = 0; i < tensor.size(); ++i) text += (i == 0 ? "" : ", ") + element(i);
  return text + "]";
}

constexpr std::int64_t largest_unpacked = std::int64_t{1} << 24;

class Builder {
 public:
  Builder(const Function& function, bool weights) : weights_(weights) {
    result_.graph.name = function.name;
    for (const auto& input : function.inputs)
      give(*input, add(input->name, input->type.as<StateType>() != nullptr ? "state" : "input", {}));
    add_block(function.body, {});
    for (const Var* output : function.body.outputs) read(*output, add(output->name, "output", {}));
    Colouring& families = result_.graph.colourings.emplace_back();
    families.title = "family";
    families.classes = family_classes;
    for (const GraphNode& node : result_.graph.nodes) families.of_node.push_back(static_cast<int>(family_of(node.type)));
    for (GraphValue& value : result_.graph.values) {
      std::sort(value.to.begin(), value.to.end());
      value.to.erase(std::unique(value.to.begin(), value.to.end()), value.to.end());
    }
  }

  ModelGraph take() { return std::move(result_); }

 private:
  std::size_t add(std::string name, std::string type, std::vector<std::string> scope) {
    GraphNode node;
    node.name = std::move(name);
    node.type = std::move(type);
    node.scope = std::move(scope);
    result_.graph.nodes.push_back(std::move(node));
    return result_.graph.nodes.size() - 1;
  }
  GraphNode& node(std::size_t index) { return result_.graph.nodes[index]; }

  void give(const Var& var, std::size_t from) {
    values_[&var] = result_.graph.values.size();
    result_.graph.values.push_back({short_type(var.type), from, {}});
  }
  // False when no node gives it (a constant).
  bool read(const Var& var, std::size_t to) {
    const auto found = values_.find(&var);
    if (found == values_.end()) return false;
    result_.graph.values[found->second].to.push_back(to);
    return true;
  }

  // What names the place of an op: its own name where it has parts, or the constant that it alone is made for.
  static std::string place_name(const Op& op) {
    const std::string label = op.label();
    if (label.find('/') != std::string::npos || label.find('.') != std::string::npos) return label;
    for (const char* param : {"weight", "gamma", "weight_ih", "bias", "beta"}) {
      const Argument* argument = op.argument(param);
      if (argument == nullptr || argument->bindings.empty()) continue;
      const auto* var = std::get_if<Var*>(&argument->bindings.front());
      if (var == nullptr || (*var)->producer == nullptr || !gives_constant(*(*var)->producer)) continue;
      const std::string& name = (*var)->name;
      const std::size_t end = name.find("_" + std::string(param));
      if (end != std::string::npos && end > 0) return name.substr(0, end) + "_" + param;
    }
    return {};
  }

  void add_block(const Block& block, const std::vector<std::string>& around) {
    std::vector<const Op*> ops;
    std::vector<std::string> names;
    for (const auto& op : block.ops) {
      if (gives_constant(*op)) continue;
      ops.push_back(op.get());
      names.push_back(place_name(*op));
    }
    const std::vector<std::vector<std::string>> scopes = scopes_of(names);
    for (std::size_t i = 0; i < ops.size(); ++i) {
      std::vector<std::string> scope = around;
      scope.insert(scope.end(), scopes[i].begin(), scopes[i].end());
      add_op(*ops[i], scope);
    }
  }

  void add_op(const Op& op, std::vector<std::string> scope) {
    if (!op.blocks.empty()) scope.push_back(fmt::format("{} {}", op.type, op.label()));
    const std::size_t index = add(op.label(), op.type, scope);
    result_.nodes[&op] = index;
    for (const Argument& argument : op.inputs) add_argument(argument, index);
    for (const auto& [name, value] : op.attributes) {
      if (name != "name" && value != nullptr) node(index).details.emplace_back(name, constant_text(*value));
    }
    for (const auto& output : op.outputs) node(index).details.emplace_back("gives", short_type(output->type));
    std::size_t giver = index;
    if (!op.blocks.empty()) giver = add_nested(op, index, scope);
    for (const auto& output : op.outputs) give(*output, giver);
  }

  // The blocks of `cond`, `while_loop` and the like as groups; what they give meets in a node of its own.
  std::size_t add_nested(const Op& op, std::size_t index, const std::vector<std::string>& scope) {
    const std::size_t control = result_.graph.values.size();
    result_.graph.values.push_back({op.type == "cond" ? "chooses" : "starts", index, {}});
    for (std::size_t b = 0; b < op.blocks.size(); ++b) {
      const Block& block = *op.blocks[b];
      std::vector<std::string> inner = scope;
      const bool loop = op.type == "while_loop";
      inner.push_back(op.type == "cond" && b < 2 ? (b == 0 ? "then" : "else")
                      : loop && b < 2            ? (b == 0 ? "condition" : "body")
                                                 : fmt::format("block {}", b));
      for (const auto& param : block.params) {
        const std::size_t at = add(param->name, "parameter", inner);
        result_.graph.values[control].to.push_back(at);
        give(*param, at);
      }
      add_block(block, inner);
    }
    const std::size_t last = add(op.label(), "result", scope);
    result_.graph.values[control].to.push_back(last);
    for (const auto& block : op.blocks) {
      for (const Var* output : block->outputs) read(*output, last);
    }
    return last;
  }

  void add_argument(const Argument& argument, std::size_t index) {
    std::string text;
    const std::size_t shown = std::min<std::size_t>(argument.bindings.size(), 8);
    for (std::size_t i = 0; i < argument.bindings.size(); ++i) {
      const Binding& binding = argument.bindings[i];
      const auto* var = std::get_if<Var*>(&binding);
      std::string part;
      const ConstantPtr literal = literal_of(binding);
      if (literal != nullptr || (var != nullptr && (*var)->producer != nullptr && gives_constant(*(*var)->producer))) {
        part = literal != nullptr ? constant_text(*literal)
                                  : fmt::format("{} by {}", short_type((*var)->type), (*var)->producer->type);
        if (weights_) {
          Histogram histogram = histogram_of(argument.name, value_of(binding, largest_unpacked));
          if (!histogram.bins.empty()) node(index).histograms.push_back(std::move(histogram));
        }
      } else if (var != nullptr) {
        read(**var, index);
        part = (*var)->name;
      }
      if (i < shown) text += (i == 0 ? "" : ", ") + part;
    }
    if (shown < argument.bindings.size()) text += fmt::format(", ... ({} in all)", argument.bindings.size());
    node(index).details.emplace_back(argument.name, std::move(text));
  }

  bool weights_;
  ModelGraph result_;
  std::unordered_map<const Var*, std::size_t> values_;
};

}  // namespace

std::string short_type(const Type& type) {
  const std::string text = to_string(type);
  if (!text.starts_with("tensor<") || !text.ends_with(">")) return text;
  std::string inner = text.substr(7, text.size() - 8);
  if (const auto comma = inner.find(", "); comma != std::string::npos) inner.erase(comma, 1);
  return inner;
}

void copy_scopes(const Function& original, ModelGraph& rewritten) {
  std::unordered_map<std::string, std::vector<std::string>> scopes;
  for (GraphNode& node : model_graph(original, false).graph.nodes) scopes.emplace(node.name, std::move(node.scope));
  std::vector<std::string> last;
  for (GraphNode& node : rewritten.graph.nodes) {
    if (const auto found = scopes.find(node.name); found != scopes.end()) last = found->second;
    const bool edge = node.type == "input" || node.type == "output" || node.type == "state";
    if (!edge && node.scope.empty()) node.scope = last;
  }
}

std::string constant_text(const Constant& constant) {
  if (!constant.value.is_tensor()) return short_type(constant.type);
  const Tensor& tensor = constant.value.tensor();
  return tensor.defined() && tensor.size() <= short_list && tensor.rank() <= 1 ? cut(tensor_text(tensor))
                                                                               : short_type(constant.type);
}

Histogram histogram_of(const std::string& name, const Tensor& values) {
  Histogram result;
  result.name = name;
  if (!values.defined() || values.dtype() == DType::string || values.dtype() == DType::boolean ||
      values.size() < histogram_from)
    return result;
  const std::int64_t step = std::max<std::int64_t>(1, values.size() / sample);
  std::vector<double> numbers;
  std::int64_t odd = 0;
  for (std::int64_t i = 0; i < values.size(); i += step) {
    const double number = values.number_at(i);
    if (std::isfinite(number))
      numbers.push_back(number);
    else
      ++odd;
  }
  double sum = 0, squares = 0;
  for (const double number : numbers) sum += number;
  const double mean = numbers.empty() ? 0 : sum / static_cast<double>(numbers.size());
  for (const double number : numbers) squares += (number - mean) * (number - mean);
  result.text = fmt::format("{} {}, mean {:.4g}, deviation {:.4g}{}{}", tl::name(values.dtype()), to_string(values.shape()),
                            mean, numbers.empty() ? 0 : std::sqrt(squares / static_cast<double>(numbers.size())),
                            step > 1 ? ", of a sample" : "", odd > 0 ? fmt::format(", {} not finite", odd) : "");
  if (numbers.empty()) return result;
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  result.low = *low;
  result.high = *high;
  result.bins.assign(bins, 0);
  const double width = result.high - result.low;
  for (const double number : numbers) {
    const double place = width > 0 ? (number - result.low) / width * static_cast<double>(bins) : 0;
    ++result.bins[std::min(bins - 1, static_cast<std::size_t>(place))];
  }
  return result;
}

ModelGraph model_graph(const Function& function, bool weights) { return Builder(function, weights).take(); }

std::vector<ModelGraph> model_graphs(const Program& program, bool weights) {
  std::vector<ModelGraph> graphs;
  for (const auto& function : program.functions) graphs.push_back(model_graph(*function, weights));
  return graphs;
}

}  // namespace tl::insight
