#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/inputs.hpp"
#include "cli/output.hpp"
#include "tensorlogic/compare.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Without B, MODEL runs in its own precision and in float32 side by side, op by op; a float32 model runs as coremltools
would convert it to float16. For each op: the error that it adds (against the same op in float32 on its own inputs), the error
that it inherits, and the total, in decibels; NEEDS says what ADDS must reach for the outputs to meet the target. When they
miss it, the first op to break is named and the ops to keep in float32 are searched and verified by running the model with them.

With B, another model or a file of tensors, the values of MODEL are held against those of B: matched by name, then by
structure. Where weights differ, the table of weights says which costs the most.

Inputs that are not given are made up. A folder as an input (--in image=FOLDER) is a run for each image in it.
Exit status: 0 within the target, 1 not.

EXAMPLES
  tl compare model.mlpackage
  tl compare model.mlpackage --in image=photos/ --target-psnr 50
  tl compare model.mlpackage --in x=in.npy --fix fixed.mlpackage --html report.html
  tl compare quantized.mlpackage original.mlpackage
  tl compare model.mlpackage expected.npz --in x=in.npy --json)";

struct Arguments {
  std::string model, other;
  InputArguments inputs;
  CompareOptions options;
  double psnr = 0, cosine = 0;
  std::string html;
  bool all_ops = false;
  bool no_search = false;
};

bool is_image(const std::string& name) {
  const auto dot = name.rfind('.');
  std::string extension = dot == std::string::npos ? "" : name.substr(dot);
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
}

// The images of a folder in the order of their names.
std::vector<std::string> images_in(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_image(entry->path().filename().string())) paths.push_back(entry->path().string());
  }
  if (error) throw Error(ErrorKind::io, error.message(), folder);
  if (paths.empty()) throw Error(ErrorKind::invalid_argument, "no images in it (.png .jpg .webp)", folder);
  std::sort(paths.begin(), paths.end());
  return paths;
}

// One set of specs for each run: a folder stands for each of its images.
std::vector<InputArguments> runs_of(const InputArguments& given) {
  std::vector<InputArguments> runs = {{{}, given.fit}};
  bool expanded = false;
  for (const std::string& spec : given.specs) {
    const auto equals = spec.find('=');
    const bool named = equals != std::string::npos && !exists(spec);
    const std::string path = named ? spec.substr(equals + 1) : spec;
    const std::string prefix = named ? spec.substr(0, equals + 1) : "";
    if (!is_directory(path)) {
      for (InputArguments& run : runs) run.specs.push_back(spec);
      continue;
    }
    const std::vector<std::string> images = images_in(path);
    if (!expanded) runs.resize(images.size(), runs.front());
    if (runs.size() != images.size())
      throw Error(ErrorKind::invalid_argument, fmt::format("{} images, another folder has {}", images.size(), runs.size()),
                  path);
    expanded = true;
    for (std::size_t i = 0; i < runs.size(); ++i) runs[i].specs.push_back(prefix + images[i]);
  }
  return runs;
}

int compare_models(Arguments& arguments, const Context& context) {
  CompareReport report;
  {
    Progress progress(context);
    CompareOptions options = arguments.options;
    options.search = !arguments.no_search;
    if (arguments.psnr > 0) options.target_psnr = arguments.psnr;
    if (arguments.cosine > 0) options.target_cosine = arguments.cosine;
    options.progress = [&](std::string_view line) { progress.show(line); };
    progress.show("loading " + arguments.model);
    if (!arguments.inputs.specs.empty()) {
      LoadOptions load;
      load.function = options.function;
      const Model model = Model::load(arguments.model, load);
      for (const InputArguments& run : runs_of(arguments.inputs)) {
        options.inputs.push_back(
            within([&] { return arguments.model; }, [&] { return read_inputs(run, model.interface(), context); }));
      }
    }
    report = arguments.other.empty() ? compare(arguments.model, options) : compare(arguments.model, arguments.other, options);
  }
  if (!arguments.html.empty()) write_file(arguments.html, to_html(report));
  print(context.json ? to_json(report) + "\n" : to_text(report, arguments.all_ops));
  return report.passed ? ok : failed;
}

}  // namespace

void add_compare(Command app, Context& context) {
  const Command command =
      app.add_command("compare", "Find the op that loses the accuracy, and what to keep in float32", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A Core ML model").required();
  command.add_option("B", arguments->other, "What to hold it against: a model, or tensors (.npz .safetensors .json)");
  command.add_option("--function", arguments->options.function, "Which function of a multi-function model").hint("NAME");
  add_inputs(command, arguments->inputs);
  command.add_option("--samples", arguments->options.samples, "Runs on made-up inputs when none are given")
      .range(1, 10'000)
      .hint("N [1]");
  command.add_option("--seed", arguments->options.seed, "Start of the made-up inputs").hint("N [1]");
  command.add_option("--target-psnr", arguments->psnr, "What each output must reach, in decibels")
      .range(1e-9, 150.0)
      .hint("DB [40]");
  command.add_option("--target-cosine", arguments->cosine, "The cosine that each output must reach").range(1e-9, 1.0).hint("X");
  command
      .add_option("--precision", arguments->options.precision,
                  "own: as the file is; fp16: as coremltools would convert what is float32 (default for float32 models)")
      .one_of({"own", "fp16"})
      .hint("own|fp16");
  command.add_option("--fix", arguments->options.fix, "Write the model with the ops found in float32").hint("OUT.mlpackage");
  command.add_flag("--no-search", arguments->no_search, "Don't look for the ops to keep in float32");
  command.add_option("--search-seconds", arguments->options.search_seconds, "Stop shrinking the set after this time")
      .not_negative()
      .hint("S [60]");
  command.add_option("--html", arguments->html, "Write a page: verdict, graph coloured by error, tables").hint("FILE");
  command.add_flag("--ops", arguments->all_ops, "Show every op, in the order in which they run");
  command.add_option("--device", arguments->options.device, "cpu, or reference: plain loops for every op")
      .one_of({"cpu", "reference"})
      .hint("NAME [cpu]");
  command.add_option("--threads", arguments->options.threads, "Threads").range(1, 1024).hint("N");
  add_json(command, context);
  command.set_action(context, [&context, arguments] { return compare_models(*arguments, context); });
}

}  // namespace tl::cli
