// The way through the estimates, with the figures of recorded dumps (test/data/apple/cost.json, ctx/...).
#include "apple/choice.hpp"

#include <gtest/gtest.h>

namespace tl::apple {
namespace {

// bnns, classic_cpu, gpu (not asked for), ane
constexpr Candidate conv{cpu | ane, {0.10006388175261005, 0.11509533067856016, 0, 0.004674280765523752}};
constexpr Candidate relu{cpu | ane, {0.00262144, 0.00262144, 0, 0.00262144}};
constexpr Candidate linear{cpu | ane, {0.18605159114664327, 0.21399998330265382, 0, 0.0072261680859473714}};
constexpr Candidate small_relu{cpu | ane, {0.00065536, 0.00065536, 0, 0.00065536}};
constexpr Candidate band_part{cpu, {0.001077222521825567, 0.001077222521825567, 0, 0.0005}};
constexpr Units cpu_and_ane = cpu | ane;

std::string units(const Placement& placement) {
  std::string text;
  for (const Backend backend : placement.chosen) text += unit_of(backend) == ane ? 'A' : unit_of(backend) == gpu ? 'G' : 'C';
  return text;
}

TEST(Choice, OneSmallOpDoesNotPayForTheLaunch) {
  EXPECT_EQ(units(place(std::vector{conv}, cpu_and_ane)), "C");
  EXPECT_EQ(place(std::vector{conv}, cpu_and_ane).segments, 0);
}

TEST(Choice, AnOpStaysWhenItSavesMoreThanAQuarterMillisecond) {
  // sw_conv_k24x1 and sw_conv_k17x1: the dumps select ane and bnns.
  const Candidate taller{cpu | ane, {0.26683701800696014, 0.30692088180949373, 0, 0.012464748708063338}};
  const Candidate shorter{cpu | ane, {0.18900955442159673, 0.2174022912817247, 0, 0.008829197001544865}};
  EXPECT_EQ(units(place(std::vector{taller}, cpu_and_ane)), "A");
  EXPECT_EQ(units(place(std::vector{shorter}, cpu_and_ane)), "C");
}

TEST(Choice, AChainOfConvolutionsMovesTogether) {
  // ctx/conv3x3: all on ane, and the last relu either way (the dump has it on classic_cpu; both cost the same).
  const std::vector<Candidate> ops{conv, relu, conv, relu, conv, conv, relu, conv, relu};
  const Placement placement = place(ops, cpu_and_ane);
  EXPECT_EQ(units(placement).substr(0, 8), "AAAAAAAA");
  EXPECT_EQ(placement.segments, 1);
}

TEST(Choice, AnOpThatCannotSplitsTheSegment) {
  // ctx/band_part as the authors computed it: the optimum is 0.640 ms; the dump's own choice costs 0.658.
  const std::vector<Candidate> ops{linear, small_relu, linear, small_relu, band_part, linear, small_relu, linear, small_relu};
  const Placement placement = place(ops, cpu_and_ane);
  EXPECT_NEAR(placement.total_ms, 0.640, 0.001);
}

TEST(Choice, ComputeUnitsBoundTheChoice) {
  const std::vector<Candidate> ops{conv, conv, conv, conv};
  EXPECT_EQ(units(place(ops, cpu)), "CCCC");
  EXPECT_EQ(units(place(ops, cpu_and_ane)), "AAAA");
  EXPECT_TRUE(place({}, cpu_and_ane).chosen.empty());
}

TEST(Choice, TheCpuIsAlwaysAllowed) { EXPECT_EQ(units(place(std::vector{band_part}, ane)), "C"); }

}  // namespace
}  // namespace tl::apple
