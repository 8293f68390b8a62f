#include "base/thread_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace {

using tl::ThreadPool;

TEST(ThreadPool, RunsEachOnceForManyCallers) {
  ThreadPool pool(4);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        std::vector<int> runs(37, 0);
        std::vector<int> workers(4, 0);  // calls of one worker never overlap, so these need no lock
        pool.parallel(runs.size(), [&](std::size_t i, std::size_t worker) {
          ++runs[i];
          ++workers[worker];
        });
        const bool once = std::all_of(runs.begin(), runs.end(), [](int n) { return n == 1; });
        if (!once || std::accumulate(workers.begin(), workers.end(), 0) != 37) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(2);
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> sum{0};
    pool.parallel(100, [&](std::size_t i, std::size_t) { sum += static_cast<int>(i); });
    EXPECT_EQ(sum, 4950);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST(ThreadPool, NestedLoopsRunInTheCaller) {
  ThreadPool pool(2);
  std::atomic<int> count{0};
  pool.parallel(4, [&](std::size_t, std::size_t) { pool.parallel(5, [&](std::size_t, std::size_t) { ++count; }); });
  EXPECT_EQ(count, 20);
}

}  // namespace
