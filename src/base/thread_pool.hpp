#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace tl {

// A pool that splits loops. `parallel` may be called from many threads at once: while the workers serve one caller, others
// run their loops alone, and so do nested calls. Workers spin for a short while (the knob `spin`) before they sleep.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // the caller counts as one; 1 means no workers
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept { return threads_; }
  // Calls body(i, worker) for i in [0, count), each once, in any order and thread; returns when all are done. `worker` is in
  // [0, threads()), and no two calls with the same one overlap. `body` must not throw.
  template <class Body>
  void parallel(std::size_t count, Body&& body) noexcept {
    using Plain = std::remove_reference_t<Body>;
    run(count, const_cast<void*>(static_cast<const void*>(&body)),
        [](void* context, std::size_t i, std::size_t worker) { (*static_cast<Plain*>(context))(i, worker); });
  }

 private:
  struct Impl;
  using Call = void (*)(void* context, std::size_t i, std::size_t worker);
  void run(std::size_t count, void* context, Call call) noexcept;

  int threads_;
  std::unique_ptr<Impl> impl_;
};

// Threads to use when none are asked for: the knob `threads`, else the cores this process may run on.
int default_threads();

}  // namespace tl
