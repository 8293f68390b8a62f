// Findings whose limits stand in published rules: 1 GB (coremltools' guide to chunking), 2 GiB a weight file (L1), states in
// multiples of 32 (K3), 128 enumerated shapes (S1, S2), scales per block (Q1), and what is said of layers nobody knows.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "apple/made.hpp"
#include "format/format.hpp"

namespace tl {
namespace {

using namespace test;

// A chain of linear layers, fp16, from `widths[0]` to the last width; weights in a file with a hole, which takes no space.
class Chain {
 public:
  explicit Chain(const std::vector<std::int64_t>& widths) {
    std::string body, head;
    std::vector<std::uint64_t> bytes;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      const std::string shape = "[" + std::to_string(widths[i + 1]) + ", " + std::to_string(widths[i]) + "]";
      bytes.push_back(static_cast<std::uint64_t>(widths[i] * widths[i + 1]) * 2);
      const std::string name = "w" + std::to_string(i);
      body += "            tensor<fp16, " + shape + "> " + name + " = const()[name = string(\"" + name +
              "\"), val = tensor<fp16, " + shape +
              ">(BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), offset = uint64(" + std::to_string(64 * (i + 1)) +
              ")))];\n";
      const std::string out = i + 2 == widths.size() ? "out" : "l" + std::to_string(i);
      body += "            tensor<fp16, [1, " + std::to_string(widths[i + 1]) + "]> " + out + " = linear(weight = " + name +
              ", x = " + (i == 0 ? "x" : "l" + std::to_string(i - 1)) + ")[name = string(\"" + out + "\")];\n";
    }
    made_ = std::make_unique<Made>("tensor<fp16, [1, " + std::to_string(widths[0]) + "]> x", body);
    // The header of a weight file and a row for each blob; their data share what follows.
    std::string file(64, '\0');
    const auto put = [&](std::size_t at, auto value) { std::memcpy(file.data() + at, &value, sizeof(value)); };
    put(0, static_cast<std::uint32_t>(bytes.size()));
    put(4, std::uint32_t{2});
    std::uint64_t offset = 64 * (1 + bytes.size());
    for (const std::uint64_t size : bytes) {
      const std::size_t at = file.size();
      file.resize(at + 64);
      put(at, std::uint32_t{0xDEADBEEF});
      put(at + 4, std::uint32_t{1});  // fp16
      put(at + 8, size);
      put(at + 16, offset);
      offset += (size + 63) / 64 * 64;
    }
    std::filesystem::resize_file(made_->scratch().put("m.mlmodelc/weights/weight.bin", file), offset);
  }
  CheckReport check() const { return made_->check(); }

 private:
  std::unique_ptr<Made> made_;
};

TEST(CheckFindings, OverAGigabyteSaysWhereToCut) {
  // Six weights of 200 MB; eight numbers pass between the halves.
  const CheckReport report = Chain({10000, 10000, 10000, 10000, 8, 10000, 10000, 10000, 10000}).check();
  const CheckFinding* found = finding(report, "over_1gb");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->severity, Severity::warning);
  EXPECT_TRUE(found->details.starts_with("1.20 GB")) << found->details;
  EXPECT_NE(found->details.find("cut after 'l3': 0.60 GB before it, 16 bytes cross"), std::string::npos) << found->details;
  ASSERT_EQ(found->ops.size(), 1);
  EXPECT_EQ(report.ops[static_cast<std::size_t>(found->ops[0])].name, "l3");
  EXPECT_EQ(finding(report, "over_2gb"), nullptr);
  EXPECT_TRUE(takes(report, "ANE"));
}

TEST(CheckFindings, AGigabyteIsNotOverOne) {
  EXPECT_EQ(finding(Chain({10000, 10000, 10000, 10000, 10000, 10000}).check(), "over_1gb"), nullptr);
}

TEST(CheckFindings, OverTwoGibibytesLeaveTheNeuralEngine) {
  const CheckReport report = Chain(std::vector<std::int64_t>(13, 10000)).check();  // 2.4 GB
  const CheckFinding* found = finding(report, "over_2gb");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->severity, Severity::error);
  EXPECT_EQ(found->ops.size(), 2);  // three parts of at most 1 GB
  EXPECT_EQ(finding(report, "over_1gb"), nullptr);
  EXPECT_FALSE(takes(report, "ANE"));
  EXPECT_EQ(report.ops.back().rule, "L1");
}

