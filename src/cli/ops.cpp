#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/describe.hpp"
#include "cli/output.hpp"
#include "format/spec_bytes.hpp"
#include "format/zip.hpp"
#include "ir/op_def.hpp"

namespace tl::cli {
namespace {

namespace fs = std::filesystem;

struct Fact {
  std::string_view op, versions, deviation;
};
constexpr Fact facts[] = {
#define TL_OP_FACT(op, versions, deviation) {#op, versions, deviation},
#include "op/op_facts.inc"
#undef TL_OP_FACT
};

struct KernelRow {
  std::string_view op, factory;
};
constexpr KernelRow kernels[] = {
#define TL_KERNEL(op, factory) {#op, #factory},
#include "cpu/kernels.inc"
#undef TL_KERNEL
};

struct Arguments {
  bool markdown = false;
  std::string tests;  // the folder test/ of the sources
};

// How many cases a test folder has of an op.
struct Cases {
  std::map<std::string, std::size_t> literal, recorded;
};

void count_literal(const fs::path& folder, Cases& cases) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".test") continue;
    std::istringstream in(read_text(entry.path().string()));
    for (std::string line; std::getline(in, line);) {
      if (line.rfind("op ", 0) == 0) ++cases.literal[line.substr(3, line.find_first_of(": #", 3) - 3)];
    }
  }
}

void count_recorded(const fs::path& archive, Cases& cases) {
  const std::string text = read_text(archive.string());
  const std::span bytes(reinterpret_cast<const std::byte*>(text.data()), text.size());
  const auto zeros = [](const ir::BlobRef&, DType dtype, const Shape& shape) { return Tensor::zeros(dtype, shape); };
  for (const format::ZipMember& member : format::list_zip(bytes)) {
    if (!member.name.ends_with(".mlmodel")) continue;
    const ir::Model model = format::read_spec(format::unpack_member(bytes, member, std::uint64_t{1} << 28), zeros);
    std::map<std::string, bool> seen;
    for (const auto& function : model.program->functions) {
      ir::for_each_op(function->body, [&](const ir::Op& op) { seen[op.type] = true; });
    }
    for (const auto& [op, used] : seen) ++cases.recorded[op];
  }
}

Cases count_cases(const std::string& tests) {
  Cases cases;
  if (tests.empty()) return cases;
  const fs::path root(tests);
  if (!fs::is_directory(root / "op"))
    fail(ErrorKind::invalid_argument, "'{}' has no folder op: expected the test folder", tests);
  count_literal(root / "op", cases);
  count_recorded(root / "data" / "conformance" / "mil_ops.zip", cases);
  return cases;
}

std::string types_text(ir::DTypeSet set) {
  if (set == ir::dt::any) return "any";
  std::string text;
  const auto add = [&](std::string_view word) { text += (text.empty() ? "" : " ") + std::string(word); };
  const auto take = [&](ir::DTypeSet group, std::string_view word) {
    if ((set & group) != group) return;
    add(word);
    set &= ~group;
  };
  take(ir::dt::floats, "floats");
  take(ir::dt::ints, "integers");
  for (int i = 0; i <= static_cast<int>(DType::string); ++i) {
    if ((set & ir::dt::of(static_cast<DType>(i))) != 0) add(name(static_cast<DType>(i)));
  }
  return text;
}

struct Row {
  std::string op;
  std::vector<std::string> versions, kernels, parameters;
  std::string types, deviation;
  std::size_t literal = 0, recorded = 0;
};

