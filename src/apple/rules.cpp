#include "apple/rules.hpp"

namespace tl::apple {
namespace {

constexpr auto documented = Confidence::documented, engineer = Confidence::engineer, compiler = Confidence::compiler,
               measured = Confidence::measured, folklore = Confidence::folklore;

constexpr Rule rows[] = {
#define TL_RULE(id, ops, condition, first, last, excludes, confidence, where, source, reason, advice) \
  {id, ops, condition, first, last, excludes, confidence, where, source, reason, advice},
#include "apple/rules.inc"
#undef TL_RULE
};

bool lists(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::size_t end = words.find(' ');
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(end == std::string_view::npos ? words.size() : end + 1);
  }
  return false;
}

}  // namespace

std::string_view to_string(Confidence confidence) noexcept {
  switch (confidence) {
    case documented: return "documented";
    case engineer: return "engineer";
    case compiler: return "compiler";
    case measured: return "measured";
    case folklore: return "folklore";
  }
  return "";
}

std::span<const Rule> rules() noexcept { return rows; }

std::vector<Exclusion> exclusions(const Site& site) {
  std::vector<Exclusion> result;
  for (const Rule& rule : rows) {
    if (site.generation() < rule.first || site.generation() > rule.last) continue;
    if (!rule.ops.empty() && !lists(rule.ops, site.op().type)) continue;
    if (Verdict details = rule.condition(site)) result.push_back({&rule, std::move(*details)});
  }
  return result;
}

Units supported(const std::vector<Exclusion>& excluded, const Rule* but) noexcept {
  unsigned units = all_units;
  for (const Exclusion& exclusion : excluded) {
    if (exclusion.rule != but) units &= ~unsigned{exclusion.rule->excludes};
  }
  return static_cast<Units>(units | cpu);
}

}  // namespace tl::apple
