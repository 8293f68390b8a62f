#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tensorlogic/model.hpp"

namespace tl {

// Where the ops of a Core ML model would run on Apple hardware: a prediction from published measurements and rules, without a
// Mac.
struct CheckOptions {
  std::string chip = "M4";  // A12 ... A19, M1 ... M5
  std::string os;           // "macOS 15", "iOS 18.2"; empty: macOS 15 or iOS 18, as the chip has it
  ComputeUnits compute_units = ComputeUnits::all;
  std::string function;             // empty: the default function
  bool infrequent_reshape = false;  // loaded with the hint reshapeFrequency = infrequent
};

enum class Severity { error, warning, note };
std::string_view to_string(Severity severity) noexcept;

struct CheckOp {
  std::string name;  // the first output's
  std::string type;  // "conv"
  std::string function;
  std::string output;                  // type of the first output: "tensor<fp16, [1, 64, 32, 32]>"
  std::vector<std::string> supported;  // of "CPU", "GPU", "ANE", within the compute units
  std::string unit;                    // the one predicted
  std::string reason;                  // why it is not on the Neural Engine, or why it is not taken there although it could
  std::string rule;                    // the rule's identifier; empty: none applies
  std::string source, confidence, measured;  // of the rule
  std::string advice;
  double cpu_ms = 0, gpu_ms = 0, ane_ms = 0;  // estimates, on the chip that the cost model was fitted to
  double cost = 0;                            // share of the estimated time on the predicted units, 0 to 1
  std::vector<int> inputs;                    // indices of the ops that it reads
  std::vector<std::string> scope;             // groups around it, outermost first, as names tell them
};

struct CheckFinding {
  std::string id;
  Severity severity = Severity::note;
  std::string title;
  std::string details;
  std::string advice;
  std::string source, confidence;
  std::vector<int> ops;  // indices
};

struct CheckUnit {
  std::string unit;
  int ops = 0;
  double share = 0;       // of the ops, 0 to 1
  double ms = 0;          // estimated
  double time_share = 0;  // of the estimated time of all ops
};

// What would change if one rule did not stand in the way.
struct CheckChange {
  std::string rule;
  std::string advice;
  int ops = 0;           // that it keeps off the Neural Engine
  double ane_share = 0;  // of the ops, afterwards
  int segments = 0;      // afterwards
  double saved_ms = 0;   // of the estimated time
};

struct CheckReport {
  std::string path, name, model_type, chip, os;
  std::string cost_chip;  // the chip that the estimates were fitted to
  ComputeUnits compute_units = ComputeUnits::all;
  std::uint64_t weight_bytes = 0;
  std::vector<CheckOp> ops;  // those that run with a prediction, in order; ops of nested blocks after the op that has them
  std::vector<CheckFinding> findings;  // worst first
  std::vector<CheckUnit> units;        // CPU, GPU, ANE
  int segments = 0;                    // runs of ops on the Neural Engine, each with a launch
  double total_ms = 0;                 // estimated: ops, launches, changes of unit
  std::vector<CheckChange> changes;    // those that help most, three at most
};

// Reads the program only: models with ops or layers that cannot be run here are checked too.
// Throws Error{invalid_argument} for a chip, system or function that is unknown, Error{unsupported} for files without a
// program.
CheckReport check(const std::string& path, const CheckOptions& options = {});

// {"kind": "check", "table": "ops", ...}: the fields above by name; "summary" has units, segments, total_ms, changes.
std::string to_json(const CheckReport& report);
// For a terminal: summary, changes, findings, and `rows` ops at most (0: all), those off the Neural Engine first when it asks
// for less.
std::string to_text(const CheckReport& report, std::size_t rows = 0);
// A self-contained page.
std::string to_html(const CheckReport& report);

// "ane>=95%,segments<=1": comma-separated comparisons (>= <= > < ==) of ane, gpu, cpu (per cent of the ops), ane_time,
// gpu_time, cpu_time (per cent of the estimated time), segments, ops, errors, warnings, total_ms. Returns a line for each that
// fails ("ane is 87.5 %, 95 % is required: 7.5 % short"). Throws Error{invalid_argument} that says what is wrong with the text.
std::vector<std::string> unmet(const CheckReport& report, std::string_view requirements);

}  // namespace tl
