#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tl {

// How to cut: one of the three is given.
struct SplitOptions {
  std::string function;         // empty: the default function
  std::uint64_t max_bytes = 0;  // of the weights of a part: as few parts as this allows
  int parts = 0;                // that many, of about equal weights
  std::vector<std::string> at;  // cuts after these ops
  int threads = 0;
  std::function<void(std::string_view)> progress;
};

struct SplitPart {
  std::string path;
  std::string last_op;             // the cut comes after it
  std::uint64_t weight_bytes = 0;  // as stored
  std::uint64_t border_bytes = 0;  // what it hands on
  std::vector<std::string> inputs, outputs;
};

struct SplitReport {
  std::vector<SplitPart> parts;
  std::string pipeline;  // the package that runs the parts one after the other
};

// Cuts a model into packages and a pipeline of them, in `folder` (made when it is missing): NAME_1.mlpackage, ...,
// NAME_pipeline.mlpackage. Among the cuts that the options allow, those over which the fewest bytes pass. The pipeline is read
// back and run beside the model on made-up inputs; results that are not the same bits are an Error{internal}, and nothing
// stays.
SplitReport split(const std::string& model, const std::string& folder, const SplitOptions& options);

// Writes the part of a model that computes `outputs` from `inputs` (values by name; none: the model's own inputs that the
// outputs need). Throws Error{not_found, invalid_argument} that names the value.
void extract(const std::string& model, const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
             const std::string& path, const std::string& function = {});

std::string to_json(const SplitReport& report);

}  // namespace tl
