#include "tensorlogic/compare.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "insight/match.hpp"
#include "insight/precision.hpp"
#include "insight/statistics.hpp"
#include "insight/subject.hpp"
#include "insight/surgery.hpp"
#include "tensorlogic/error.hpp"
#include "tensorlogic/split.hpp"

namespace {

using namespace tl;
using namespace tl::insight;

const std::string data = std::string(TL_SOURCE_DIR) + "/test/data/";
constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(Distance, IsThatOfSignalAndNoise) {
  // Squares: difference 1, reference 21, value 14, product 17, peak 16.
  const Distance apart = distance(Tensor::of<float>({3}, {1, 2, 3}), Tensor::of<float>({3}, {1, 2, 4}));
  EXPECT_NEAR(apart.snr(), 10 * std::log10(21.0), 1e-12);
  EXPECT_NEAR(apart.psnr(), 10 * std::log10(16.0 * 3), 1e-12);
  EXPECT_NEAR(apart.cosine(), 17 / std::sqrt(14.0 * 21.0), 1e-12);
  EXPECT_EQ(apart.equal, 2);
}

TEST(Distance, CountsWhatIsNoNumber) {
  const Tensor reference = Tensor::of<float>({4}, {1, -infinity, NAN, 2});
  const Distance same = distance(reference, reference);
  EXPECT_EQ(same.equal, 4);
  EXPECT_EQ(same.broken, 0);
  EXPECT_EQ(same.snr(), std::numeric_limits<double>::infinity());
  const Distance broken = distance(Tensor::of<float>({4}, {infinity, -infinity, NAN, NAN}), reference);
  EXPECT_EQ(broken.broken, 2);
  EXPECT_EQ(broken.snr(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(distance(Tensor::of<float>({1}, {1}), reference).broken, 4);  // another shape
}

TEST(Precision, SmallConstantsStayOffZeroWhenLowered) {
  const Tensor half = in_precision(Tensor::of<float>({4}, {1e-10F, -1e-10F, 0, 1}), DType::f16, true);
  const auto values = half.values<f16>();
  EXPECT_EQ(values[0].bits, 0x0001);
  EXPECT_EQ(values[1].bits, 0x8001);
  EXPECT_EQ(values[2].bits, 0x0000);
  EXPECT_EQ(values[3].bits, 0x3C00);
  EXPECT_EQ(in_precision(Tensor::of<float>({1}, {1e-10F}), DType::f16, false).values<f16>()[0].bits, 0);
}

TEST(Match, NamesWithoutWhatLoweringAppends) {
  EXPECT_EQ(plain_name("y_cast_fp16"), "y");
  EXPECT_EQ(plain_name("x_to_fp16"), "x");
  EXPECT_EQ(plain_name("_to_fp16"), "_to_fp16");
  const Subject a = load_subject(data + "compare/softmax_by_hand.mlpackage", "");
  const Subject b = load_subject(data + "compare/softmax_by_hand.mlpackage", "");
  const Matches matches = match(*a.function, *b.function);
  EXPECT_EQ(matches.size(), 4U);
  for (const auto& [mine, theirs] : matches) EXPECT_EQ(mine->label(), theirs->label());
}

TEST(Borders, AreWhereArraysPass) {
  const Subject subject = load_subject(data + "compare/softmax_by_hand.mlpackage", "");
  std::vector<std::pair<std::string, std::uint64_t>> found;
  for (const Border& border : borders(*subject.function))
    found.emplace_back(subject.function->body.ops[border.op]->label(), border.bytes);
  // 2 x 16 numbers of two bytes; the sums are two more.
  const std::vector<std::pair<std::string, std::uint64_t>> expected = {{"logits", 64}, {"exponents", 64}, {"total", 68}};
  EXPECT_EQ(found, expected);
}

TEST(Compare, NamesWhatItCannotDo) {
  CompareOptions options;
  options.function = "nosuch";
  EXPECT_THROW(compare(data + "compare/harmless.mlpackage", options), Error);
  options = {};
  options.inputs = {{{"nosuch", Tensor::scalar(1.0F)}}};
  EXPECT_THROW(compare(data + "compare/harmless.mlpackage", options), Error);
  options = {};
  options.target_cosine = 2;
  EXPECT_THROW(compare(data + "compare/harmless.mlpackage", options), Error);
  try {
    compare(data + "safetensors");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.where().find("safetensors"), std::string::npos);
  }
}

TEST(Compare, SmallStatesGoOnFromRunToRun) {
  CompareOptions options;
  options.samples = 2;
  const CompareReport report = compare(data + "models/branches.mlpackage", options);
  EXPECT_TRUE(report.passed);
  const auto row = [&](std::string_view type) {
    return std::find_if(report.ops.begin(), report.ops.end(), [&](const ComparedOp& op) { return op.type == type; });
  };
  // One branch or the other ran, twice; the second run read what the first one wrote.
  EXPECT_EQ((row("relu") != report.ops.end()) + (row("sub") != report.ops.end()), 1);
  ASSERT_NE(row("read_state"), report.ops.end());
  EXPECT_EQ(row("read_state")->runs, 2);
  EXPECT_GT(row("read_state")->largest, 0);
}

TEST(Split, KeepsAStateWhole) {
  const std::string model = data + "models/branches.mlpackage";
  const Subject subject = load_subject(model, "");
  const std::vector<Span> spans = state_spans(*subject.function);
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(spans[0].state->name, "memory");
  const auto& ops = subject.function->body.ops;
  EXPECT_EQ(ops[spans[0].first]->type, "read_state");
  for (const Border& border : borders(*subject.function))
    EXPECT_FALSE(spans[0].first <= border.op && border.op < spans[0].last);
  SplitOptions options;
  options.at = {ops[spans[0].first]->label()};
  try {
    split(model, testing::TempDir() + "tl_split", options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_NE(error.message().find("share the state 'memory'"), std::string::npos) << error.message();
  }
}

}  // namespace
