#include "insight/diff.hpp"

#include <memory>

#include "base/file.hpp"
#include "cli/describe.hpp"
#include "cli/output.hpp"
#include "format/format.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Ops are matched by name, then by what they read and are. Compressed weights are compared by the values they stand for. Models
that cannot run here are compared as well, and files of tensors by name. Exit status: 0 the same, 1 different.

EXAMPLES
  tl diff old.mlpackage new.mlpackage
  tl diff model.mlpackage model_int8.mlpackage --html diff.html
  tl diff a.mlmodelc b.mlpackage --json)";

struct Arguments {
  std::string a, b, html;
};

int diff(const Arguments& arguments, const Context& context) {
  std::string text;
  bool same = false;
  {
    Progress progress(context);
    progress.show("reading " + arguments.a);
    const ir::Model a = format::read_model(arguments.a, {.lenient = true});
    progress.show("reading " + arguments.b);
    const ir::Model b = format::read_model(arguments.b, {.lenient = true});
    progress.show("comparing");
    const insight::ModelDiff found = insight::diff_models(a, b);
    same = found.same();
    if (!arguments.html.empty()) write_file(arguments.html, insight::diff_html(found, a, b));
    text = context.json ? pretty(insight::diff_json(found, arguments.a, arguments.b))
                        : insight::diff_text(found, arguments.a, arguments.b);
  }
  print(text);
  return same ? ok : failed;
}

}  // namespace

void add_diff(Command app, Context& context) {
  const Command command =
      app.add_command("diff", "Tell what differs between two models: structure, weights, interface", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("A", arguments->a, "A model or a file of tensors").required();
  command.add_option("B", arguments->b, "What it became").required();
  command.add_option("--html", arguments->html, "Write a page: the graph of B with its changes, tables").hint("FILE");
  add_json(command, context);
  command.set_action(context, [&context, arguments] { return diff(*arguments, context); });
}

}  // namespace tl::cli
