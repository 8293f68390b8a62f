#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "cli/describe.hpp"
#include "cli/output.hpp"
#include "format/format.hpp"
#include "ir/program.hpp"

namespace tl::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* footer =
    R"(The last line says what the compute units come to on this machine, or why the model cannot run here.

EXAMPLES
  tl info model.mlpackage
  tl info model.mlpackage --compute-units cpuAndNeuralEngine
  tl info model.gguf --json)";

struct Usability {
  std::string device;  // empty: cannot run here, `reason` says why
  std::string reason;
  std::optional<double> load_seconds;
};

Usability try_load(const ir::Model& model, const LoadArguments& arguments, const Context& context) {
  if (!model.refusal.empty()) return {"", model.refusal, {}};
  if (model.program == nullptr) return {"", "holds tensors, not a program", {}};
  try {
    const Model loaded = Model::load(arguments.model, load_options(arguments, context));
    return {std::string(loaded.device()), "", loaded.times().load_seconds};
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::invalid_argument || error.kind() == ErrorKind::not_found) throw;
    return {"", error.what(), {}};
  }
}

std::map<std::string, int> count_ops(const ir::Function& function) {
  std::map<std::string, int> counts;
  ir::for_each_op(function.body, [&](const ir::Op& op) { ++counts[op.type]; });
  return counts;
}

// The classes that custom layers and models need.
std::set<std::string> custom_classes(const ir::Function& function) {
  std::set<std::string> names;
  ir::for_each_op(function.body, [&](const ir::Op& op) {
    const ir::ConstantPtr name = op.attribute("class_name");
    if (name == nullptr || !name->value.is_tensor() || name->value.tensor().dtype() != DType::string) return;
    names.insert(name->value.tensor().strings().begin(), name->value.tensor().strings().end());
  });
  return names;
}

std::map<std::string, std::uint64_t> weight_bytes(const ir::Model& model) {
  std::map<std::string, std::uint64_t> bytes;
  for (const StoredTensor& tensor : model.tensors) bytes[tensor.storage] += tensor.bytes;
  return bytes;
}

Json features_json(const std::vector<Feature>& features) {
  Json list = Json::array();
  for (const Feature& feature : features) list.push_back(to_json(feature));
  return list;
}

Json model_json(const ir::Model& model, const Usability& usability) {
  const ModelInfo& info = model.info;
  Json json = {
      {"path", info.path}, {"format", to_string(info.format)}, {"container", info.container}, {"model_type", info.model_type}};
  json["specification_version"] = info.specification_version;
  if (info.format == Format::core_ml) json["lowest_system"] = lowest_system(info.specification_version);
  json["quantization"] = info.quantization;
  json["author"] = info.author;
  json["license"] = info.license;
  json["version"] = info.version;
  json["description"] = info.short_description;
  json["user_metadata"] = info.user_metadata;
  json["tensors"] = model.tensors.size();
  json["weight_bytes"] = weight_bytes(model);
  json["functions"] = Json::array();
  for (const Interface& interface : info.interfaces) {
    Json function = {{"name", interface.function},
                     {"inputs", features_json(interface.inputs)},
                     {"outputs", features_json(interface.outputs)},
                     {"states", features_json(interface.states)}};
    const ir::Function* body = model.program == nullptr ? nullptr : model.program->function(interface.function);
    if (body != nullptr) {
      function["ops"] = count_ops(*body);
      if (const auto classes = custom_classes(*body); !classes.empty()) function["custom_classes"] = classes;
    }
    json["functions"].push_back(std::move(function));
  }
  json["runs_on"] = usability.device.empty() ? Json(nullptr) : Json(usability.device);
  if (!usability.reason.empty()) json["runs_not_because"] = usability.reason;
  if (usability.load_seconds) json["load_seconds"] = *usability.load_seconds;
  return json;
}

std::string one_line(std::string_view text, std::size_t limit) {
  std::string result(text.substr(0, limit));
  if (text.size() > limit) result += "...";
  return result;
}