TEST(CheckFindings, StatesInMultiplesOf32) {
  const auto with = [](int width) {
    const std::string type = "tensor<fp16, [1, " + std::to_string(width) + "]>";
    const Made model("state<" + type + "> cache, " + type + " x",
                     "            " + type + " seen = read_state(input = cache)[name = string(\"seen\")];\n" +
                         op(type, "add(x = seen, y = x)"),
                     "ios18");
    return model.check();
  };
  const CheckReport odd = with(80);
  ASSERT_NE(finding(odd, "state_width"), nullptr);
  EXPECT_EQ(finding(odd, "state_width")->severity, Severity::error);
  EXPECT_EQ(finding(odd, "state_width")->details, "'cache' (80 wide)");
  EXPECT_EQ(finding(with(96), "state_width"), nullptr);
}

// A model whose inputs list so many shapes each.
CheckReport listing(const std::vector<std::size_t>& counts) {
  std::string inputs;
  for (std::size_t i = 0; i < counts.size(); ++i) inputs += i == 0 ? "tensor<fp16, [1, ?]> x" : ", tensor<fp16, [1, ?]> y";
  const Made made(inputs, op("tensor<fp16, [1, ?]>", counts.size() == 1 ? "relu(x = x)" : "add(x = x, y = y)"));
  ir::Model model = format::read_model(made.path());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    auto& array = std::get<ArrayFeature>(model.info.interfaces[0].inputs[i].kind);
    array.shape = {1, 1};
    for (std::size_t k = 1; k <= counts[i]; ++k) array.enumerated.push_back({1, static_cast<std::int64_t>(k)});
  }
  ArrayFeature result;
  result.dtype = DType::f16;
  Feature out;
  out.name = "out";
  out.kind = result;
  model.info.interfaces[0].outputs = {out};
  format::write_mlpackage(model, made.scratch() / "listed.mlpackage");
  CheckOptions options;
  options.compute_units = ComputeUnits::cpu_and_neural_engine;
  return check(made.scratch() / "listed.mlpackage", options);
}

TEST(CheckFindings, EnumeratedShapesStayUpTo128) {
  const CheckReport most = listing({128});
  ASSERT_NE(finding(most, "enumerated"), nullptr);
  EXPECT_EQ(finding(most, "enumerated")->severity, Severity::note);
  EXPECT_EQ(finding(most, "enumerated_many"), nullptr);
  EXPECT_EQ(finding(most, "ranged"), nullptr);
  EXPECT_TRUE(takes(most, "ANE"));
  const CheckReport more = listing({129});
  ASSERT_NE(finding(more, "enumerated_many"), nullptr);
  EXPECT_EQ(finding(more, "enumerated_many")->severity, Severity::warning);
  EXPECT_EQ(finding(more, "enumerated"), nullptr);
  EXPECT_EQ(finding(most, "enumerated_inputs"), nullptr);
  EXPECT_NE(finding(listing({3, 3}), "enumerated_inputs"), nullptr);
}

TEST(CheckRules, ScalesPerBlockLeaveTheNeuralEngine) {
  const auto with = [](int blocks) {
    std::string scales, rows;
    for (int k = 0; k < 64; ++k) rows += (k == 0 ? "[" : ", [") + std::string("1, 2, 3, 4, 5, 6, 7, 0") + "]";
    for (int k = 0; k < 64; ++k) {
      scales += k == 0 ? "[" : ", [";
      for (int b = 0; b < blocks; ++b) scales += b == 0 ? "0x1p-3" : ", 0x1p-3";
      scales += "]";
    }
    const std::string scale = "tensor<fp16, [64, " + std::to_string(blocks) + "]>";
    const Made model("tensor<fp16, [1, 8]> x",
                     "            tensor<fp16, [64, 8]> w = constexpr_blockwise_shift_scale(data = tensor<int8, [64, 8]>([" +
                         rows + "]), scale = " + scale + "([" + scales + "]))[name = string(\"w\")];\n" +
                         op("tensor<fp16, [1, 64]>", "linear(weight = w, x = x)"),
                     "ios18");
    return model.check();
  };
  const CheckReport blocks = with(4);
  EXPECT_EQ(blocks.ops.back().rule, "Q1");
  EXPECT_NE(blocks.ops.back().reason.find("4 blocks"), std::string::npos);
  EXPECT_FALSE(takes(blocks, "ANE"));
  ASSERT_NE(finding(blocks, "Q1"), nullptr);
  EXPECT_TRUE(takes(with(1), "ANE"));  // one scale per output channel
}

}  // namespace
}  // namespace tl
