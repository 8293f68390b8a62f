#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensorlogic/model.hpp"

namespace tl {

struct ProfileOptions {
  int iterations = 30;
  int warmup = 5;
  bool measure_roofline = false;  // anew, rather than from the user's cache folder
  std::string cache_folder;       // empty: $XDG_CACHE_HOME/tensorlogic, else ~/.cache/tensorlogic
};

struct ProfileStep {
  std::string op;                   // its name in the model
  std::string type;                 // "tl.conv": a MIL op, or one of the fused forms
  std::string kernel;               // "gemm_avx512"; "view" moves nothing, "reference" is the slow path
  std::string output;               // type of the first output: "fp16 [1, 64]"
  std::vector<std::string> joined;  // ops before it, by name, that the kernel computes as well
  double seconds = 0;               // median
  double flops = 0;
  double bytes = 0;                // read and written, weights included
  std::optional<double> roofline;  // the least time that the machine could need, over `seconds`; none for views
  bool layout = false;             // only brings values into another order
  std::uint64_t packed_bytes = 0;  // weights that the kernel keeps in a form of its own
  std::uint64_t live_bytes = 0;    // of planned memory that hold values while it runs
};

// What preparing the model for these shapes took: "specialize", each pass, "kernels".
struct ProfilePhase {
  std::string name;
  double seconds = 0;
  std::int64_t ops_before = 0, ops_after = 0;
};

struct Profile {
  std::string model, device;
  int threads = 0, iterations = 0;
  double predict_seconds = 0;   // median of whole predictions that are not measured inside
  double profiled_seconds = 0;  // median of those that are, taken in turns
  std::vector<ProfileStep> steps;
  std::vector<ProfilePhase> phases;
  // Of results and workspaces; of the largest workspace among them; of packed weights.
  std::uint64_t arena_bytes = 0, workspace_bytes = 0, packed_bytes = 0;
  double peak_flops = 0;                                  // per second
  std::vector<std::pair<double, double>> peak_bandwidth;  // working set in bytes, bytes per second
  std::optional<double> joules;  // of a prediction: the whole processor package, other processes included
  std::string energy_note;       // why there is no figure

  struct Trace;
  std::shared_ptr<const Trace> trace;  // of every measured run
};

// Runs predictions in turns with and without a look inside. Required inputs that `inputs` lacks are made up from their
// descriptions. Throws what `predict` throws.
Profile profile(const Model& model, const NamedValues& inputs, const ProfileOptions& options = {}, State* state = nullptr);

std::string profile_json(const Profile& profile);
// A table; `sorted`: the slowest first, `top`: this many steps only (0: all).
std::string profile_text(const Profile& profile, bool sorted = false, int top = 0);
std::string profile_html(const Profile& profile);   // a page of its own
std::string profile_trace(const Profile& profile);  // Chrome trace events, for Perfetto and chrome://tracing

}  // namespace tl
