#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "insight/evaluator.hpp"
#include "insight/statistics.hpp"

namespace tl::insight {

// Cells of zeros for the states of a function; with `single`, float32 ones stand for float16.
class States {
 public:
  States(const ir::Function& function, bool single);
  const plan::StateCells& cells() const noexcept { return cells_; }

 private:
  std::vector<std::unique_ptr<ir::StateCell>> storage_;
  plan::StateCells cells_;
};

// Runs a function op by op in the given precision. `inputs` parallel to the function's, as declared; returns its outputs in
// their declared types (float32 when the base is `single`).
std::vector<Value> run_in(const ir::Function& function, const Precision& precision, Evaluator& evaluator,
                          std::span<const Value> inputs, const States& states);

// Runs the outermost block of a function op by op, in the given precision.
class Stepper {
 public:
  Stepper(const ir::Function& function, const Precision& precision, Evaluator& evaluator, const States& states);
  ~Stepper();

  void start(std::span<const Value> inputs);
  // Drops what nothing reads any more and runs the next op that computes something; null when there is none.
  const ir::Op* next();
  // The value of a variable or constant; empty when it is not at hand.
  Value value(const ir::Var& var) const;
  // Keeps the value until it is released, whoever reads it.
  void hold(const ir::Var& var);
  void release(const ir::Var& var);
  std::vector<Value> outputs() const;  // after the last op

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What happened to an op over all runs.
struct OpRecord {
  OpCounts counts;
  bool diverged = false;  // control flow went different ways
};
using Records = std::unordered_map<const ir::Op*, OpRecord>;

struct BothOutputs {
  std::vector<Value> own, single;
};

void merge(OpCounts& sum, const OpCounts& more);
// Ops whose second evaluation changes nothing and means the same.
bool has_twin(const ir::Op& op);

// Runs a function op by op in the given precision and in float32 side by side; a value is dropped after its last reader.
// Control flow is followed on both sides while they agree.
class Lockstep {
 public:
  Lockstep(const ir::Function& function, const Precision& precision, Evaluator& evaluator);
  ~Lockstep();

  BothOutputs run(std::span<const Value> inputs, const States& own, const States& single);
  const Records& records() const noexcept { return records_; }

  // Told before each op of the outermost block: its index and their number.
  std::function<void(std::size_t, std::size_t)> progress;

 private:
  struct Impl;
  friend struct Impl;
  const ir::Function& function_;
  const Precision& precision_;
  Evaluator& evaluator_;
  Records records_;
};

}  // namespace tl::insight
