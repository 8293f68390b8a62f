#include "plan/memory.hpp"

#include <gtest/gtest.h>

#include <random>

namespace {

using tl::plan::Lifetime;

bool together(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }
bool overlap(const Lifetime& a, const Lifetime& b) { return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes; }

TEST(PlanMemory, NothingAliveTogetherOverlaps) {
  std::mt19937 generator(1);
  const auto pick = [&](std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(generator);
  };
  for (int round = 0; round < 50; ++round) {
    std::vector<Lifetime> buffers(pick(1, 60));
    std::size_t all = 0;
    for (Lifetime& buffer : buffers) {
      buffer.bytes = pick(1, 5000);
      buffer.first = pick(0, 20);
      buffer.last = pick(buffer.first, 20);
      all += (buffer.bytes + 63) / 64 * 64;
    }
    const std::size_t size = tl::plan::plan_memory(buffers);
    EXPECT_LE(size, all);
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_EQ(buffers[i].offset % 64, 0U);
      EXPECT_LE(buffers[i].offset + buffers[i].bytes, size);
      for (std::size_t k = 0; k < i; ++k)
        EXPECT_FALSE(together(buffers[i], buffers[k]) && overlap(buffers[i], buffers[k])) << i << " and " << k;
    }
  }
}

TEST(PlanMemory, LaterBuffersReuseTheBytesOfDeadOnes) {
  std::vector<Lifetime> buffers = {{1000, 0, 1}, {640, 1, 2}, {500, 2, 3}, {64, 0, 3}};
  EXPECT_EQ(tl::plan::plan_memory(buffers), 1024U + 640U + 64U);
  const std::vector<std::size_t> want = {0, 1024, 0, 1664};
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(buffers[i].offset, want[i]) << i;
}

}  // namespace
