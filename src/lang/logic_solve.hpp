#pragma once

#include <functional>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

using Bindings = std::map<std::string, std::string>;

// A term of an atom: a variable or a constant.
struct Term {
  bool variable = false;
  std::string text;
};

// Runs all rules to their fixpoint, stratum by stratum; facts of derived relations are in `derived`, those of others in the
// session.
class Deduction {
 public:
  explicit Deduction(Interpreter::Impl& session);
  const std::set<Fact>& facts(const std::string& relation) const;
  // Calls `found` with the bindings of every match of the atoms, in order, from `start` on.
  void match(const std::vector<const Atom*>& atoms, std::size_t next, Bindings bindings,
             const std::function<std::vector<Term>(const Atom&)>& terms,
             const std::function<void(const Bindings&)>& found) const;

 private:
  void apply(const Stmt& rule, std::set<Fact>& fresh) const;
  bool holds(const Expr& condition, const Bindings& bindings) const;

  Interpreter::Impl& session_;
  std::map<std::string, std::set<Fact>> all_;
};

// The terms of an atom in a rule: every identifier is a variable.
std::vector<Term> rule_terms(Interpreter::Impl& session, const Atom& atom);

}  // namespace tl::lang
