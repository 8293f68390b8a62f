#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tensorlogic/model.hpp"

namespace {

using namespace tl;

const std::string models = std::string(TL_SOURCE_DIR) + "/models/";

Tensor frames(std::int64_t count) {
  Tensor values(DType::f32, {count, 1024});
  auto out = values.mutable_values<float>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i % 97) / 97.0F - 0.5F;
  return values;
}

// One model, many threads, several shapes at once: the same bits as alone, with one thread or two.
TEST(Threads, PredictTheSameBitsTogetherAndAlone) {
  const std::string path = models + "crepe_tiny.mlpackage";
  LoadOptions one;
  one.threads = 1;
  LoadOptions two;
  two.threads = 2;
  const Model alone = Model::load(path, one);
  const Model shared = Model::load(path, two);
  std::vector<Tensor> want;
  for (std::int64_t n = 1; n <= 3; ++n) want.push_back(alone.predict({{"frames", frames(n)}}).at("probabilities").tensor());
  std::atomic<int> different{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 3; ++round) {
        const std::int64_t n = (t + round) % 3 + 1;
        const Tensor got = shared.predict({{"frames", frames(n)}}).at("probabilities").tensor();
        if (!got.identical(want[static_cast<std::size_t>(n - 1)])) ++different;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(different, 0);
}

}  // namespace
