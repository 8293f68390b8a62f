#pragma once

#include <string>
#include <vector>

#include "insight/keep.hpp"
#include "tensorlogic/compare.hpp"

namespace tl::insight {

Accuracy accuracy_of(const Distance& distance);
ComparedOp row_of(const ir::Op& op, const OpRecord& record);
std::string scope_of(const ir::Op& op);
// Throws Error{invalid_argument} for targets that make no sense.
Target target_of(const CompareOptions& options);
Evaluator evaluator_for(const CompareOptions& options);
std::vector<ComparedOutput> outputs_of(const ir::Function& function, const std::vector<Distance>& distances,
                                       const Target& target);
void add_distances(std::vector<Distance>& sums, const std::vector<Value>& values, const std::vector<Value>& reference);
bool all_passed(const std::vector<ComparedOutput>& outputs);

}  // namespace tl::insight
