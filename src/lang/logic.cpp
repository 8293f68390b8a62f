#include "lang/logic.hpp"

#include <algorithm>
#include <cmath>

#include "lang/logic_solve.hpp"

namespace tl::lang {

namespace {

// A fact's argument: the value of a string variable, else the name itself.
std::string fact_term(Interpreter::Impl& session, const Expr& expr) {
  if (expr.kind == ExprKind::name) {
    const Datum* value = session.find(expr.text);
    if (value != nullptr && value->as<std::string>() != nullptr) return *value->as<std::string>();
    return expr.text;
  }
  if (expr.kind == ExprKind::string) return expr.text;
  return to_text(session.eval(expr));
}

void add_entity(Knowledge& knowledge, const std::string& type, const std::string& name, const Place& place) {
  const auto found = knowledge.entities.find(type);
  if (found == knowledge.entities.end()) return;
  if (std::find(found->second.begin(), found->second.end(), name) != found->second.end()) return;
  if (knowledge.closed[type]) fail_at(place, "'{}' is no {}", name, type);
  found->second.push_back(name);
}

std::vector<Term> query_terms(Interpreter::Impl& session, const Atom& atom) {
  std::vector<Term> terms;
  const auto found = session.knowledge.relations.find(atom.relation);
  for (const ExprPtr& expr : atom.terms) {
    if (expr->kind != ExprKind::name) {
      terms.push_back({false, fact_term(session, *expr)});
      continue;
    }
    const std::string& text = expr->text;
    const bool parameter =
        found != session.knowledge.relations.end() &&
        std::find(found->second.params.begin(), found->second.params.end(), text) != found->second.params.end();
    const bool variable = text.size() == 1 || text[0] == '_' || (parameter && !session.knowledge.is_entity(text));
    terms.push_back(variable ? Term{true, text} : Term{false, fact_term(session, *expr)});
  }
  return terms;
}

std::string source_text(Interpreter::Impl& session, const Atom& atom) {
  std::string text = atom.relation + "(";
  const auto terms = query_terms(session, atom);
  for (std::size_t i = 0; i < terms.size(); ++i) text += (i > 0 ? ", " : "") + terms[i].text;
  return text + ")";
}

void query(Interpreter::Impl& session, const Stmt& stmt) {
  if (stmt.text == "backward" || stmt.text == "gradient")
    fail(ErrorKind::unsupported, "not supported yet: infer {}", stmt.text);
  const Atom& asked = stmt.atoms[0];
  const auto relation = session.knowledge.relations.find(asked.relation);
  if (relation == session.knowledge.relations.end()) fail(ErrorKind::script, "unknown relation '{}'", asked.relation);
  if (relation->second.arity != asked.terms.size()) {
    fail(ErrorKind::script, "{} takes {} arguments, {} are given", asked.relation, relation->second.arity, asked.terms.size());
  }
  std::vector<std::string> variables;
  for (const Term& term : query_terms(session, asked)) {
    if (term.variable && term.text != "_" && std::find(variables.begin(), variables.end(), term.text) == variables.end())
      variables.push_back(term.text);
  }
  const Deduction deduction(session);
  std::set<std::vector<std::pair<std::size_t, std::string>>> answers;  // in the order of the entities
  std::vector<const Atom*> atoms;
  for (const Atom& atom : stmt.atoms) atoms.push_back(&atom);
  deduction.match(
      atoms, 0, {}, [&](const Atom& atom) { return query_terms(session, atom); },
      [&](const Bindings& bindings) {
        std::vector<std::pair<std::size_t, std::string>> answer;
        for (const std::string& variable : variables)
          answer.emplace_back(session.knowledge.order(bindings.at(variable)), bindings.at(variable));
        answers.insert(std::move(answer));
      });
  session.out("Query: " + source_text(session, asked) + "\n");
  if (answers.empty()) return session.out("  No solutions found\n");
  session.out(fmt::format("  Found {} solution(s)\n", answers.size()));
  std::size_t number = 0;
  for (const auto& answer : answers) {
    session.out(fmt::format("  Solution {}:{}\n", ++number, variables.empty() ? " Yes" : ""));
    for (std::size_t i = 0; i < variables.size(); ++i)
      session.out(fmt::format("    {} = {}\n", variables[i], answer[i].second));
  }
}

void embedding(Interpreter::Impl& session, const Stmt& stmt) {
  std::int64_t dimension = 0;
  std::string init = "xavier";
  for (const Setting& setting : stmt.settings) {
    if (setting.name == "dimension") {
      dimension = session.integer(session.eval(*setting.value), "the dimension");
    } else if (setting.name == "init" && setting.value->kind == ExprKind::name) {
      init = setting.value->text;
    } else if (setting.name == "init" && setting.value->kind == ExprKind::call) {
      init = setting.value->text;
    } else {
      fail_at(setting.value->place, "an embedding has no setting '{}'; it has: entities, dimension, init", setting.name);
    }
  }
  if (dimension < 1 || dimension > (1 << 24))
    fail(ErrorKind::script, "the embedding {} needs a dimension of 1 or more", stmt.text);
  std::vector<std::string> names;
  for (const std::string& name : stmt.names) {
    if (name[0] != '*') {
      names.push_back(name);
    } else if (stmt.flag) {
      for (const auto& [relation, decl] : session.knowledge.relations) names.push_back(relation);
    } else if (name == "*auto" || name == "*all") {
      names = session.knowledge.appearance;
    } else {
      const auto found = session.knowledge.entities.find(name.substr(1));
      if (found == session.knowledge.entities.end()) fail(ErrorKind::script, "unknown entity type '{}'", name.substr(1));
      names.insert(names.end(), found->second.begin(), found->second.end());
    }
  }
  const auto count = static_cast<double>(names.size());
  const double limit = init == "random" ? 0.1 : std::sqrt(6 / (count + static_cast<double>(dimension)));
  std::uniform_real_distribution<double> uniform(-limit, limit);
  std::normal_distribution<double> normal(0, std::sqrt(2 / std::max(count, 1.0)));
  static const std::set<std::string> known = {"random", "xavier", "he", "zeros", "ones"};
  if (!known.contains(init)) fail(ErrorKind::script, "unknown init '{}'; known are random, xavier, he, zeros, ones", init);
  TensorPtr table = session.ops.fill(DType::f16, {iz(names.size()), dimension}, init == "ones" ? 1 : 0);
  if (init != "ones" && init != "zeros") {
    for (f16& value : table->data.mutable_values<f16>())
      value = to_f16(init == "he" ? normal(session.random) : uniform(session.random));
  }
  table->learnable = true;
  session.declare_variable(stmt.text, table);
  session.knowledge.embeddings[stmt.text] = names;
}

const std::vector<std::string>& members(Call& c, std::size_t i) {
  const auto* type = c.args[i].as<EntityType>();
  if (type == nullptr) fail(ErrorKind::invalid_argument, "{} needs an entity type, this is {}", c.name, type_name(c.args[i]));
  return c.session.knowledge.entities[type->name];
}

}  // namespace

void add_fact(Interpreter::Impl& session, const Expr& call) {
  Knowledge& knowledge = session.knowledge;
  Relation& relation = knowledge.relations[call.text];
  if (call.kids.size() != relation.arity) {
    fail_at(call.place, "{} takes {} arguments, {} are given", call.text, relation.arity, call.kids.size());
  }
  Fact fact;
  for (std::size_t i = 0; i < call.kids.size(); ++i) {
    fact.push_back(fact_term(session, *call.kids[i]));
    if (i < relation.types.size()) add_entity(knowledge, relation.types[i], fact.back(), call.kids[i]->place);
    knowledge.note(fact.back());
  }
  relation.facts.insert(std::move(fact));
}

void run_logic(Interpreter::Impl& session, const Stmt& stmt) {
  Knowledge& knowledge = session.knowledge;
  switch (stmt.kind) {
    case StmtKind::entity: {
      auto& list = knowledge.entities[stmt.text];
      knowledge.closed[stmt.text] = stmt.flag;
      if (stmt.flag) list.clear();
      for (const std::string& name : stmt.names) {
        if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
        knowledge.note(name);
      }
      return;
    }
    case StmtKind::relation: {
      if (stmt.type) fail(ErrorKind::unsupported, "not supported yet: embed on a relation");
      Relation& relation = knowledge.relations[stmt.text];
      if (relation.arity != stmt.params.size()) relation.facts.clear();
      relation.name = stmt.text;
      relation.arity = stmt.params.size();
      relation.params.clear();
      relation.types.clear();
      for (const ParamDecl& param : stmt.params) {
        relation.params.push_back(param.name);
        relation.types.push_back(param.type ? param.type->name : "");
      }
      return;
    }
    case StmtKind::rule: {
      const Atom& head = stmt.atoms[0];
      const auto [slot, fresh] = knowledge.relations.try_emplace(head.relation);
      if (fresh) {
        slot->second.name = head.relation;
        slot->second.arity = head.terms.size();
      }
      if (slot->second.arity != head.terms.size())
        fail(ErrorKind::script, "{} takes {} arguments", head.relation, slot->second.arity);
      slot->second.derived = true;
      if (std::find(knowledge.rules.begin(), knowledge.rules.end(), &stmt) == knowledge.rules.end())
        knowledge.rules.push_back(&stmt);
      return;
    }
    case StmtKind::with: {
      session.run_block(stmt.body, nullptr);
      session.err(fmt::format("{}: {} entities\n", stmt.text, knowledge.entities[stmt.text].size()));
      return;
    }
    case StmtKind::embedding: return embedding(session, stmt);
    default: return query(session, stmt);
  }
}

Datum builtin_entity_dim(Call& c) { return iz(members(c, 0).size()); }

Datum builtin_entity_onehot(Call& c) {
  const auto& names = members(c, 0);
  const auto at = std::find(names.begin(), names.end(), c.text(1));
  if (at == names.end()) fail(ErrorKind::script, "'{}' is not among the entities", c.text(1));
  TensorPtr result = c.ops().fill(DType::f16, {iz(names.size())}, 0);
  result->data.mutable_values<f16>()[uz(at - names.begin())] = to_f16(1.0F);
  return result;
}

// One axis per argument: the members of its entity type, else all constants in the order of their appearance.
Datum builtin_relation_tensor(Call& c) {
  Knowledge& knowledge = c.session.knowledge;
  const auto found = knowledge.relations.find(c.text(0));
  if (found == knowledge.relations.end()) fail(ErrorKind::script, "unknown relation '{}'", c.text(0));
  const Relation& relation = found->second;
  std::vector<const std::vector<std::string>*> axes;
  const std::vector<std::string>* only =
      knowledge.entities.size() == 1 ? &knowledge.entities.begin()->second : &knowledge.appearance;
  for (std::size_t i = 0; i < relation.arity; ++i) {
    const auto type = i < relation.types.size() ? knowledge.entities.find(relation.types[i]) : knowledge.entities.end();
    axes.push_back(type == knowledge.entities.end() ? only : &type->second);
  }
  Shape shape;
  for (const auto* axis : axes) shape.push_back(iz(axis->size()));
  TensorPtr result = c.ops().fill(DType::f16, shape, 0);
  auto values = result->data.mutable_values<f16>();
  const Deduction deduction(c.session);
  for (const Fact& fact : deduction.facts(relation.name)) {
    std::size_t at = 0;
    bool inside = true;
    for (std::size_t i = 0; i < fact.size() && inside; ++i) {
      const auto place = std::find(axes[i]->begin(), axes[i]->end(), fact[i]);
      inside = place != axes[i]->end();
      at = at * axes[i]->size() + uz(place - axes[i]->begin());
    }
    if (inside) values[at] = to_f16(1.0F);
  }
  return result;
}

}  // namespace tl::lang
