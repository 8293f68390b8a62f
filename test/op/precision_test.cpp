#include "op/precision.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "op/samples.hpp"

namespace {

TEST(OpPrecision, StaysWithinTheBoundsOfItsFamily) {
  const auto rows = tl::test::measure_precision(12, 11);
  // The table of doc/ops.md has them all.
  std::ifstream file(std::string(TL_SOURCE_DIR) + "/doc/ops.md");
  std::string table{std::istreambuf_iterator<char>(file), {}};
  table.erase(0, table.find("## How exact"));
  for (const auto& row : rows) {
    EXPECT_LE(row.units, row.bound) << row.op << " (" << row.family << ") in fp16";
    EXPECT_LE(row.norm_error, 1e-5) << row.op << " in fp32";
    if (row.family == "exact") continue;  // of some, results are text or dictionaries
    EXPECT_GT(row.values, 0U) << row.op;
    EXPECT_NE(table.find("\n| " + row.op + " | " + row.family + " |"), std::string::npos) << row.op;
  }
  // No op is left out but those of a program, and those that draw random numbers.
  for (const tl::ir::OpDef* def : tl::ir::all_ops()) {
    const std::string op(def->name);
    const auto& apart = tl::test::program_ops();
    if (!def->pure || std::find(apart.begin(), apart.end(), op) != apart.end()) continue;
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.op == op; })) << op;
  }
}

TEST(OpPrecision, OfLargeShapes) {
  for (const auto& row : tl::test::measure_large_precision(11)) {
    EXPECT_LE(row.units, row.bound) << row.op << " in fp16";
    EXPECT_LE(row.norm_error, 1e-5) << row.op << " in fp32";
    EXPECT_GT(row.values, 0U) << row.op;
  }
}

}  // namespace
