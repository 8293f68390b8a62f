#include "lang/logic_solve.hpp"

#include <algorithm>

namespace tl::lang {

namespace {

std::string constant_text(Interpreter::Impl& session, const Expr& expr) {
  if (expr.kind == ExprKind::string) return expr.text;
  return to_text(session.eval(expr));
}

constexpr std::size_t max_facts = 10'000'000;

// The stratum of each relation: one above those that its rules negate, at least that of those they use.
std::map<std::string, int> strata(const std::vector<const Stmt*>& rules) {
  std::map<std::string, int> level;
  for (bool changed = true; changed;) {
    changed = false;
    for (const Stmt* rule : rules) {
      level.try_emplace(rule->atoms[0].relation, 0);
      for (std::size_t i = 1; i < rule->atoms.size(); ++i) {
        const Atom& atom = rule->atoms[i];
        if (atom.relation.empty()) continue;
        const int needed = level[atom.relation] + (atom.negated ? 1 : 0);
        int& head = level[rule->atoms[0].relation];
        if (head >= needed) continue;
        head = needed;
        changed = true;
        if (head > static_cast<int>(rules.size()) + 1) fail_at(rule->place, "a relation depends on its own negation");
      }
    }
  }
  return level;
}

}  // namespace

std::vector<Term> rule_terms(Interpreter::Impl& session, const Atom& atom) {
  std::vector<Term> terms;
  for (const ExprPtr& expr : atom.terms) {
    if (expr->kind == ExprKind::name) {
      terms.push_back({true, expr->text});
    } else {
      terms.push_back({false, constant_text(session, *expr)});
    }
  }
  return terms;
}

Deduction::Deduction(Interpreter::Impl& session) : session_(session) {
  const Knowledge& knowledge = session.knowledge;
  for (const auto& [name, relation] : knowledge.relations) all_[name] = relation.facts;
  const auto level = strata(knowledge.rules);
  int highest = 0;
  for (const auto& [name, value] : level) highest = std::max(highest, value);
  for (int stratum = 0; stratum <= highest; ++stratum) {
    for (bool changed = true; changed;) {
      changed = false;
      for (const Stmt* rule : knowledge.rules) {
        if (level.at(rule->atoms[0].relation) != stratum) continue;
        std::set<Fact> fresh;
        apply(*rule, fresh);
        auto& known = all_[rule->atoms[0].relation];
        for (const Fact& fact : fresh) changed = known.insert(fact).second || changed;
        if (known.size() > max_facts) fail_at(rule->place, "more than {} facts", max_facts);
      }
    }
  }
}

const std::set<Fact>& Deduction::facts(const std::string& relation) const {
  static const std::set<Fact> none;
  const auto found = all_.find(relation);
  return found == all_.end() ? none : found->second;
}

// A condition sees the bound variables as strings; other bare names are constants.
bool Deduction::holds(const Expr& condition, const Bindings& bindings) const {
  if (condition.kind == ExprKind::binary && (condition.text == "&&" || condition.text == "||")) {
    const bool left = holds(*condition.kids[0], bindings);
    return condition.text == "&&" ? left && holds(*condition.kids[1], bindings) : left || holds(*condition.kids[1], bindings);
  }
  if (condition.kind == ExprKind::unary && condition.text == "!") return !holds(*condition.kids[0], bindings);
  if (condition.kind != ExprKind::binary) fail_at(condition.place, "a condition compares, as in X != Y");
  const auto value = [&](const Expr& expr) -> Datum {
    if (expr.kind != ExprKind::name) {
      const Datum given = session_.eval(expr);
      return given.as<std::string>() != nullptr ? given : Datum(to_text(given));
    }
    const auto bound = bindings.find(expr.text);
    return bound != bindings.end() ? Datum(bound->second) : Datum(expr.text);
  };
  const Datum left = value(*condition.kids[0]);
  const Datum right = value(*condition.kids[1]);
  const auto number = [](const Datum& d) -> std::optional<double> {
    const std::string& text = *d.as<std::string>();
    char* end = nullptr;
    const double result = std::strtod(text.c_str(), &end);
    return end == text.c_str() || *end != '\0' ? std::nullopt : std::optional(result);
  };
  const auto a = number(left);
  const auto b = number(right);
  const Datum result = a && b ? session_.arithmetic(condition.text, *a, *b) : session_.arithmetic(condition.text, left, right);
  return session_.truth(result, condition.place);
}

void Deduction::match(const std::vector<const Atom*>& atoms, std::size_t next, Bindings bindings,
                      const std::function<std::vector<Term>(const Atom&)>& terms,
                      const std::function<void(const Bindings&)>& found) const {
  if (next == atoms.size()) return found(bindings);
  const Atom& atom = *atoms[next];
  session_.check_stack(atom.place);
  if (atom.relation.empty()) {
    if (holds(*atom.condition, bindings)) match(atoms, next + 1, std::move(bindings), terms, found);
    return;
  }
  const std::vector<Term> pattern = terms(atom);
  const std::set<Fact>& known = facts(atom.relation);
  if (!session_.knowledge.relations.contains(atom.relation) && !all_.contains(atom.relation)) {
    fail_at(atom.place, "unknown relation '{}'", atom.relation);
  }
  const auto unify = [&](const Fact& fact, Bindings& into) {
    if (fact.size() != pattern.size())
      fail_at(atom.place, "{} takes {} arguments, {} are given", atom.relation, fact.size(), pattern.size());
    for (std::size_t i = 0; i < fact.size(); ++i) {
      if (!pattern[i].variable) {
        if (pattern[i].text != fact[i]) return false;
      } else if (pattern[i].text != "_") {
        const auto [slot, fresh] = into.emplace(pattern[i].text, fact[i]);
        if (!fresh && slot->second != fact[i]) return false;
      }
    }
    return true;
  };
  bool any = false;
  for (const Fact& fact : known) {
    session_.budget->spend(1);
    Bindings extended = bindings;
    if (!unify(fact, extended)) continue;
    any = true;
    if (atom.negated) break;
    match(atoms, next + 1, std::move(extended), terms, found);
  }
  if (atom.negated && !any) match(atoms, next + 1, std::move(bindings), terms, found);
}

void Deduction::apply(const Stmt& rule, std::set<Fact>& fresh) const {
  // Conditions and negations wait until the other atoms have bound their variables.
  std::vector<const Atom*> order;
  for (std::size_t i = 1; i < rule.atoms.size(); ++i) {
    if (!rule.atoms[i].relation.empty() && !rule.atoms[i].negated) order.push_back(&rule.atoms[i]);
  }
  for (std::size_t i = 1; i < rule.atoms.size(); ++i) {
    if (rule.atoms[i].relation.empty() || rule.atoms[i].negated) order.push_back(&rule.atoms[i]);
  }
  const auto head = rule_terms(session_, rule.atoms[0]);
  const auto conclude = [&](const Bindings& bindings) {
    Fact fact;
    for (const Term& term : head) {
      if (!term.variable) {
        fact.push_back(term.text);
        continue;
      }
      const auto bound = bindings.find(term.text);
      if (bound == bindings.end()) fail_at(rule.place, "the variable {} of the head is not bound by the body", term.text);
      fact.push_back(bound->second);
    }
    fresh.insert(std::move(fact));
  };
  match(
      order, 0, {}, [&](const Atom& atom) { return rule_terms(session_, atom); }, conclude);
}

}  // namespace tl::lang
