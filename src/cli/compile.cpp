#include <fmt/format.h>

#include <memory>

#include "base/error.hpp"
#include "cli/output.hpp"
#include "format/format.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer = R"(The folder holds model.mil, the weights and coremldata.bin; it appears whole or not at all.

EXAMPLES
  tl compile model.mlpackage model.mlmodelc)";

struct Arguments {
  std::string model, out;
};

int compile(const Arguments& arguments, const Context& context) {
  if (!arguments.out.ends_with(".mlmodelc") && !arguments.out.ends_with(".mlmodelc/")) {
    throw Error(ErrorKind::invalid_argument, "the result is a folder whose name ends in .mlmodelc", arguments.out);
  }
  Progress(context).show("reading " + arguments.model);
  const ir::Model model = format::read_model(arguments.model);
  if (model.program == nullptr) {
    throw Error(ErrorKind::unsupported, "holds tensors, not a program that could be compiled", arguments.model);
  }
  within([&] { return arguments.out; }, [&] { format::write_mlmodelc(model, arguments.out); });
  return ok;
}

}  // namespace

void add_compile(Command app, Context& context) {
  const Command command =
      app.add_command("compile", "Write a model as a .mlmodelc, the form that Apple's compiler writes", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A .mlpackage, .mlmodelc or .mlmodel").required();
  command.add_option("OUT", arguments->out, "The .mlmodelc folder to write; one that exists is replaced").required();
  command.set_action(context, [&context, arguments] { return compile(*arguments, context); });
}

}  // namespace tl::cli
