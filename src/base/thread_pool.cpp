#include "base/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/knobs.hpp"

namespace tl {
namespace {

thread_local bool inside_pool = false;

void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr std::uint64_t open_bit = std::uint64_t{1} << 31;
constexpr std::uint64_t count_mask = open_bit - 1;
constexpr int epoch_shift = 32;

}  // namespace

// The part of a loop that one thread starts with: neighbouring indices, the same ones in every loop of that length, so that
// what a thread wrote is in its cache when it reads it next. Whoever is done takes from the others.
struct alignas(64) Share {
  std::atomic<std::size_t> next{0};
  std::size_t end = 0;
};

struct ThreadPool::Impl {
  explicit Impl(int threads) : shares(static_cast<std::size_t>(threads)) {}

  // Epoch of the job, whether it is open, and how many workers are inside. Workers enter an open job only, so that a caller
  // never waits for one that sleeps.
  alignas(64) std::atomic<std::uint64_t> gate{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  void* context = nullptr;
  Call call = nullptr;
  std::vector<Share> shares;  // per thread

  std::mutex caller;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
  std::chrono::nanoseconds spin{0};

  void work(std::size_t worker) noexcept {
    for (std::size_t k = 0; k < shares.size(); ++k) {
      Share& share = shares[(worker + k) % shares.size()];
      for (std::size_t i = share.next.fetch_add(1, std::memory_order_relaxed); i < share.end;
           i = share.next.fetch_add(1, std::memory_order_relaxed))
        call(context, i, worker);
    }
  }

  // Waits for a job newer than `seen`; false: the pool ends.
  bool wait(std::uint64_t seen) noexcept {
    const auto fresh = [&] {
      const std::uint64_t now = gate.load(std::memory_order_acquire);
      return (now >> epoch_shift) != seen && (now & open_bit) != 0;
    };
    const auto deadline = std::chrono::steady_clock::now() + spin;
    do {
      for (int i = 0; i < 64; ++i) {
        if (fresh()) return true;
        if (stop.load(std::memory_order_relaxed)) return false;
        relax();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    std::unique_lock lock(mutex);
    sleepers.fetch_add(1);
    wake.wait(lock, [&] { return stop.load() || fresh(); });
    sleepers.fetch_sub(1);
    return !stop.load();
  }

  void loop(std::size_t worker) noexcept {
    inside_pool = true;
    std::uint64_t seen = 0;
    while (wait(seen)) {
      std::uint64_t now = gate.load(std::memory_order_acquire);
      while ((now & open_bit) != 0 && !gate.compare_exchange_weak(now, now + 1, std::memory_order_acquire)) {
      }
      if ((now & open_bit) == 0) continue;
      seen = now >> epoch_shift;
      work(worker);
      gate.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads), impl_(std::make_unique<Impl>(threads_)) {
  impl_->spin = std::chrono::microseconds(knob_value(Knob::spin));
  for (int i = 1; i < threads_; ++i) {
    impl_->workers.emplace_back([impl = impl_.get(), i] { impl->loop(static_cast<std::size_t>(i)); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

void ThreadPool::run(std::size_t count, void* context, Call call) noexcept {
  Impl& impl = *impl_;
  if (threads_ == 1 || count <= 1 || inside_pool || !impl.caller.try_lock()) {
    for (std::size_t i = 0; i < count; ++i) call(context, i, 0);
    return;
  }
  const std::lock_guard serve(impl.caller, std::adopt_lock);
  impl.context = context;
  impl.call = call;
  const std::size_t shares = impl.shares.size();
  for (std::size_t w = 0; w < shares; ++w) {
    impl.shares[w].next.store(count / shares * w + std::min(w, count % shares), std::memory_order_relaxed);
    impl.shares[w].end = count / shares * (w + 1) + std::min(w + 1, count % shares);
  }
  const std::uint64_t epoch = (impl.gate.load(std::memory_order_relaxed) >> epoch_shift) + 1;
  impl.gate.store((epoch << epoch_shift) | open_bit);
  if (impl.sleepers.load() > 0) {
    // Taken so that a worker between its last look and its sleep does not miss the call.
    { const std::lock_guard lock(impl.mutex); }
    impl.wake.notify_all();
  }
  inside_pool = true;
  impl.work(0);
  inside_pool = false;
  impl.gate.fetch_and(~open_bit, std::memory_order_relaxed);
  while ((impl.gate.load(std::memory_order_acquire) & count_mask) != 0) relax();
}

}  // namespace tl
