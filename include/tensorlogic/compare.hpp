#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensorlogic/model.hpp"

namespace tl {

struct CompareOptions {
  std::string function;             // empty: the default function
  std::vector<NamedValues> inputs;  // one run each, in this order on one state; inputs that are missing are made up
  int samples = 1;                  // runs on made-up inputs when none are given
  std::uint64_t seed = 1;
  std::optional<double> target_psnr;  // decibels; 40 when neither target is given
  std::optional<double> target_cosine;
  // A float32 model is run as coremltools would convert it to float16; "own" leaves it as it is, "fp16" converts what is
  // float32 in a mixed model too. Empty: the former when the model has no float16 at all.
  std::string precision;
  bool search = true;          // look for the ops to keep in float32 when the target is missed
  double search_seconds = 60;  // after which the set found so far stands
  std::string fix;             // where to write the model with these ops in float32 (.mlpackage); empty: nowhere
  int threads = 0;
  std::string device;  // "reference": plain loops for all ops
  std::function<void(std::string_view)> progress;
};

// How far numbers are from their reference. Decibels are infinite where nothing differs; where a number is infinity or NaN and
// its reference is finite (`broken`) they are minus infinity, and `cosine` is 0.
struct Accuracy {
  std::int64_t count = 0;
  std::int64_t equal = 0;
  std::int64_t broken = 0;
  double snr = 0;   // 10 log10(sum reference^2 / sum difference^2)
  double psnr = 0;  // 10 log10(max reference^2 / mean difference^2)
  double cosine = 0;
  double max_error = 0;  // largest |difference|
};

struct ComparedOutput {
  std::string name;
  std::string type;
  Accuracy accuracy;
  bool passed = false;
};

// One op over all runs, results of several outputs taken together.
struct ComparedOp {
  std::string op;  // its name in the model
  std::string type;
  std::string output;                   // type of the first result
  std::string reference;                // the op of the other model that it was held against, when its name differs
  std::string scope;                    // module or source line, where the model carries it
  std::int64_t runs = 0;                // times it ran
  Accuracy total;                       // its results against those of the reference run
  Accuracy added;                       // against the reference op on this op's own inputs: what it adds
  Accuracy inherited;                   // the reference op on this op's own inputs against the reference run: what it passes on
  std::optional<double> needed_snr;     // what `added` must reach for the outputs to meet the target; absent: no matter
  std::optional<double> amplification;  // decibels by which errors of its inputs grow here
  std::int64_t overflowed = 0;          // infinite here, finite in the reference op on the same inputs
  std::int64_t not_a_number = 0;
  std::int64_t underflowed = 0;    // zero here, not zero there
  std::int64_t beyond_fp16 = 0;    // |v| > 65504 in the reference run
  std::int64_t beyond_engine = 0;  // |v| > 32752, where matrix products overflow on the Neural Engine
  double largest = 0;              // |v| in the reference run, infinities left out
  bool diverged = false;           // control flow went another way than in the reference run
};

// What a weight costs that differs from that of the other model.
struct ComparedWeight {
  std::string op;
  std::string param;
  std::string storage;      // type of the compressed form, else of the values
  std::uint64_t bytes = 0;  // as stored
  Accuracy weight;          // the numbers themselves
  Accuracy result;          // the op's result with this weight against the other's, on the same inputs
};

struct CompareReport {
  std::string model;
  std::string other;  // what it was compared with: empty means itself in float32
  std::string function;
  std::string precision;  // of the run that was judged
  int runs = 0;
  bool made_up_inputs = false;
  double target_psnr = 0;  // 0: none
  double target_cosine = 0;
  bool passed = false;
  std::vector<ComparedOutput> outputs;
  std::vector<ComparedOp> ops;          // in the order in which they run
  std::vector<ComparedWeight> weights;  // the most costly first

  std::string first_op;           // the first that breaks; empty when the target is met
  std::string reason;             // why, in a sentence
  std::string amplifier;          // the op that enlarges the error most, where one does by 10 decibels or more
  bool float32_breaks = false;    // the reference run gives NaN itself: no choice of precision repairs that
  std::vector<std::string> keep;  // the ops to keep in float32
  bool keep_verified = false;     // the model with them in float32 met the target when it ran
  bool keep_minimal = false;      // and missed it without any single one of them
  int search_runs = 0;
  std::vector<ComparedOutput> kept_outputs;   // with them in float32
  std::string op_selector;                    // Python, for coremltools' FP16ComputePrecision
  std::string fixed;                          // the file that was written
  std::vector<ComparedOutput> fixed_outputs;  // the file's predictions against the float32 run
  std::vector<std::string> notes;
};

// Runs a model in its own precision and in float32 side by side, op by op.
// Throws Error{unsupported} that names an op which is not run here.
CompareReport compare(const std::string& model, const CompareOptions& options = {});
// Runs a model beside another one, or beside tensors (.npz, .safetensors, ...) that are named as its values are.
CompareReport compare(const std::string& model, const std::string& other, const CompareOptions& options = {});

std::string to_json(const CompareReport& report);
// `all_ops`: every op rather than the worst.
std::string to_text(const CompareReport& report, bool all_ops = false);
// A self-contained page; the model is read again for its graph.
std::string to_html(const CompareReport& report);

}  // namespace tl
