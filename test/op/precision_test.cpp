#include "op/precision.hpp"

#include <gtest/gtest.h>

namespace {

TEST(OpPrecision, StaysWithinTheBoundsOfItsFamily) {
  const auto rows = tl::test::measure_precision(12, 11);
  EXPECT_GT(rows.size(), 60U);
  for (const auto& row : rows) {
    EXPECT_LE(row.units, row.bound) << row.op << " (" << row.family << ") in fp16";
    EXPECT_LE(row.norm_error, 1e-5) << row.op << " in fp32";
    EXPECT_GT(row.values, 0U) << row.op;
  }
}

}  // namespace
