#include "cli/command.hpp"

#include <fmt/core.h>

#include "cli/output.hpp"

namespace tl::cli {

int exit_code(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::invalid_argument: return usage;
    case ErrorKind::not_found:
    case ErrorKind::io: return unreachable;
    case ErrorKind::bad_file:
    case ErrorKind::bad_model:
    case ErrorKind::unsupported: return bad_file;
    case ErrorKind::limit: return over_limit;
    case ErrorKind::script: return failed;
    case ErrorKind::internal: return internal;
  }
  return internal;
}

void add_json(Command command, Context& context) {
  command.add_flag("--json", context.json, "Print JSON on stdout instead of a table");
}

void add_load(Command command, LoadArguments& arguments) {
  command.add_option("MODEL", arguments.model, "A .mlpackage, .mlmodelc, .mlmodel, .safetensors or .gguf, told by its content")
      .required();
  command
      .add_option(
          "--compute-units", arguments.compute_units,
          "The units that the model may use: all, cpuOnly, cpuAndGPU or cpuAndNeuralEngine; those that this machine lacks are "
          "stood in for by the CPU")
      .one_of({"all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine"})
      .hint("UNITS [all]");
  command.add_option("--function", arguments.function, "The function of a model that has several").hint("NAME");
  command.add_option("--device", arguments.device, "cpu, or reference: slow plain loops that define every op")
      .one_of({"cpu", "reference"})
      .hint("DEVICE");
  command
      .add_option("--precision", arguments.precision,
                  "own: values and sums in the model's own types; bf16: fast math, products in bf16 (8 bits of mantissa) with "
                  "float sums")
      .one_of({"own", "bf16"})
      .hint("NAME [own]");
  command.add_option("--threads", arguments.threads, "Threads of a prediction (default: TL_THREADS, else all cores)")
      .range(0, 1024)
      .hint("N");
}

LoadOptions load_options(const LoadArguments& arguments, const Context& context) {
  LoadOptions options;
  options.compute_units = compute_units_from_name(arguments.compute_units).value_or(ComputeUnits::all);
  options.function = arguments.function;
  options.device = arguments.device;
  options.precision = arguments.precision;
  options.threads = arguments.threads;
  // "all" asks for nothing in particular, so that nothing needs telling.
  const bool units = options.compute_units != ComputeUnits::all;
  if (!context.quiet && (units || options.precision == "bf16")) {
    options.log = [units](std::string_view line) {
      if (units || line.rfind("compute units", 0) != 0) note(line);
    };
  }
  return options;
}

}  // namespace tl::cli
