// tl_precision [--draws N]: the table of doc/ops.md that says how exact each op is in fp16 and fp32.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "op/precision.hpp"

int main(int count, char** words) {
  int draws = 100;
  for (int i = 1; i + 1 < count; ++i) {
    if (std::strcmp(words[i], "--draws") == 0) draws = std::atoi(words[i + 1]);
  }
  fmt::print("| op | family | fp16: largest error (units of the last place) | bound | fp32: error / norm | values |\n");
  fmt::print("|---|---|---:|---:|---:|---:|\n");
  for (const auto& row : tl::test::measure_precision(draws, 1)) {
    if (row.family == "exact") continue;
    fmt::print("| {} | {} | {:.2g} | {:g} | {:.1e} | {} |\n", row.op, row.family, row.units, row.bound, row.norm_error,
               row.values);
  }
  fmt::print("\n| shape | fp16: largest error (units of the last place) | bound | fp32: error / norm | values |\n");
  fmt::print("|---|---:|---:|---:|---:|\n");
  for (const auto& row : tl::test::measure_large_precision(1))
    fmt::print("| {} | {:.2g} | {:g} | {:.1e} | {} |\n", row.op, row.units, row.bound, row.norm_error, row.values);
}
