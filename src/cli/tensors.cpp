#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "cli/describe.hpp"
#include "cli/output.hpp"
#include "format/array_files.hpp"
#include "format/format.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Quantized tensors are read as float32, palettes expanded. Files are written by their extension:
.npy (one tensor), .npz, .safetensors, .json.

EXAMPLES
  tl tensors model.gguf
  tl tensors model.mlpackage --match conv --json
  tl tensors model.gguf --read token_embd.weight --out embeddings.npy
  tl tensors model.mlpackage --read A --read B --out weights.safetensors)";

struct Arguments {
  std::string model, out, match;
  std::vector<std::string> names;
};

int list(const std::vector<StoredTensor>& tensors, const Arguments& arguments, const Context& context) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> rows = {{"NAME", "SHAPE", "TYPE", "BYTES"}};
  for (const StoredTensor& tensor : tensors) {
    if (tensor.name.find(arguments.match) == std::string::npos) continue;
    if (context.json) {
      json.push_back({{"name", tensor.name}, {"shape", tensor.shape}, {"type", tensor.storage}, {"bytes", tensor.bytes}});
    } else {
      rows.push_back({tensor.name, to_string(tensor.shape), tensor.storage, std::to_string(tensor.bytes)});
    }
  }
  print(context.json ? pretty(json) : table(rows, {3}));
  return ok;
}

const StoredTensor& find(const std::vector<StoredTensor>& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const StoredTensor& t) { return t.name == name; });
  if (found == tensors.end()) fail(ErrorKind::not_found, "no tensor '{}'; `tl tensors` lists them", name);
  return *found;
}

int read(const std::vector<StoredTensor>& tensors, const Arguments& arguments) {
  format::NamedTensors result;
  for (const std::string& name : arguments.names) {
    within([&] { return fmt::format("{}: tensor '{}'", arguments.model, name); },
           [&] { result.emplace_back(name, find(tensors, name).read()); });
  }
  if (arguments.out.empty()) {
    Dict dict;
    for (const auto& [name, tensor] : result) dict.items.emplace_back(Tensor::scalar(name), tensor);
    print(format::encode_json(dict) + "\n");
  } else {
    format::write_arrays(arguments.out, result);
  }
  return ok;
}

}  // namespace

void add_tensors(Command app, Context& context) {
  const Command command = app.add_command("tensors", "List the stored tensors of a model, or read some", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A model file or folder").required();
  command.add_option("--match", arguments->match, "List only names that contain TEXT").hint("TEXT");
  const Option names =
      command.add_option("--read", arguments->names, "Read this tensor; may be given again").hint("NAME ...").repeated();
  command.add_option("--out", arguments->out, "Where to write what is read (default: JSON on stdout)")
      .hint("FILE")
      .needs(names);
  add_json(command, context);
  command.set_action(context, [&context, arguments] {
    const ir::Model model = format::read_model(arguments->model, {.lenient = true});
    return arguments->names.empty() ? list(model.tensors, *arguments, context) : read(model.tensors, *arguments);
  });
}

}  // namespace tl::cli
