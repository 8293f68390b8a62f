#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace tl {

// A pool that splits loops. `parallel` may be called from many threads at once; nested calls run in the caller.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // the caller counts as one; 1 means no workers
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept { return threads_; }
  // Calls body(i) for i in [0, count), each once, in any order and thread; returns when all are done. `body` must not throw.
  void parallel(std::size_t count, const std::function<void(std::size_t)>& body) noexcept;

 private:
  struct Impl;
  int threads_;
  std::unique_ptr<Impl> impl_;
};

// Threads to use when none are asked for: the knob `threads`, else the cores this process may run on.
int default_threads();

}  // namespace tl
