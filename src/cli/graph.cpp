#include <fmt/format.h>

#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/output.hpp"
#include "format/format.hpp"
#include "insight/model_graph.hpp"
#include "insight/page.hpp"
#include "insight/svg.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(The page is one file that needs no network. Groups come from the names of ops and weights; click one to open it, an op to see
its parameters and the histograms of its weights. Models that cannot run here are drawn as well.

EXAMPLES
  tl graph model.mlpackage --html graph.html
  tl graph model.mlmodel --svg graph.svg)";

struct Arguments {
  std::string model, html, svg;
  bool no_weights = false;
};

int graph(const Arguments& arguments, const Context& context) {
  if (arguments.html.empty() && arguments.svg.empty())
    fail(ErrorKind::invalid_argument, "nothing to write: give --html FILE or --svg FILE");
  Progress progress(context);
  progress.show("reading " + arguments.model);
  const ir::Model model = format::read_model(arguments.model, {.lenient = true});
  if (model.program == nullptr)
    throw Error(ErrorKind::unsupported, fmt::format("a {} file holds tensors, not a program", to_string(model.info.format)),
                arguments.model);
  std::vector<insight::Graph> graphs;
  for (insight::ModelGraph& one : insight::model_graphs(*model.program, !arguments.no_weights))
    graphs.push_back(std::move(one.graph));
  if (!arguments.html.empty()) {
    insight::Page page("graph", model.info.name);
    page.graphs(graphs);
    write_file(arguments.html, page.html());
  }
  if (!arguments.svg.empty()) write_file(arguments.svg, insight::graph_svg(graphs));
  return ok;
}

}  // namespace

void add_graph(Command app, Context& context) {
  const Command command = app.add_command("graph", "Draw a model as a page to look at, or as an SVG", footer);
  auto arguments = std::make_shared<Arguments>();
  command.add_option("MODEL", arguments->model, "A .mlpackage, .mlmodelc or .mlmodel, told by its content").required();
  command.add_option("--html", arguments->html, "Write a page: zoom, search, groups, shapes, weights").hint("FILE");
  command.add_option("--svg", arguments->svg, "Write a picture of the whole graph").hint("FILE");
  command.add_flag("--no-weights", arguments->no_weights, "Leave the histograms of weights out (smaller, faster)");
  command.set_action(context, [&context, arguments] { return graph(*arguments, context); });
}

}  // namespace tl::cli
