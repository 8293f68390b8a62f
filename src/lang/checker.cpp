#include <algorithm>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

using Names = std::set<std::string>;

// Which names and calls of a script lead nowhere. Order of execution is not followed: a name that is set anywhere counts.
class Checker {
 public:
  Checker(const Script& script, const Interpreter::Impl& session) {
    for (const auto& [name, value] : session.globals) globals_.insert(name);
    for (const auto& [name, fn] : session.functions) functions_[name] = fn.get();
    for (const auto& [name, decl] : session.structs) structs_.insert(name);
    for (const auto& [name, members] : session.knowledge.entities) {
      types_.insert(name);
      constants_.insert(members.begin(), members.end());
    }
    for (const auto& [name, relation] : session.knowledge.relations) relations_[name] = relation.arity;
    if (!session.frames.empty()) {
      for (const Scope& scope : session.frames.back().scopes) {
        for (const auto& [name, value] : scope.variables) globals_.insert(name);
      }
    }
    for (const StmtPtr& stmt : script.statements) imports_ = imports_ || stmt->kind == StmtKind::import;
    declare(script.statements);
    collect(script.statements, globals_);
    for (const StmtPtr& stmt : script.statements) statement(*stmt, globals_);
  }

  std::vector<Diagnostic> errors;

 private:
  void report(const Place& place, std::string message) {
    if (errors.size() < 50 && !imports_) errors.push_back(diagnose(place, message));
  }

  void declare(const Block& block) {
    for (const StmtPtr& stmt : block) {
      switch (stmt->kind) {
        case StmtKind::function: functions_[stmt->text] = stmt->fn.get(); break;
        case StmtKind::structure: structs_.insert(stmt->text); break;
        case StmtKind::entity:
          types_.insert(stmt->text);
          constants_.insert(stmt->names.begin(), stmt->names.end());
          break;
        case StmtKind::relation: relations_[stmt->text] = stmt->params.size(); break;
        case StmtKind::rule: relations_.try_emplace(stmt->atoms[0].relation, stmt->atoms[0].terms.size()); break;
        case StmtKind::embedding:
        case StmtKind::python: globals_.insert(stmt->kind == StmtKind::embedding ? stmt->text : stmt->names[0]); break;
        default: break;
      }
      declare(stmt->body);
      declare(stmt->other);
    }
    for (const StmtPtr& stmt : block) facts(*stmt);
  }

  // The constants of facts are names of entities from then on.
  void facts(const Stmt& stmt) {
    if (stmt.kind != StmtKind::expression || stmt.exprs[0]->kind != ExprKind::call || !relations_.contains(stmt.exprs[0]->text))
      return;
    for (const ExprPtr& term : stmt.exprs[0]->kids) {
      if (term->kind == ExprKind::name) constants_.insert(term->text);
    }
  }

  // Names that the statements set, inner blocks included.
  void collect(const Block& block, Names& names) {
    for (const StmtPtr& stmt : block) {
      if (stmt->kind == StmtKind::let || stmt->kind == StmtKind::tensor || stmt->kind == StmtKind::for_)
        names.insert(stmt->text);
      if (stmt->kind == StmtKind::assign) {
        const Expr* target = stmt->exprs[0].get();
        if (target->kind == ExprKind::name) names.insert(target->text);
      }
      if (stmt->learn) collect(stmt->learn->body, names);
      if (stmt->kind == StmtKind::main || stmt->kind == StmtKind::test || stmt->kind == StmtKind::bench) continue;
      collect(stmt->body, names);
      collect(stmt->other, names);
    }
  }

  void block(const Block& statements, const Names& outer) {
    for (const StmtPtr& stmt : statements) statement(*stmt, outer);
  }

  void function(const FnDecl& fn) {
    Names names = globals_;
    for (const ParamDecl& param : fn.params) {
      names.insert(param.name);
      if (param.type) type(*param.type, true);
    }
    collect(fn.body, names);
    block(fn.body, names);
  }

  void type(const TypeSpec& spec, bool generic) {
    if (spec.has_dims) {
      if (!dtype_of_type(spec.name) && spec.name != "Tensor" && spec.name != "tensor")
        report(spec.place, "unknown element type '" + spec.name + "'");
      return;
    }
    static const Names plain = {"int",    "float",   "bool",      "string",   "void",      "entity",  "concept",
                                "Tensor", "Self",    "IntVec",    "FloatVec", "StringVec", "BoolVec", "Model",
                                "Image",  "KVCache", "Tokenizer", "TokenIds", "float64",   "f64"};
    const bool known =
        plain.contains(spec.name) || dtype_of_type(spec.name) || structs_.contains(spec.name) || types_.contains(spec.name);
    if (!known && !(generic && spec.name.size() <= 2)) report(spec.place, "unknown type '" + spec.name + "'");
  }

