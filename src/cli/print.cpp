#include <fmt/format.h>

#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/output.hpp"
#include "format/format.hpp"
#include "ir/text.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Long literals are cut unless --all is given, and then the text can be read back. Classic model types are printed as
the program that they are translated into. A .mil file is parsed and printed back as it stands (its literals in full with --all).

EXAMPLES
  tl print model.mlpackage
  tl print model.mlmodelc --all --out model.mil)";

struct Arguments {
  std::string model, out;
  bool all = false;
};

std::unique_ptr<ir::Program> read_program(const std::string& path) {
  if (path.ends_with(".mil") && !is_directory(path))
    return within([&] { return path; }, [&] { return ir::parse_mil(read_text(path)); });
  ir::Model model = format::read_model(path, {.lenient = true});
  if (model.program == nullptr) throw Error(ErrorKind::unsupported, "holds tensors, not a program", path);
  return std::move(model.program);
}

int print_model(const Arguments& arguments) {
  const auto program = read_program(arguments.model);
  constexpr std::int64_t shown = 16;
  const std::string text = ir::print_mil(*program, {.max_elements = arguments.all ? -1 : shown});
  if (arguments.out.empty()) {
    print(text);
  } else {
    write_file(arguments.out, text);
  }
  return ok;
}

}  // namespace

void add_print(Command app, Context& context) {
  const Command command = app.add_command("print", "Print a model's program as MIL text", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A .mlpackage, .mlmodelc, .mlmodel, or MIL text (.mil)").required();
  command.add_flag("--all", arguments->all, "Print every literal in full");
  command.add_option("--out", arguments->out, "Write to FILE instead of stdout").hint("FILE");
  command.set_action(context, [arguments] { return print_model(*arguments); });
}

}  // namespace tl::cli
