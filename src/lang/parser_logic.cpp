#include <algorithm>

#include "lang/parser_impl.hpp"

namespace tl::lang {

std::size_t Parser::after_call() const {
  if (!is("(", 1) || peek(1).line_start) return 0;
  int depth = 0;
  for (std::size_t i = 1; at_ + i + 1 < tokens_.size(); ++i) {
    if (is("(", i) || is("[", i)) ++depth;
    if ((is(")", i) || is("]", i)) && --depth == 0) return i + 1;
    if (is("{", i) || is("}", i) || i > 4000) return 0;
  }
  return 0;
}

StmtPtr Parser::special_statement() {
  if (!is_name() || peek(1).line_start) return nullptr;
  const std::string& word = peek().text;
  const bool named = is_name(1);
  if (word == "tensor" && named) return tensor_statement();
  if (word == "learn" && is("{", 1)) return learn_statement();
  if (word == "entity" && named) return entity_statement();
  if (word == "relation" && named) return relation_statement();
  if (word == "embedding" && named) return embedding_statement(false);
  if (word == "relation_embedding" && named) return embedding_statement(true);
  if (word == "rule" && named) {
    take();
    return rule_statement();
  }
  if (word == "infer" && (named || is("{", 1))) return infer_statement();
  StmtPtr stmt = make(StmtKind::block);
  if (word == "with" && named) {
    take();
    stmt->kind = StmtKind::with;
    stmt->text = take().text;
    stmt->body = block("after the entity type");
    return stmt;
  }
  if ((word == "test" || word == "bench") && (named || peek(1).kind == TokenKind::string) && is("{", 2)) {
    stmt->kind = take().text == "test" ? StmtKind::test : StmtKind::bench;
    stmt->text = take().text;
    stmt->body = block("after the name");
    return stmt;
  }
  if (word == "python" && is("import", 1)) {
    take();
    take();
    stmt->kind = StmtKind::python;
    stmt->text = name("a module name");
    while (accept(".")) stmt->text += "." + name("a module name");
    stmt->names.push_back(accept("as") ? name("a name") : stmt->text);
    return stmt;
  }
  return nullptr;
}

std::vector<Setting> Parser::settings() {
  std::vector<Setting> result;
  if (!is("(") || breaks()) return result;
  const Brackets open(*this, 1);
  take();
  while (!is(")")) {
    Setting setting;
    setting.name = name("a setting such as lr");
    if (!accept(":") && !accept("=")) unexpected("':' after the setting's name");
    setting.value = expression();
    result.push_back(std::move(setting));
    if (!accept(",")) break;
  }
  expect(")", "after the settings");
  return result;
}

StmtPtr Parser::learn_statement() {
  StmtPtr stmt = make(StmtKind::learn);
  const Place start = take().place;
  take();
  const Brackets open(*this, 0);
  stmt->learn = std::make_unique<LearnDecl>();
  LearnDecl& learn = *stmt->learn;
  while (!accept("}")) {
    if (peek().kind == TokenKind::end) unexpected("'}' after the learn block");
    if (accept(";") || accept(",")) continue;
    const std::string word = is_name() && is(":", 1) ? peek().text : "";
    if (word == "objective" || word == "epochs") {
      take();
      take();
      (word == "objective" ? learn.objective : learn.epochs) = expression();
    } else if (word == "optimizer" || word == "scheduler") {
      take();
      take();
      if (word == "optimizer") learn.optimizer_place = peek().place;
      (word == "optimizer" ? learn.optimizer : learn.scheduler) = name("a name");
      (word == "optimizer" ? learn.optimizer_settings : learn.scheduler_settings) = settings();
    } else {
      learn.body.push_back(statement());
      if (!is(",")) end_of_statement();
    }
  }
  if (learn.optimizer.empty()) fail_at(start, "this learn block has no optimizer");
  if (!learn.epochs) fail_at(start, "this learn block has no epochs");
  return stmt;
}

StmtPtr Parser::entity_statement() {
  StmtPtr stmt = make(StmtKind::entity);
  take();
  stmt->text = name("an entity type");
  if (!accept("=")) return stmt;
  stmt->flag = true;
  const Brackets open(*this, 1);
  expect("{", "before the entities");
  while (!is("}")) {
    stmt->names.push_back(peek().kind == TokenKind::string ? take().text : name("an entity"));
    if (!accept(",")) break;
  }
  expect("}", "after the entities");
  return stmt;
}

StmtPtr Parser::relation_statement() {
  StmtPtr stmt = make(StmtKind::relation);
  take();
  stmt->text = name("a relation name");
  const Brackets open(*this, 1);
  expect("(", "after the relation's name");
  while (!is(")")) {
    stmt->params.push_back(parameter(false));
    if (!accept(",")) break;
  }
  expect(")", "after the parameters");
  if (is_name() && peek().text == "embed" && !peek().line_start) {
    take();
    stmt->type = type();
  }
  return stmt;
}

StmtPtr Parser::embedding_statement(bool relations) {
  StmtPtr stmt = make(StmtKind::embedding);
  stmt->flag = relations;
  take();
  stmt->text = name("a name");
  expect("{", "after the embedding's name");
  const Brackets open(*this, 1);
  while (!accept("}")) {
    Setting setting;
    setting.name = name("entities, dimension or init");
    expect(":", "after the setting's name");
    if (setting.name == "entities" || setting.name == "relations") {
      if (accept("{")) {
        while (!is("}")) {
          stmt->names.push_back(peek().kind == TokenKind::string ? take().text : name("a name"));
          if (!accept(",")) break;
        }
        expect("}", "after the names");
      } else {
        stmt->names.push_back("*" + name("a type, 'all' or 'auto'"));
      }
    } else {
      setting.value = expression();
      stmt->settings.push_back(std::move(setting));
    }
    accept(",");
  }
  return stmt;
}

Atom Parser::atom() {
  Atom result;
  result.place = peek().place;
  std::size_t skip = 0;
  if (is("not") || is("!")) skip = 1;
  at_ += skip;
  const std::size_t after = is_name() ? after_call() : 0;
  static constexpr std::string_view ends[] = {",", "?", "}", ";"};
  const bool is_atom =
      after != 0 && (peek(after).kind == TokenKind::end || peek(after).line_start || is("where", after) ||
                     (is("<", after) && is("-", after + 1)) || is(":", after) || is(":=", after) ||
                     std::any_of(std::begin(ends), std::end(ends), [&](auto text) { return is(text, after); }));
  if (!is_atom) {
    at_ -= skip;
    result.condition = expression();
    return result;
  }
  result.negated = skip == 1;
  result.relation = take().text;
  auto call = make(ExprKind::call, result.place);
  arguments(*call);
  result.terms = std::move(call->kids);
  return result;
}

std::vector<Atom> Parser::atoms() {
  std::vector<Atom> result;
  do result.push_back(atom());
  while (accept(",") || accept("and") || accept("&&"));
  return result;
}

StmtPtr Parser::rule_statement() {
  StmtPtr stmt = make(StmtKind::rule);
  stmt->atoms.push_back(atom());
  if (stmt->atoms[0].relation.empty()) fail_at(stmt->place, "the head of a rule is a relation with its arguments");
  if (!accept(":=")) {
    take();
    expect("-", "in the arrow of a rule");
  }
  for (Atom& one : atoms()) stmt->atoms.push_back(std::move(one));
  return stmt;
}

StmtPtr Parser::query_statement(std::string mode) {
  StmtPtr stmt = make(StmtKind::query);
  stmt->text = std::move(mode);
  stmt->atoms.push_back(atom());
  if (stmt->atoms[0].relation.empty()) fail_at(stmt->place, "a query asks for a relation with its arguments");
  expect("?", "after the query");
  if (accept("where")) {
    for (Atom& one : atoms()) stmt->atoms.push_back(std::move(one));
  }
  return stmt;
}

StmtPtr Parser::infer_statement() {
  StmtPtr stmt = make(StmtKind::block);
  take();
  static constexpr std::string_view modes[] = {"forward", "backward", "gradient", "symbolic"};
  const auto one = [&] {
    std::string mode = "symbolic";
    if (is_name() && is_name(1)) {
      mode = take().text;
      if (std::find(std::begin(modes), std::end(modes), mode) == std::end(modes)) {
        fail_at(stmt->place, "unknown inference '{}'; known are forward, backward, gradient, symbolic", mode);
      }
    }
    return query_statement(mode);
  };
  if (!accept("{")) return one();
  while (!accept("}")) {
    if (peek().kind == TokenKind::end) unexpected("'}'");
    if (accept(";") || accept(",")) continue;
    stmt->body.push_back(one());
  }
  return stmt;
}

}  // namespace tl::lang
