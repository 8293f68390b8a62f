// Rules, findings, requirements and odd input.
#include "tensorlogic/check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apple/made.hpp"

namespace tl {
namespace {

using namespace test;

TEST(CheckRules, LongAxesDependOnTheChip) {
  // M1 to M3 end at 16384, M4 at 65536.
  const Made wide("tensor<fp16, [1, 1, 1, 20000]> x", op("tensor<fp16, [1, 1, 1, 20000]>", "relu(x = x)"));
  EXPECT_TRUE(takes(wide.check("M4"), "ANE"));
  EXPECT_FALSE(takes(wide.check("M1"), "ANE"));
  EXPECT_EQ(wide.check("m3 ultra").ops[0].rule, "D1");
  const Made wider("tensor<fp16, [1, 1, 1, 65537]> x", op("tensor<fp16, [1, 1, 1, 65537]>", "relu(x = x)"));
  EXPECT_EQ(wider.check("M4").ops[0].rule, "D2");
}

TEST(CheckRules, Float32StaysOff) {
  const Made model("tensor<fp32, [1, 4]> x", op("tensor<fp32, [1, 4]>", "exp(x = x)"));
  const CheckReport report = model.check();
  EXPECT_EQ(report.ops[0].rule, "T2");
  EXPECT_EQ(report.ops[0].confidence, "documented");
  ASSERT_NE(finding(report, "not_fp16"), nullptr);
  EXPECT_EQ(finding(report, "not_fp16")->severity, Severity::warning);
}

TEST(CheckRules, RecurrentLayersOnTheCpuAndGpu) {
  const std::string zeros = "tensor<fp16, [1, 2]>([[0x0p+0, 0x0p+0]])";
  const std::string square = "tensor<fp16, [2, 2]>([[0x0p+0, 0x0p+0], [0x0p+0, 0x0p+0]])";
  const Made model(
      "tensor<fp16, [3, 1, 2]> x",
      "            tensor<fp16, [3, 1, 2]> out, tensor<fp16, [1, 2]> h = rnn(activation = string(\"tanh\"), direction = "
      "string(\"forward\"), initial_h = " +
          zeros + ", output_sequence = bool(true), weight_hh = " + square + ", weight_ih = " + square +
          ", x = x)[name = string(\"out\")];\n");
  const CheckReport report = model.check("M4", ComputeUnits::all);
  EXPECT_EQ(report.ops[0].rule, "O1");
  EXPECT_EQ(report.ops[0].supported, (std::vector<std::string>{"CPU", "GPU"}));
}

TEST(CheckRules, UnknownOpsAreCustom) {
  const Made model("tensor<fp16, [1, 4]> x", op("tensor<fp16, [1, 4]>", "frobnicate(x = x)"));
  const CheckReport report = model.check();
  EXPECT_EQ(report.ops[0].type, "frobnicate");
  EXPECT_EQ(report.ops[0].rule, "F2");
  EXPECT_NE(report.ops[0].reason.find("'frobnicate'"), std::string::npos);
}

TEST(CheckRules, CustomLayersOfANetworkAreCheckedToo) {
  CheckOptions options;
  options.compute_units = ComputeUnits::cpu_and_neural_engine;
  const CheckReport report = check(test::data_file("apple/custom_layer.mlmodel"), options);
  ASSERT_EQ(report.ops.size(), 3);
  EXPECT_EQ(report.ops[0].type, "conv");
  EXPECT_EQ(report.ops[1].type, "custom_layer");
  EXPECT_EQ(report.ops[1].rule, "F2");
  EXPECT_NE(report.ops[1].reason.find("SwirlLayer"), std::string::npos);
  EXPECT_EQ(report.ops[2].type, "softmax");
  EXPECT_EQ(report.ops[2].inputs, std::vector<int>{1});
  EXPECT_NE(finding(report, "neuralnetwork"), nullptr);
}

TEST(CheckRules, ControlFlowAndItsBlocks) {
  const CheckReport report = check(test::data_file("models/branches.mlpackage"));
  const auto cond = std::find_if(report.ops.begin(), report.ops.end(), [](const CheckOp& o) { return o.type == "cond"; });
  ASSERT_NE(cond, report.ops.end());
  EXPECT_EQ(cond->rule, "F1");
  EXPECT_NE(finding(report, "F1"), nullptr);
}

TEST(CheckFindings, InfiniteMask) {
  const Made model("tensor<fp16, [1, 2]> x",
                   op("tensor<fp16, [1, 2]>", "add(x = x, y = tensor<fp16, [1, 2]>([[0x0p+0, -inf]]))"));
  const CheckReport report = model.check();
  ASSERT_NE(finding(report, "infinite_mask"), nullptr);
  EXPECT_EQ(finding(report, "infinite_mask")->severity, Severity::error);
  EXPECT_EQ(finding(report, "infinite_mask")->ops, std::vector<int>{0});
}

TEST(CheckFindings, FlexibleShapes) {
  const Made model("tensor<fp16, [1, ?]> x", op("tensor<fp16, [1, ?]>", "relu(x = x)"));
  const CheckReport report = model.check();
  EXPECT_EQ(report.ops[0].rule, "S3");
  ASSERT_NE(finding(report, "ranged"), nullptr);
  CheckOptions options;
  options.infrequent_reshape = true;
  EXPECT_TRUE(check(model.path(), options).ops[0].rule.empty());
}

TEST(CheckFindings, OldSystem) {
  const Made model("tensor<fp16, [1, 4]> x", op("tensor<fp16, [1, 4]>", "relu(x = x)"));
  EXPECT_EQ(finding(model.check("M4", ComputeUnits::all, "macOS 14"), "system"), nullptr);
  ASSERT_NE(finding(model.check("M4", ComputeUnits::all, "macOS 13.4"), "system"), nullptr);
  EXPECT_NE(finding(model.check("A15", ComputeUnits::all, "iOS 16"), "system"), nullptr);
}

TEST(CheckFindings, SmallOpsThatCouldRunThere) {
  const Made model("tensor<fp16, [1, 4]> x", op("tensor<fp16, [1, 4]>", "relu(x = x)"));
  const CheckReport report = model.check();
  EXPECT_EQ(report.ops[0].unit, "CPU");
  EXPECT_NE(report.ops[0].reason.find("cheaper"), std::string::npos);
  EXPECT_NE(finding(report, "too_small"), nullptr);
}

TEST(CheckRequire, SaysWhichAndByHowMuch) {
  CheckReport report;
  report.units = {{"CPU", 1, 0.125, 1, 0.5}, {"GPU", 0, 0, 0, 0}, {"ANE", 7, 0.875, 1, 0.5}};
  report.segments = 3;
  EXPECT_TRUE(unmet(report, "ane>=87.5%, segments<=3 ,gpu==0%,errors==0").empty());
  const auto lines = unmet(report, "ane>=95%,segments<=1");
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0], "ane is 87.5 %, >= 95 % is required: 7.5 % short");
  EXPECT_EQ(lines[1], "segments is 3, <= 1 is required: 2 over");
}

