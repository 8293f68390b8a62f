#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/checked.hpp"
#include "base/file.hpp"
#include "cli/compare.hpp"
#include "cli/inputs.hpp"
#include "cli/output.hpp"
#include "format/array_files.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Outputs are written by the extension of the file: .npz .safetensors .json hold them all, .npy .png .jpg hold one
(--out NAME=FILE). Texts and dictionaries go to .json; in the other files a classifier's dictionary is written as its
probabilities in the order of the labels. Without --out a summary is printed, or all values with --json.

--assert compares the outputs with a file of expected values: |value - expected| <= atol + rtol * |expected| for every
number, and exit status 1 where one is outside.

EXAMPLES
  tl predict classifier.mlpackage --in photo.jpg
  tl predict model.mlpackage --in x=in.npy --in scale=0.5 --out out.npz
  tl predict model.mlpackage --in in.safetensors --assert expected.safetensors --atol 1e-3 --rtol 1e-2
  tl predict segmenter.mlpackage --in image=photo.jpg --out mask=mask.png
  tl predict model.mlpackage --in 'x=[[1, 2, 3]]' --json)";

struct Arguments {
  LoadArguments load;
  InputArguments inputs;
  std::vector<std::string> out;
  std::string expected;
  double atol = 1e-3, rtol = 1e-3;
};

std::string label_text(const Tensor& key) {
  return key.dtype() == DType::string ? key.strings().at(0) : std::to_string(key.integer_at(0));
}

std::string dict_text(const Dict& dict) {
  std::vector<std::pair<double, std::string>> items;
  items.reserve(dict.items.size());
  for (const auto& [key, value] : dict.items) items.emplace_back(-value.tensor().number_at(0), label_text(key.tensor()));
  constexpr std::size_t shown = 5;
  const std::size_t count = std::min(shown, items.size());
  std::partial_sort(items.begin(), items.begin() + iz(count), items.end());
  std::string text;
  for (std::size_t i = 0; i < count; ++i)
    text += fmt::format("{}{} {:.4g}", i == 0 ? "" : ", ", items[i].second, -items[i].first);
  return items.size() > count ? text + fmt::format(" ... {} in all", items.size()) : text;
}

std::string tensor_text(const Tensor& tensor) {
  constexpr std::int64_t shown = 6;
  std::string text;
  for (std::int64_t i = 0; i < std::min(shown, tensor.size()); ++i) {
    text += i == 0 ? "" : " ";
    text += tensor.dtype() == DType::string ? tensor.strings()[uz(i)] : fmt::format("{:.5g}", tensor.number_at(i));
  }
  return tensor.size() > shown ? text + " ..." : text;
}

std::string summary(const NamedValues& outputs) {
  std::vector<std::vector<std::string>> rows = {{"OUTPUT", "TYPE", "VALUES"}};
  for (const auto& [key, value] : outputs) {
    if (value.is_dict()) {
      rows.push_back({key, "dictionary", dict_text(value.dict())});
    } else if (value.is_list()) {
      rows.push_back({key, "list", fmt::format("{} items", value.list().items.size())});
    } else {
      const Tensor& tensor = value.tensor();
      const std::string shape = tensor.rank() == 0 ? "" : " " + to_string(tensor.shape());
      rows.push_back({key, std::string(name(tensor.dtype())) + shape, tensor_text(tensor)});
    }
  }
  return table(rows);
}

std::string json_text(const NamedValues& outputs) {
  Dict dict;
  for (const auto& [key, value] : outputs) dict.items.emplace_back(Tensor::scalar(key), value);
  return format::encode_json(dict) + "\n";
}

