#include "base/knobs.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/describe.hpp"
#include "cli/output.hpp"

namespace tl::cli {
namespace {

int list_knobs(const Context& context) {
  if (context.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const KnobInfo& knob : all_knobs()) {
      json.push_back({{"name", knob.name},
                      {"variable", knob.variable},
                      {"value", knob_value(knob.knob)},
                      {"default", knob.fallback},
                      {"doc", knob.doc}});
    }
    print(pretty(json));
    return ok;
  }
  std::vector<std::vector<std::string>> rows = {{"KNOB", "VARIABLE", "VALUE", "DEFAULT", "MEANING"}};
  for (const KnobInfo& knob : all_knobs()) {
    rows.push_back({std::string(knob.name), knob.variable, std::to_string(knob_value(knob.knob)), std::to_string(knob.fallback),
                    std::string(knob.doc)});
  }
  print(table(rows, {2, 3}));
  return ok;
}

}  // namespace

void add_knobs(Command app, Context& context) {
  const Command command = app.add_command("knobs", "List the settings that environment variables make",
                                          "EXAMPLES\n  tl knobs\n  TL_THREADS=1 tl knobs --json");
  add_json(command, context);
  command.set_action(context, [&context] { return list_knobs(context); });
}

}  // namespace tl::cli
