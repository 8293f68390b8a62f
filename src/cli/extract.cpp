#include <memory>

#include "base/error.hpp"
#include "cli/output.hpp"
#include "tensorlogic/split.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Values are named as `tl print` and `tl compare --ops` show them; the name of an op stands for its first result. A value at the
border is a float16, float32 or int32 array of fixed shape.

EXAMPLES
  tl extract model.mlpackage encoder.mlpackage --outputs encoder_out
  tl extract model.mlpackage head.mlpackage --inputs pooled --outputs logits)";

struct Arguments {
  std::string model, out, function;
  std::vector<std::string> inputs, outputs;
};

int extract_part(const Arguments& arguments, const Context& context) {
  if (!arguments.out.ends_with(".mlpackage") && !arguments.out.ends_with(".mlpackage/"))
    throw Error(ErrorKind::invalid_argument, "the result is a folder whose name ends in .mlpackage", arguments.out);
  Progress(context).show("reading " + arguments.model);
  extract(arguments.model, arguments.inputs, arguments.outputs, arguments.out, arguments.function);
  return ok;
}

}  // namespace

void add_extract(CLI::App& app, Context& context) {
  CLI::App* command = add_command(app, "extract", "Write the part of a model between some of its values", footer);
  auto arguments = std::make_shared<Arguments>();
  command->add_option("MODEL", arguments->model, "A Core ML model with a program")->required();
  command->add_option("OUT", arguments->out, "The .mlpackage to write; one that exists is replaced")->required();
  command->add_option("--inputs", arguments->inputs, "Values that the part takes; without it, the model's own inputs")
      ->delimiter(',')
      ->expected(1)
      ->take_all()
      ->option_text("NAME,...");
  command->add_option("--outputs", arguments->outputs, "Values that the part gives")
      ->delimiter(',')
      ->expected(1)
      ->take_all()
      ->required()
      ->option_text("NAME,...");
  command->add_option("--function", arguments->function, "Which function of a multi-function model")->option_text("NAME");
  command->callback(
      [&context, arguments] { context.action = [&context, arguments] { return extract_part(*arguments, context); }; });
}

}  // namespace tl::cli