TEST(CheckRequire, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"", " ", "ane", "ane>=", "ane>=x%", "npu>=5", "segments<=1%", "ane>=95%,", ",", "ane>=nan",
                           "ane>=1e999", "ane>=>5", "ane 95"}) {
    EXPECT_TRUE(test::error_of([&] { unmet({}, text); }).starts_with("[invalid argument]")) << text;
  }
}

TEST(CheckOptions, AreRefusedByName) {
  const Made model("tensor<fp16, [1, 4]> x", op("tensor<fp16, [1, 4]>", "relu(x = x)"));
  const auto with = [&](const char* chip, const char* os) {
    CheckOptions options;
    options.chip = chip;
    options.os = os;
    return test::error_of([&] { check(model.path(), options); });
  };
  for (const char* chip : {"", "M9", "A", "M4 Nano", "proM4", "\xff\xfe", "Ultra"})
    EXPECT_NE(with(chip, "").find("[invalid argument] no chip"), std::string::npos) << chip;
  for (const char* os : {"Windows", "macOS", "iOS -3", "iOS 99999999999999999999", "iOS 18.", "iOS 18.2.1x", "15"})
    EXPECT_NE(with("M4", os).find("[invalid argument] no system"), std::string::npos) << os;
  EXPECT_EQ(with("a17 pro", "iPadOS 18.2"), "");
  CheckOptions options;
  options.function = "nosuch";
  EXPECT_NE(test::error_of([&] { check(model.path(), options); }).find("no function 'nosuch'; there are: 'main'"),
            std::string::npos);
}

TEST(CheckFiles, WithoutAProgramAreRefused) {
  EXPECT_NE(test::error_of([] { check(test::data_file("classic/forest.safetensors")); }).find("[unsupported]"),
            std::string::npos);
  EXPECT_NE(test::error_of([] { check("nosuch.mlpackage"); }).find("nosuch.mlpackage"), std::string::npos);
}

TEST(CheckJson, HasEveryOpAndIsValid) {
  const CheckReport report = check(test::data_file("classic/network_then_forest.mlmodel"));
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json["kind"], "check");
  EXPECT_EQ(json["ops"].size(), report.ops.size());
  EXPECT_EQ(json["target"]["chip"], "M4");
  double share = 0;
  for (const auto& unit : json["summary"]["units"]) share += unit["share"].get<double>();
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_NE(to_text(report, 1).find("Predicted for M4 under macOS 15"), std::string::npos);
}

}  // namespace
}  // namespace tl