void add_features(std::vector<std::vector<std::string>>& rows, const char* title, const std::vector<Feature>& features) {
  for (const Feature& feature : features) {
    rows.push_back(
        {&feature == &features.front() ? title : "", feature.name, describe(feature) + (feature.optional ? ", optional" : "")});
  }
}

std::string function_text(const Interface& interface, const ir::Function* body, bool several) {
  std::vector<std::vector<std::string>> rows;
  add_features(rows, "  inputs", interface.inputs);
  add_features(rows, "  outputs", interface.outputs);
  add_features(rows, "  states", interface.states);
  std::string text = several ? fmt::format("\nfunction {}\n", interface.function) : "\n";
  text += table(rows);
  if (body == nullptr) return text;
  std::vector<std::pair<int, std::string>> counts;
  int constants = 0, total = 0;
  for (const auto& [type, count] : count_ops(*body)) {
    if (type == "const") {
      constants = count;
    } else {
      counts.emplace_back(-count, type);
      total += count;
    }
  }
  std::sort(counts.begin(), counts.end());
  std::string list;
  for (const auto& [count, type] : counts) list += fmt::format("{}{} {}", list.empty() ? "" : ", ", -count, type);
  text += fmt::format("  {} ops ({} constants beside them): {}\n", total, constants, list);
  if (const auto classes = custom_classes(*body); !classes.empty())
    text += fmt::format("  needs the classes {} (see doc/custom.md)\n", fmt::join(classes, ", "));
  return text;
}

std::string model_text(const ir::Model& model, const Usability& usability) {
  const ModelInfo& info = model.info;
  std::vector<std::vector<std::string>> rows = {{"model", info.path}};
  rows.push_back({"format", fmt::format("{} ({}{}{})", to_string(info.format), info.container,
                                        info.model_type.empty() ? "" : ", ", info.model_type)});
  if (info.format == Format::core_ml) {
    const std::string system = lowest_system(info.specification_version);
    rows.push_back(
        {"specification", fmt::format("{}{}{}", info.specification_version, system.empty() ? "" : ", from ", system)});
  }
  std::uint64_t total = 0;
  std::string parts;
  for (const auto& [storage, bytes] : weight_bytes(model)) {
    total += bytes;
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", storage, bytes_text(bytes));
  }
  rows.push_back({"weights", fmt::format("{} in {} tensors{}{}", bytes_text(total), model.tensors.size(),
                                         parts.empty() ? "" : ": ", parts)});
  const auto add = [&](const char* title, const std::string& text) {
    if (!text.empty()) rows.push_back({title, one_line(text, 200)});
  };
  add("author", info.author);
  add("license", info.license);
  add("version", info.version);
  add("description", info.short_description);
  for (const auto& [key, value] : info.user_metadata) add("metadata", fmt::format("{} = {}", key, value));
  std::string text = table(rows);
  for (const Interface& interface : info.interfaces) {
    text += function_text(interface, model.program == nullptr ? nullptr : model.program->function(interface.function),
                          info.interfaces.size() > 1);
  }
  if (usability.device.empty()) return text + fmt::format("\nruns here: no ({})\n", usability.reason);
  text += fmt::format("\nruns here: on the {}, loaded in {:.1f} ms\n", usability.device, *usability.load_seconds * 1e3);
  return text +
         "fast math: --precision bf16 multiplies with 8 bits of mantissa; 0.2 to 1.3 % of the largest result on measured "
         "networks\n";
}

}  // namespace

void add_info(Command app, Context& context) {
  const Command command = app.add_command("info", "Show what a model is, takes, gives and weighs", footer);
  auto arguments = std::make_shared<LoadArguments>();
  add_load(command, *arguments);
  add_json(command, context);
  command.set_action(context, [&context, arguments] {
    Progress progress(context);
    progress.show("reading " + arguments->model);
    const ir::Model model = format::read_model(arguments->model, {.lenient = true});
    const Usability usability = try_load(model, *arguments, context);
    print(context.json ? pretty(model_json(model, usability)) : model_text(model, usability));
    return int{ok};
  });
}

}  // namespace tl::cli
