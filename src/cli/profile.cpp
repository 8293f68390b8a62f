#include "tensorlogic/profile.hpp"

#include <fmt/format.h>

#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/inputs.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Each row is a step: an op, or several fused into one kernel. Times are medians over the iterations, measured here.
"view" moves no bytes; "reference" is the slow path that runs what no kernel takes. ROOF is the least time that this machine could
need for the step's operations and bytes, over the time it took; above 100 % the values were still in a cache. The machine's peak is
measured once, in about half a second, and kept in the user's cache folder.

EXAMPLES
  tl profile model.mlpackage
  tl profile model.mlpackage --sort --top 10
  tl profile model.mlpackage --html profile.html --trace trace.json
  tl profile model.mlpackage --in x=in.npy --json)";

struct Arguments {
  LoadArguments load;
  InputArguments inputs;
  ProfileOptions options;
  int top = 0;
  bool sort = false;
  std::string html, trace;
};

int profile(const Arguments& arguments, const Context& context) {
  Profile result;
  {
    Progress progress(context);
    progress.show("loading " + arguments.load.model);
    const Model model = Model::load(arguments.load.model, load_options(arguments.load, context));
    NamedValues inputs =
        within([&] { return arguments.load.model; }, [&] { return read_inputs(arguments.inputs, model.interface(), context); });
    State state = model.interface().states.empty() ? State() : model.make_state();
    progress.show(fmt::format("measuring {} predictions", arguments.options.iterations));
    result = tl::profile(model, inputs, arguments.options, state.defined() ? &state : nullptr);
  }
  if (!arguments.html.empty()) write_file(arguments.html, profile_html(result));
  if (!arguments.trace.empty()) write_file(arguments.trace, profile_trace(result));
  print(context.json ? profile_json(result) : profile_text(result, arguments.sort, arguments.top));
  return ok;
}

}  // namespace

void add_profile(Command app, Context& context) {
  const Command command = app.add_command("profile", "Measure where the time of a prediction goes, step by step", footer);
  auto arguments = std::make_shared<Arguments>();
  add_load(command, arguments->load);
  add_inputs(command, arguments->inputs);
  command
      .add_option("--iterations", arguments->options.iterations,
                  "Predictions that are measured inside, and as many that are not")
      .range(1, 1'000'000)
      .hint("N [30]");
  command.add_option("--top", arguments->top, "Show this many steps only").range(1, 1'000'000).hint("N");
  command.add_flag("--sort", arguments->sort, "The slowest first");
  command.add_option("--html", arguments->html, "Write a page: graph coloured by time, tables, memory").hint("FILE");
  command.add_option("--trace", arguments->trace, "Write every step of every prediction as a Chrome trace (Perfetto opens it)")
      .hint("FILE");
  command.add_flag("--roofline", arguments->options.measure_roofline, "Measure the machine's peak again");
  add_json(command, context);
  command.set_action(context, [&context, arguments] { return profile(*arguments, context); });
}

}  // namespace tl::cli
