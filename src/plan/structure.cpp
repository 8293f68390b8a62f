#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.hpp"
#include "format/format.hpp"
#include "tensorlogic/model.hpp"

namespace tl {
namespace {

using nlohmann::json;
using namespace ir;

json named(const Var& var) { return {{"name", var.name}, {"type", to_string(var.type)}}; }

json argument_json(const Argument& argument) {
  json bindings = json::array();
  for (const Binding& binding : argument.bindings) {
    if (const auto* var = std::get_if<Var*>(&binding)) {
      bindings.push_back({{"name", (*var)->name}});
    } else {
      bindings.push_back({{"value", to_string(type_of(binding))}});
    }
  }
  return bindings;
}

json block_json(const Block& block, const std::vector<std::unique_ptr<Var>>& inputs) {
  json result = {{"inputs", json::array()}, {"operations", json::array()}, {"outputs", json::array()}};
  for (const auto& input : inputs) result["inputs"].push_back(named(*input));
  for (const Var* output : block.outputs) result["outputs"].push_back(output->name);
  for (const auto& op : block.ops) {
    json entry = {{"operator", op->type}, {"inputs", json::object()}, {"outputs", json::array()}, {"blocks", json::array()}};
    for (const Argument& argument : op->inputs) entry["inputs"][argument.name] = argument_json(argument);
    for (const auto& output : op->outputs) entry["outputs"].push_back(named(*output));
    for (const auto& inner : op->blocks) entry["blocks"].push_back(block_json(*inner, inner->params));
    result["operations"].push_back(std::move(entry));
  }
  return result;
}

}  // namespace

std::string structure_json(const std::string& path) {
  const ir::Model model = format::read_model(path, {.lenient = true});
  if (model.program == nullptr) throw Error(ErrorKind::unsupported, "the file holds no program", path);
  json functions = json::object();
  for (const auto& function : model.program->functions) {
    json inputs = json::array();
    for (const auto& input : function->inputs) inputs.push_back(named(*input));
    functions[function->name] = {{"inputs", std::move(inputs)}, {"block", block_json(function->body, function->inputs)}};
  }
  return json{{"type", model.info.model_type}, {"functions", std::move(functions)}}.dump();
}

void compile_model(const std::string& source, const std::string& target) {
  const ir::Model model = format::read_model(source);
  within([&] { return source; }, [&] { format::write_mlmodelc(model, target); });
}

}  // namespace tl