// What files of plain arrays can hold of the outputs; the rest is told on stderr.
format::NamedTensors arrays_of(const NamedValues& outputs, const std::string& path, const Context& context) {
  format::NamedTensors tensors;
  for (const auto& [key, value] : outputs) {
    if (value.is_dict()) {
      Tensor numbers(DType::f32, {iz(value.dict().items.size())});
      for (std::size_t i = 0; i < value.dict().items.size(); ++i) {
        numbers.mutable_values<float>()[i] = static_cast<float>(value.dict().items[i].second.tensor().number_at(0));
      }
      tensors.emplace_back(key, numbers);
    } else if (value.is_tensor() && value.tensor().dtype() != DType::string) {
      tensors.emplace_back(key, value.tensor());
    } else if (!context.quiet) {
      note(fmt::format("{}: output '{}' is text and is left out; .json holds it", path, key));
    }
  }
  return tensors;
}

void write_outputs(const NamedValues& outputs, const std::string& spec, const Context& context) {
  const auto equals = spec.find('=');
  NamedValues chosen = outputs;
  std::string path = spec;
  if (equals != std::string::npos && outputs.count(spec.substr(0, equals)) != 0) {
    path = spec.substr(equals + 1);
    chosen = {*outputs.find(spec.substr(0, equals))};
  }
  if (path.ends_with(".json")) {
    write_file(path, json_text(chosen));
  } else {
    format::write_arrays(path, arrays_of(chosen, path, context));
  }
}

int report(const std::vector<Comparison>& comparisons, const Arguments& arguments, const Context& context) {
  bool passed = true;
  for (const Comparison& c : comparisons) {
    passed &= c.passed;
    if (c.passed && context.quiet) continue;
    if (!c.problem.empty()) {
      error_line(fmt::format("{}: output '{}': {}", arguments.load.model, c.name, c.problem));
    } else if (!c.passed) {
      error_line(fmt::format(
          "{}: output '{}': {} of {} values are outside atol {:g}, rtol {:g}; the worst, at {}, is {:.7g}, expected {:.7g}",
          arguments.load.model, c.name, c.outside, c.count, arguments.atol, arguments.rtol, c.worst, c.value, c.expected));
    } else {
      note(fmt::format("output '{}': {} values agree, largest difference {:.3g}", c.name, c.count, c.max_absolute));
    }
  }
  return passed ? ok : failed;
}

int predict(const Arguments& arguments, const Context& context) {
  NamedValues outputs;
  {
    Progress progress(context);
    progress.show("loading " + arguments.load.model);
    const Model model = Model::load(arguments.load.model, load_options(arguments.load, context));
    const Interface& interface = model.interface();
    const NamedValues inputs =
        within([&] { return arguments.load.model; }, [&] { return read_inputs(arguments.inputs, interface, context); });
    progress.show("predicting");
    State state = interface.states.empty() ? State() : model.make_state();
    outputs = model.predict(inputs, state.defined() ? &state : nullptr);
  }
  for (const std::string& spec : arguments.out) write_outputs(outputs, spec, context);
  if (context.json) {
    print(json_text(outputs));
  } else if (arguments.out.empty() && (arguments.expected.empty() || !context.quiet)) {
    print(summary(outputs));
  }
  if (arguments.expected.empty()) return ok;
  return report(compare_with_file(outputs, arguments.expected, arguments.atol, arguments.rtol), arguments, context);
}

}  // namespace

void add_predict(Command app, Context& context) {
  const Command command = app.add_command("predict", "Run a model on files or numbers, write or check the outputs", footer);
  auto arguments = std::make_shared<Arguments>();
  add_load(command, arguments->load);
  add_inputs(command, arguments->inputs);
  command.add_option("--out", arguments->out, "Where to write the outputs, or one of them; may be given again")
      .hint("[NAME=]FILE ...")
      .repeated();
  const Option check = command.add_option("--assert", arguments->expected, "Compare the outputs with this file").hint("FILE");
  command.add_option("--atol", arguments->atol, "Absolute tolerance of --assert").hint("X [0.001]").needs(check).not_negative();
  command.add_option("--rtol", arguments->rtol, "Relative tolerance of --assert").hint("X [0.001]").needs(check).not_negative();
  command.add_flag("--json", context.json, "Print all output values as JSON on stdout");
  command.set_action(context, [&context, arguments] { return predict(*arguments, context); });
}

}  // namespace tl::cli
