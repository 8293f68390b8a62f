#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apple/site.hpp"

namespace tl::apple {

// How sure a statement is.
enum class Confidence {
  documented,  // Apple says so in public
  engineer,    // an engineer of Apple, in an issue
  compiler,    // a message of Apple's compiler, quoted by others
  measured,    // measured by others
  folklore,    // repeated, not measured
};
std::string_view to_string(Confidence confidence) noexcept;

// The details when a condition holds ("kernel 17 x 17", may be empty); nothing when it does not.
using Verdict = std::optional<std::string>;

struct Rule {
  std::string_view id;
  std::string_view ops;  // separated by blanks; empty: all
  Verdict (*condition)(const Site&);
  int first, last;  // generations
  Units excludes;
  Confidence confidence;
  std::string_view measured;  // the chips; empty: none
  std::string_view source;
  std::string_view reason;
  std::string_view advice;
};
std::span<const Rule> rules() noexcept;

struct Exclusion {
  const Rule* rule;
  std::string details;
};
// What applies to an op, in the order of the table. What no rule excludes is taken as supported.
std::vector<Exclusion> exclusions(const Site& site);
// The units that are left; `but` is passed over (what would be without it).
Units supported(const std::vector<Exclusion>& excluded, const Rule* but = nullptr) noexcept;

// The conditions that rules.inc names.
#define TL_RULE(id, ops, condition, ...) Verdict condition(const Site& site);
#include "apple/rules.inc"
#undef TL_RULE

}  // namespace tl::apple
