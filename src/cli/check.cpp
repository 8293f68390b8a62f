#include "tensorlogic/check.hpp"

#include <optional>

#include "base/file.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

constexpr const char* footer =
    R"(Where each op would run is predicted from published rules and measurements; nothing here asks a device.

REQUIREMENTS
  Comma-separated comparisons (>= <= > < ==) of
    ane, gpu, cpu                 per cent of the ops
    ane_time, gpu_time, cpu_time  per cent of the estimated time
    segments                      runs of ops on the Neural Engine
    ops, errors, warnings, total_ms
  Exit status 1 when one fails; stderr says which, and by how much.

EXAMPLES
  tl check model.mlpackage
  tl check model.mlpackage --chip A17 --os "iOS 18" --compute-units cpuAndNeuralEngine
  tl check model.mlpackage --require "ane>=95%,segments<=1,errors==0"
  tl check model.mlpackage --html report.html
  tl check model.mlpackage --json | jq '.ops[] | select(.predicted != "ANE") | .name')";

struct CheckArguments {
  std::string model, units = "all", html;
  std::optional<std::string> require;
  std::size_t rows = 40;
  CheckOptions options;
};

int run(const CheckArguments& arguments, const Context& context) {
  CheckOptions options = arguments.options;
  options.compute_units = compute_units_from_name(arguments.units).value_or(ComputeUnits::all);
  if (arguments.require) unmet({}, *arguments.require);  // the text, before the work
  const CheckReport report = check(arguments.model, options);
  if (!arguments.html.empty()) write_file(arguments.html, to_html(report));
  print(context.json ? to_json(report) + "\n" : to_text(report, arguments.rows));
  if (!arguments.require) return ok;
  const auto lines = unmet(report, *arguments.require);
  for (const std::string& line : lines) error_line("requirement failed: " + line);
  return lines.empty() ? ok : failed;
}

}  // namespace

void add_check(Command app, Context& context) {
  auto arguments = std::make_shared<CheckArguments>();
  const Command command = app.add_command("check", "Predict where each op would run on Apple hardware, and why", footer);
  command.add_option("MODEL", arguments->model, "A .mlpackage, .mlmodelc or .mlmodel; ops that cannot run here are no obstacle")
      .required();
  command.add_option("--chip", arguments->options.chip, "A12 to A19 or M1 to M5; most rules were measured on an M4")
      .hint("CHIP [M4]");
  command.add_option("--os", arguments->options.os, "The system, such as \"macOS 15\" or \"iOS 18.2\"")
      .hint("OS [macOS 15 or iOS 18]");
  command.add_option("--compute-units", arguments->units, "all, cpuOnly, cpuAndGPU or cpuAndNeuralEngine")
      .one_of({"all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine"})
      .hint("UNITS [all]");
  command.add_option("--function", arguments->options.function, "The function of a model that has several").hint("NAME");
  command.add_flag("--infrequent-reshape", arguments->options.infrequent_reshape,
                   "As if loaded with the hint reshapeFrequency = infrequent (iOS 17.4, macOS 14.4)");
  command.add_option("--require", arguments->require, "Fail unless this holds, such as \"ane>=95%,segments<=1\"").hint("TEXT");
  command.add_option("--rows", arguments->rows, "Ops in the table, those off the Neural Engine first; 0: all").hint("N [40]");
  command.add_option("--html", arguments->html, "Write a self-contained page to this file").hint("FILE");
  add_json(command, context);
  command.set_action(context, [arguments, &context] { return run(*arguments, context); });
}

}  // namespace tl::cli
