#pragma once

#include <unordered_map>
#include <vector>

#include "apple/choice.hpp"
#include "apple/rules.hpp"
#include "ir/model.hpp"
#include "tensorlogic/check.hpp"

namespace tl::insight {

// One op under examination.
struct Examined {
  const ir::Op* op = nullptr;  // of the copy whose extents are those of the default shapes
  std::vector<apple::Exclusion> exclusions;
  apple::Candidate candidate;
};

// What a check knows while it writes its report.
struct Examination {
  ir::Model model;
  const Interface* interface = nullptr;
  std::unique_ptr<ir::Function> function;  // with concrete extents where they are known
  apple::Surroundings around;
  apple::Units allowed = apple::all_units;
  std::vector<Examined> ops;  // parallel to the report's
  apple::Placement placement;
};

// Findings on the model as a whole and on its ops (findings.inc), and one per rule that keeps ops off the Neural Engine.
std::vector<CheckFinding> findings(const Examination& examination);

// Inputs with an axis that a range of extents leaves open, described. `network`: a translated one, whose types leave more open.
std::vector<std::string> ranged_inputs(const ir::Function& function, const Interface& interface, bool network);

// Extents of inputs are set to `interface`'s default shapes and carried through the ops, as far as they can be inferred. Of a
// `network` the shape arithmetic that its translation added is folded away. Returns the ops that had an open extent.
std::unordered_set<const ir::Op*> make_concrete(std::unique_ptr<ir::Function>& function, const Interface& interface,
                                                bool network);

}  // namespace tl::insight
