#include "base/thread_pool.hpp"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace tl {
namespace {

thread_local bool inside_pool = false;

struct Job {
  const std::function<void(std::size_t)>* body;
  std::size_t count;
  std::atomic<std::size_t> next{0};
  std::atomic<int> helpers{0};  // workers that hold this job
};

void work(Job& job) noexcept {
  for (std::size_t i = job.next.fetch_add(1); i < job.count; i = job.next.fetch_add(1)) (*job.body)(i);
}

}  // namespace

struct ThreadPool::Impl {
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable idle;
  std::deque<Job*> jobs;
  std::vector<std::thread> workers;
  bool stop = false;

  void loop() {
    inside_pool = true;
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return stop || !jobs.empty(); });
      if (stop) return;
      Job& job = *jobs.front();
      if (job.next.load() >= job.count) {
        jobs.pop_front();
        continue;
      }
      job.helpers.fetch_add(1);
      lock.unlock();
      work(job);
      lock.lock();
      if (job.helpers.fetch_sub(1) == 1) idle.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads), impl_(std::make_unique<Impl>()) {
  for (int i = 1; i < threads_; ++i) impl_->workers.emplace_back([this] { impl_->loop(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

void ThreadPool::parallel(std::size_t count, const std::function<void(std::size_t)>& body) noexcept {
  if (threads_ == 1 || count <= 1 || inside_pool) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  Job job{&body, count};
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->jobs.push_back(&job);
  }
  impl_->wake.notify_all();
  inside_pool = true;
  work(job);
  inside_pool = false;
  std::unique_lock lock(impl_->mutex);
  for (auto it = impl_->jobs.begin(); it != impl_->jobs.end(); ++it) {
    if (*it == &job) {
      impl_->jobs.erase(it);
      break;
    }
  }
  impl_->idle.wait(lock, [&] { return job.helpers.load() == 0; });
}

}  // namespace tl
