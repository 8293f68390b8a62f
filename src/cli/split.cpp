#include "tensorlogic/split.hpp"

#include <fmt/format.h>

#include <memory>

#include "base/error.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Writes FOLDER/NAME_1.mlpackage, ... and FOLDER/NAME_pipeline.mlpackage, which runs the parts one after the other and takes
and gives what the model does. Among the cuts that the options allow, those over which the fewest bytes pass. The pipeline is
run beside the model on made-up inputs before anything stays; every bit must agree.

EXAMPLES
  tl split model.mlpackage parts/ --max-bytes 1G
  tl split model.mlpackage parts/ --parts 3
  tl split model.mlpackage parts/ --at encoder_out --at pooled --json)";

struct Arguments {
  std::string model, folder;
  SplitOptions options;
};

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

int split_model(Arguments& arguments, const Context& context) {
  SplitReport report;
  {
    Progress progress(context);
    arguments.options.progress = [&](std::string_view line) { progress.show(line); };
    report = split(arguments.model, arguments.folder, arguments.options);
  }
  if (context.json) {
    print(to_json(report) + "\n");
    return ok;
  }
  std::vector<std::vector<std::string>> rows = {{"PART", "WEIGHTS", "HANDS ON", "UP TO OP", "INPUTS", "OUTPUTS"}};
  for (const SplitPart& part : report.parts) {
    rows.push_back({part.path, bytes_text(part.weight_bytes), bytes_text(part.border_bytes), part.last_op, list(part.inputs),
                    list(part.outputs)});
  }
  print(table(rows, {1, 2}) + fmt::format("\n{}: runs them in turn; gives the same bits as the model\n", report.pipeline));
  return ok;
}

}  // namespace

void add_split(Command app, Context& context) {
  const Command command = app.add_command("split", "Cut a model into packages and a pipeline of them", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A Core ML model with a program").required();
  command.add_option("FOLDER", arguments->folder, "Where to write the packages").required();
  const Option bytes =
      command
          .add_option("--max-bytes", arguments->options.max_bytes,
                      "Weights of a part at most, in as few parts as possible (units k, M, G are powers of 1000; "
                      "Ki, Mi, Gi of 1024)")
          .byte_size()
          .hint("N");
  const Option parts =
      command.add_option("--parts", arguments->options.parts, "So many parts, of about equal weights").range(2, 1000).hint("N");
  const Option at =
      command.add_option("--at", arguments->options.at, "Cut after this op; may be given again").repeated().hint("OP ...");
  bytes.excludes(parts).excludes(at);
  parts.excludes(at);
  command.add_option("--function", arguments->options.function, "Which function of a multi-function model").hint("NAME");
  add_json(command, context);
  command.set_action(context, [&context, arguments] { return split_model(*arguments, context); });
}

}  // namespace tl::cli
