#pragma once

#include <vector>

#include "insight/graph.hpp"
#include "plan/executable.hpp"
#include "tensorlogic/profile.hpp"

namespace tl {

// What the renderings need beside the figures.
struct Profile::Trace {
  std::shared_ptr<const plan::Executable> executable;
  std::shared_ptr<const void> model;             // keeps the session's threads and the weights alive
  std::vector<double> moments;                   // as in plan::Recorder
  std::shared_ptr<const ir::Function> original;  // names the scopes
};

namespace insight {

// The steps of a profile in sums by kernel, the largest first.
struct KernelSum {
  std::string kernel;
  int steps = 0;
  double seconds = 0, flops = 0, bytes = 0, bound = 0;
};
std::vector<KernelSum> sums_by_kernel(const Profile& profile);
double step_seconds(const Profile& profile);  // all steps together
// Where to look first, in words.
struct Advice {
  std::string severity, title, text;
};
std::vector<Advice> advice_on(const Profile& profile);

}  // namespace insight
}  // namespace tl