std::vector<std::string> split(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::vector<Row> all_rows(const Cases& cases) {
  const auto count = [](const std::map<std::string, std::size_t>& counts, const std::string& op) {
    const auto found = counts.find(op);
    return found == counts.end() ? std::size_t{0} : found->second;
  };
  std::vector<Row> rows;
  for (const ir::OpDef* def : ir::all_ops()) {
    Row row;
    row.op = def->name;
    for (const Fact& fact : facts) {
      if (fact.op != def->name) continue;
      row.versions = split(fact.versions);
      row.deviation = fact.deviation;
    }
    for (const KernelRow& kernel : kernels) {
      if (kernel.op == def->name) row.kernels.emplace_back(kernel.factory);
    }
    for (const ir::Param& param : def->params) {
      std::string text(param.name);
      if (!param.required) text += "?";
      if (param.is_variadic) text += "...";
      row.parameters.push_back(text);
    }
    if (!def->params.empty()) row.types = def->params[0].non_tensor ? "values" : types_text(def->params[0].dtypes);
    row.literal = count(cases.literal, row.op);
    row.recorded = count(cases.recorded, row.op);
    rows.push_back(std::move(row));
  }
  return rows;
}

constexpr std::string_view introduction = R"(# Ops

What `tl ops --markdown --tests test` prints, and after it what `tl_precision` measures; `tools/ops_doc` writes this file.

- **iOS**: the versions of Core ML that brought a definition of the op. Empty: the dialect `tl.` of this project, which passes
  make and classic models are translated into.
- **First parameter**: the types that it takes; "floats" are fp16, fp32, fp64 and bf16, "integers" int8 to uint64.
- **CPU kernel**: what runs the op on the CPU device, best first. Every op has a reference, which runs where no kernel takes it;
  a pass may turn the op into one of `tl.` that has a kernel (convolutions, pools, attention).
- **Cases**: numbers from outside. "op" counts those of `test/op/*.test` (NumPy, PyTorch, coremltools, literals), "recorded"
  the recorded cases of coremltools' own tests that use the op.
)";

void print_markdown(const std::vector<Row>& rows) {
  std::string text(introduction);
  text += fmt::format(
      "\n{} ops.\n\n| op | iOS | parameters | first parameter | CPU kernel | cases: op | recorded | deviations |\n"
      "|---|---|---|---|---|---:|---:|---|\n",
      rows.size());
  for (const Row& row : rows) {
    text += fmt::format("| `{}` | {} | {} | {} | {} | {} | {} | {} |\n", row.op, joined(row.versions, ", "),
                        joined(row.parameters, ", "), row.types, joined(row.kernels, ", "), row.literal, row.recorded,
                        row.deviation);
  }
  print(text);
}

int list_ops(const Context& context, const Arguments& arguments) {
  const std::vector<Row> rows = all_rows(count_cases(arguments.tests));
  if (context.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const Row& row : rows) {
      json.push_back({{"op", row.op},
                      {"versions", row.versions},
                      {"parameters", row.parameters},
                      {"types", row.types},
                      {"kernels", row.kernels},
                      {"cases", row.literal},
                      {"recorded", row.recorded},
                      {"deviation", row.deviation}});
    }
    print(pretty(json));
  } else if (arguments.markdown) {
    print_markdown(rows);
  } else {
    std::vector<std::vector<std::string>> lines = {{"OP", "IOS", "FIRST PARAMETER", "CPU KERNEL"}};
    for (const Row& row : rows) lines.push_back({row.op, joined(row.versions, " "), row.types, joined(row.kernels, " ")});
    print(table(lines));
  }
  return ok;
}

}  // namespace

void add_ops(Command app, Context& context) {
  auto arguments = std::make_shared<Arguments>();
  const Command command = app.add_command("ops", "List the ops: versions, types, kernels, tests, deviations",
                                          "EXAMPLES\n  tl ops\n  tl ops --json\n  tl ops --markdown --tests test > ops.md");
  command.add_flag("--markdown", arguments->markdown, "Print the table of doc/ops.md");
  command.add_option("--tests", arguments->tests, "The folder test of the sources, whose cases are counted").type("FOLDER");
  add_json(command, context);
  command.set_action(context, [&context, arguments] { return list_ops(context, *arguments); });
}

}  // namespace tl::cli