  void statement(const Stmt& stmt, const Names& names) {
    switch (stmt.kind) {
      case StmtKind::function: function(*stmt.fn); return;
      case StmtKind::implement:
        if (!structs_.contains(stmt.text)) report(stmt.place, "unknown struct '" + stmt.text + "'");
        for (const auto& method : stmt.methods) function(*method);
        return;
      case StmtKind::structure:
        for (const ParamDecl& field : stmt.structure->fields) {
          const auto& generics = stmt.structure->generics;
          if (std::find(generics.begin(), generics.end(), field.type->name) == generics.end()) type(*field.type, false);
        }
        return;
      case StmtKind::main:
      case StmtKind::test:
      case StmtKind::bench: {
        Names inner = names;
        collect(stmt.body, inner);
        block(stmt.body, inner);
        return;
      }
      case StmtKind::learn: {
        const LearnDecl& learn = *stmt.learn;
        block(learn.body, names);
        if (learn.objective) expression(*learn.objective, names);
        expression(*learn.epochs, names);
        return;
      }
      case StmtKind::entity:
      case StmtKind::rule:
      case StmtKind::query:
      case StmtKind::with:
      case StmtKind::embedding:
      case StmtKind::import:
      case StmtKind::python: return;
      case StmtKind::relation:
        for (const ParamDecl& param : stmt.params) {
          if (param.type) type(*param.type, false);
        }
        return;
      case StmtKind::expression:
        if (stmt.exprs[0]->kind == ExprKind::call && relations_.contains(stmt.exprs[0]->text) &&
            find_builtin(stmt.exprs[0]->text) == nullptr) {
          const std::size_t arity = relations_[stmt.exprs[0]->text];
          if (stmt.exprs[0]->kids.size() != arity) {
            report(stmt.exprs[0]->place,
                   fmt::format("{} takes {} arguments, {} are given", stmt.exprs[0]->text, arity, stmt.exprs[0]->kids.size()));
          }
          return;
        }
        break;
      default: break;
    }
    if (stmt.type) type(*stmt.type, false);
    for (std::size_t i = 0; i < stmt.exprs.size(); ++i) {
      if (stmt.kind == StmtKind::assign && i == 0 && stmt.exprs[0]->kind == ExprKind::name) continue;
      expression(*stmt.exprs[i], names);
    }
    block(stmt.body, names);
    block(stmt.other, names);
  }

  bool known(const std::string& name, const Names& names) const {
    return names.contains(name) || functions_.contains(name) || relations_.contains(name) || types_.contains(name) ||
           constants_.contains(name) || find_builtin(name) != nullptr;
  }

  void call(const Expr& expr, const Names& names) {
    const auto fn = functions_.find(expr.text);
    const bool labelled = std::any_of(expr.names.begin(), expr.names.end(), [](const std::string& n) { return !n.empty(); });
    if (names.contains(expr.text)) return;
    if (fn != functions_.end()) {
      if (fn->second->params.size() != expr.kids.size()) {
        report(expr.place,
               fmt::format("{} takes {} arguments, {} are given", expr.text, fn->second->params.size(), expr.kids.size()));
      }
      return;
    }
    const Builtin* builtin = find_builtin(expr.text);
    if (builtin == nullptr) {
      if (!relations_.contains(expr.text)) report(expr.place, unknown_function(expr.text));
      return;
    }
    const int count = static_cast<int>(expr.kids.size());
    if (!labelled && (count < builtin->min_args || (builtin->max_args >= 0 && count > builtin->max_args))) {
      report(expr.place, fmt::format("{} does not take {} arguments: {}", expr.text, count, builtin->signature));
    }
  }

  std::string unknown_function(const std::string& name) const {
    static const std::map<std::string_view, std::string_view> replaced = {
        {"load_facts", "facts are written as statements, P(a, b)"},
        {"sgd_step", "a learn block with optimizer: sgd(lr: ...) trains"},
        {"adam_step", "a learn block with optimizer: adam(lr: ...) trains"}};
    static const Names later = {
        "load_tokenizer", "tokenize",    "detokenize",  "generate",     "temperature_sample",   "top_k",    "top_p",
        "sample",         "temperature", "print_top_k", "top_p_sample", "attention_with_cache", "backward", "set_lr"};
    const auto found = replaced.find(name);
    if (found != replaced.end()) return fmt::format("there is no function '{}': {}", name, found->second);
    if (later.contains(name)) return fmt::format("not supported yet: {}", name);
    return fmt::format("unknown function '{}'", name);
  }

  void pattern(const Pattern& one, Names& names) {
    if (one.kind == Pattern::bind) names.insert(one.name);
    if (one.kind == Pattern::structure && !structs_.contains(one.name)) report(one.place, "unknown struct '" + one.name + "'");
    for (const Pattern& part : one.parts) pattern(part, names);
  }

  void expression(const Expr& expr, const Names& names) {
    if (expr.kind == ExprKind::name && !known(expr.text, names)) report(expr.place, "unknown name '" + expr.text + "'");
    if (expr.kind == ExprKind::call) call(expr, names);
    if (expr.kind == ExprKind::cast) type(*expr.type, false);
    if (expr.kind == ExprKind::structure && !structs_.contains(expr.text))
      report(expr.place, "unknown struct '" + expr.text + "'");
    if (expr.kind == ExprKind::statement) {
      Block none;
      statement(*expr.statement, names);
    }
    for (const Arm& arm : expr.arms) {
      Names inner = names;
      pattern(arm.pattern, inner);
      if (arm.guard) expression(*arm.guard, inner);
      expression(*arm.value, inner);
    }
    if (expr.kind == ExprKind::set) return;
    for (const ExprPtr& kid : expr.kids) {
      if (kid) expression(*kid, names);
    }
  }

  Names globals_, structs_, types_, constants_;
  std::map<std::string, const FnDecl*> functions_;
  std::map<std::string, std::size_t> relations_;
  bool imports_ = false;
};

}  // namespace

std::vector<Diagnostic> check_script(const Script& script, const Interpreter::Impl& session) {
  return Checker(script, session).errors;
}

}  // namespace tl::lang
