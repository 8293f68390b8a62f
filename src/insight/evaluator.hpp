#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "insight/precision.hpp"
#include "ir/op_def.hpp"
#include "plan/executable.hpp"

namespace tl {
class ThreadPool;
}

namespace tl::insight {

using Arguments = std::vector<std::vector<Value>>;  // parallel to Op::inputs

// Runs single ops of a function on given values, each result rounded to its type as on a device that fuses nothing. Large ops
// go through the kernels of the CPU, whose compiled form is kept for the next run.
class Evaluator {
 public:
  // `kernels` off: the reference runs everything.
  Evaluator(std::shared_ptr<ThreadPool> pool, bool kernels);
  ~Evaluator();

  // `arguments` are brought into the precision in which `op` reads them. `once`: other numbers stand for the op's constants, so
  // that the compiled form is not kept.
  std::vector<Value> run(const ir::Op& op, const Precision& precision, Arguments arguments, const plan::StateCells& states,
                         ir::BlockRunner run_block = {}, bool once = false);

 private:
  struct Compiled;
  using Key = std::pair<const ir::Op*, std::string>;  // and the types that it reads

  bool worthwhile(const ir::Op& op, const Arguments& arguments) const;
  std::unique_ptr<Compiled> compile(const ir::Op& op, const Arguments& arguments) const;

  std::shared_ptr<ThreadPool> pool_;
  bool kernels_;
  std::size_t held_bytes_ = 0;
  std::map<Key, std::unique_ptr<Compiled>> compiled_;
};

}  // namespace tl::insight
