// Predictions against what MLComputePlan and the segmenter said on an M4 (test/data/apple).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "scratch.hpp"
#include "tensorlogic/check.hpp"

namespace tl {
namespace {

using nlohmann::json;

json recorded(const char* name) { return json::parse(read_text(test::data_file("apple/" + std::string(name)))); }

std::string package(const std::string& model) { return std::string(TL_APPLE_MODELS) + "/" + model + ".mlpackage"; }

struct Answer {
  std::string type, unit, name;
  std::vector<std::string> units;
  std::string cost;
};

std::string device(const std::string& backend) { return backend == "ane" ? "ANE" : "CPU"; }

// The rows of a model that can be trusted (README.md beside the data).
std::vector<Answer> answers(const json& model, const std::string& setting) {
  std::vector<Answer> result;
  const std::string notes = model.value(setting + "_note", json::array()).dump();
  const bool stopped = notes.find("OOM") != std::string::npos || notes.find("ERROR") != std::string::npos;
  if (model.contains(setting) && !stopped) {
    for (const auto& row : model[setting]) {
      const std::string type = row[0];
      result.push_back({type.substr(type.rfind('.') + 1), row[1], row[3], row[2], row[4]});
    }
  }
  if (!result.empty() || setting != "ne") return result;
  for (const auto& row : model.value("mil", json::array())) {
    Answer answer{row[0], device(row[1]), "", {"CPU"}, ""};
    if (row[2].dump().find("ane") != std::string::npos) answer.units.emplace_back("ANE");
    result.push_back(std::move(answer));
  }
  return result;
}

class Placement : public testing::TestWithParam<std::pair<const char*, ComputeUnits>> {};

TEST_P(Placement, AgreesWithTheRecordedPlans) {
  const auto& [setting, units] = GetParam();
  const json models = recorded("placement.json")["models"];
  int ops = 0, same_set = 0, same_unit = 0, costs = 0, same_cost = 0;
  std::string different;
  for (const auto& [name, model] : models.items()) {
    const auto rows = answers(model, setting);
    if (rows.empty()) continue;
    CheckOptions options;
    options.chip = "M4";
    options.os = "macOS 15";
    options.compute_units = units;
    const CheckReport report = check(package(name), options);
    ASSERT_EQ(report.ops.size(), rows.size()) << name;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const CheckOp& op = report.ops[i];
      ASSERT_EQ(op.type, rows[i].type) << name;
      ASSERT_TRUE(rows[i].name.empty() || op.name == rows[i].name) << name << ": " << op.name;
      ++ops;
      same_set += op.supported == rows[i].units;
      same_unit += op.unit == rows[i].unit;
      if (op.supported != rows[i].units || op.unit != rows[i].unit)
        different += "  " + name + ": " + op.name + " is " + rows[i].unit + ", predicted " + op.unit + "\n";
      if (rows.size() > 1 && !rows[i].cost.empty() && rows[i].cost != "-") {
        ++costs;
        same_cost += std::abs(op.cost - std::stod(rows[i].cost)) <= 0.01;
      }
    }
  }
  RecordProperty("ops", ops);
  const auto share = [](int part, int whole) { return static_cast<double>(part) / whole; };
  EXPECT_GE(ops, 180);
  EXPECT_GE(share(same_set, ops), 0.97) << different;
  EXPECT_GE(share(same_unit, ops), 0.95) << different;
  // Shares of cost that the plan gives for ops of models with several.
  EXPECT_GE(costs, 30);
  EXPECT_GE(share(same_cost, costs), 0.95);
}

INSTANTIATE_TEST_SUITE_P(Settings, Placement,
                         testing::Values(std::pair("ne", ComputeUnits::cpu_and_neural_engine),
                                         std::pair("all", ComputeUnits::all)),
                         [](const auto& info) { return std::string(info.param.first); });

// The segmenter's own estimates in ms; the smaller of the CPU's two backends.
TEST(Cost, AgreesWithTheRecordedEstimates) {
  std::map<std::string, std::size_t> next;  // op of the file
  int compared = 0;
  const json costs = recorded("cost.json");
  for (const auto& row : costs["ops"]) {
    const std::string file = row["file"];
    if (!file.starts_with("iso/")) continue;
    const std::string op_type = row["op"];
    // Known to differ: lstm (476 ms for a small one, which no model of cost explains; the CPU's only), gru (15 % less here, the
    // CPU's only), topk (11 % more: the indices that nobody reads are counted here).
    if (op_type == "lstm" || op_type == "gru" || op_type == "topk") continue;
    CheckOptions options;
    options.compute_units = ComputeUnits::cpu_and_neural_engine;
    const CheckReport report = check(package(file.substr(4)), options);
    const std::size_t index = next[file]++;
    ASSERT_LT(index, report.ops.size()) << file;
    const CheckOp& op = report.ops[index];
    ASSERT_EQ(op.type, op_type) << file;
    const double cpu = std::min(row["ms"]["bnns"].get<double>(), row["ms"]["classic_cpu"].get<double>());
    EXPECT_NEAR(op.cpu_ms / cpu, 1, 0.05) << file << " " << op.name;
    const double ane = row["ms"].value("ane", op.ane_ms);  // absent: not supported there
    EXPECT_NEAR(op.ane_ms / ane, 1, 0.05) << file << " " << op.name;
    ++compared;
  }
  EXPECT_GE(compared, 80);
}

}  // namespace
}  // namespace tl
