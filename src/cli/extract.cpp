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

void add_extract(Command app, Context& context) {
  const Command command = app.add_command("extract", "Write the part of a model between some of its values", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A Core ML model with a program").required();
  command.add_option("OUT", arguments->out, "The .mlpackage to write; one that exists is replaced").required();
  command.add_option("--inputs", arguments->inputs, "Values that the part takes; without it, the model's own inputs")
      .split_at(',')
      .repeated()
      .hint("NAME,...");
  command.add_option("--outputs", arguments->outputs, "Values that the part gives")
      .split_at(',')
      .repeated()
      .required()
      .hint("NAME,...");
  command.add_option("--function", arguments->function, "Which function of a multi-function model").hint("NAME");
  command.set_action(context, [&context, arguments] { return extract_part(*arguments, context); });
}

}  // namespace tl::cli
