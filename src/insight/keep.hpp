#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "insight/lockstep.hpp"

namespace tl::insight {

struct Target {
  std::optional<double> psnr;  // decibels
  std::optional<double> cosine;
  bool met(const Distance& output) const;
  // The signal-to-noise ratio in decibels that an output of this kind needs for it.
  double needed(const Distance& output) const;
};

// What an op must deliver for the outputs to meet the target, found by walking from the outputs to the inputs.
struct Need {
  double snr = 0;            // decibels, of its results
  double amplification = 0;  // by how many decibels its inputs must be better than its results
};
using Needs = std::unordered_map<const ir::Op*, Need>;

struct FoundKeep {
  std::vector<const ir::Op*> ops;  // in the order of the program; casts between floats are not listed
  std::vector<Distance> outputs;   // of the run with them
  bool verified = false;           // that run met the target
  int runs = 0;                    // of the whole model
  bool complete = true;            // false: the time ran out before every op was tried
};

struct KeepSearch {
  const ir::Function& function;
  const Records& records;
  const std::vector<Distance>& outputs;  // parallel to the function's outputs
  Target target;
  // Runs the model with these ops in float32 on all inputs; the distances of its outputs.
  std::function<std::vector<Distance>(const OpSet&)> run;
  std::function<void(const std::string&)> progress;
  double max_seconds = 60;

  // Ops that matter, with the accuracy that they must keep when each may lose `margin` decibels less than the target.
  Needs needs(double margin) const;
  // The ops that lose more than `needs` allows, and those that read a value which float16 cannot hold well enough.
  OpSet candidates(const Needs& needs) const;
  FoundKeep find() const;
};

}  // namespace tl::insight
