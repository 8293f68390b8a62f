#include "lang/parser.hpp"

#include <algorithm>

#include "lang/parser_impl.hpp"

namespace tl::lang {

std::optional<DType> dtype_of_type(const std::string& name) {
  static const std::pair<std::string_view, DType> rows[] = {
      {"float16", DType::f16}, {"f16", DType::f16}, {"float32", DType::f32}, {"f32", DType::f32}, {"int16", DType::i16},
      {"int32", DType::i32},   {"i32", DType::i32}, {"int64", DType::i64},   {"i64", DType::i64}, {"bool", DType::boolean}};
  for (const auto& [text, dtype] : rows) {
    if (text == name) return dtype;
  }
  return std::nullopt;
}

Parser::Nested::Nested(Parser& parser) : parser_(parser) {
  if (++parser.nesting_ > max_nesting) {
    --parser.nesting_;
    fail_at(parser.peek().place, "nested deeper than {} levels", max_nesting);
  }
}

bool Parser::is(std::string_view text, std::size_t ahead) const {
  const Token& token = peek(ahead);
  return token.kind != TokenKind::string && token.kind != TokenKind::end && token.text == text;
}

bool Parser::accept(std::string_view text) {
  if (!is(text)) return false;
  take();
  return true;
}

void Parser::unexpected(std::string_view wanted) const {
  const Token& token = peek();
  if (token.kind == TokenKind::end) fail_at(token.place, "expected {}, found the end of the source", wanted);
  if (token.kind == TokenKind::string) fail_at(token.place, "expected {}, found a string", wanted);
  fail_at(token.place, "expected {}, found '{}'", wanted, token.text);
}

void Parser::expect(std::string_view text, std::string_view where) {
  if (!accept(text)) unexpected(fmt::format("'{}' {}", text, where));
}

std::string Parser::name(std::string_view what) {
  if (!is_name()) {
    if (peek().kind == TokenKind::keyword) fail_at(peek().place, "expected {}, '{}' is a reserved word", what, peek().text);
    unexpected(what);
  }
  return take().text;
}

StmtPtr Parser::make(StmtKind kind) const {
  auto stmt = std::make_unique<Stmt>();
  stmt->kind = kind;
  stmt->place = peek().place;
  return stmt;
}

Block Parser::program() {
  Block result;
  while (peek().kind != TokenKind::end) {
    if (accept(";")) continue;
    try {
      result.push_back(statement());
      end_of_statement();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::script) throw;
      Diagnostic found{error.where(), error.message(), ""};
      errors_.push_back(std::move(found));
      if (errors_.size() >= 20) break;
      resume();
    }
  }
  if (!errors_.empty()) {
    std::string text = errors_[0].message;
    for (std::size_t i = 1; i < errors_.size(); ++i) text += "\n" + errors_[i].where + ": " + errors_[i].message;
    throw Error(ErrorKind::script, text, errors_[0].where);
  }
  return result;
}

// To the next line on which a statement can start, outside of all brackets opened since.
void Parser::resume() {
  nesting_ = 0;
  brackets_ = 0;
  no_struct_ = false;
  int depth = 0;
  for (bool first = true; peek().kind != TokenKind::end; first = false) {
    if (!first && depth <= 0 && peek().line_start && !is("}") && !is(")") && !is("]")) return;
    if (is("{") || is("(") || is("[")) ++depth;
    if (is("}") || is(")") || is("]")) --depth;
    take();
  }
}

void Parser::end_of_statement() {
  if (accept(";") || peek().kind == TokenKind::end || is("}") || peek().line_start) return;
  unexpected("the end of the statement");
}

Block Parser::braced_statements() {
  Block result;
  while (!is("}")) {
    if (peek().kind == TokenKind::end) unexpected("'}'");
    if (accept(";")) continue;
    result.push_back(statement());
    end_of_statement();
  }
  return result;
}

Block Parser::block(std::string_view where) {
  const Nested nested(*this);
  const Brackets open(*this, 0);
  const bool saved = std::exchange(no_struct_, false);
  expect("{", where);
  Block result = braced_statements();
  take();
  no_struct_ = saved;
  return result;
}

StmtPtr Parser::statement() {
  const Nested nested(*this);
  const std::string& word = peek().text;
  if (peek().kind == TokenKind::keyword) {
    if (word == "let") return let_statement();
    if (word == "if") return if_statement();
    if (word == "for") return for_statement();
    if (word == "fn") return function_statement();
    if (word == "struct") return struct_statement();
    if (word == "impl") return impl_statement();
    StmtPtr stmt = make(StmtKind::block);
    if (accept("while")) {
      stmt->kind = StmtKind::while_;
      stmt->exprs.push_back(condition());
      stmt->body = block("after the condition");
      return stmt;
    }
    if (accept("loop")) {
      stmt->kind = StmtKind::loop;
      stmt->body = block("after 'loop'");
      return stmt;
    }
    if (accept("main")) {
      stmt->kind = StmtKind::main;
      stmt->body = block("after 'main'");
      return stmt;
    }
    if (accept("break")) {
      stmt->kind = StmtKind::break_;
      return stmt;
    }
    if (accept("continue")) {
      stmt->kind = StmtKind::continue_;
      return stmt;
    }
    if (accept("return")) {
      stmt->kind = StmtKind::return_;
      if (!is("}") && !is(";") && !peek().line_start && peek().kind != TokenKind::end) stmt->exprs.push_back(expression());
      return stmt;
    }
    if (accept("import")) {
      stmt->kind = StmtKind::import;
      if (peek().kind != TokenKind::string) unexpected("a file name in quotes");
      stmt->text = take().text;
      return stmt;
    }
  }
  if (is("{")) {
    StmtPtr stmt = make(StmtKind::block);
    stmt->body = block("");
    return stmt;
  }
  if (StmtPtr special = special_statement()) return special;
  return expression_statement();
}

StmtPtr Parser::let_statement() {
  StmtPtr stmt = make(StmtKind::let);
  take();
  stmt->text = name("a variable name");
  if (accept(":")) stmt->type = type();
  if (!accept("=") && !accept(":=")) unexpected("'='");
  stmt->exprs.push_back(expression());
  return stmt;
}

StmtPtr Parser::tensor_statement() {
  StmtPtr stmt = make(StmtKind::tensor);
  take();
  stmt->text = name("a tensor name");
  if (accept(":")) stmt->type = type();
  if (accept("=") || accept(":=")) stmt->exprs.push_back(expression());
  if (!stmt->type && stmt->exprs.empty()) unexpected("':' and a type, or '=' and a value,");
  return stmt;
}

StmtPtr Parser::if_statement() {
  const Nested nested(*this);
  StmtPtr stmt = make(StmtKind::if_);
  take();
  stmt->exprs.push_back(condition());
  stmt->body = block("after the condition");
  if (accept("else")) {
    if (is("if")) {
      stmt->other.push_back(if_statement());
    } else {
      stmt->other = block("after 'else'");
    }
  }
  return stmt;
}

StmtPtr Parser::for_statement() {
  StmtPtr stmt = make(StmtKind::for_);
  take();
  stmt->text = name("a loop variable");
  expect("in", "after the loop variable");
  if (is("{")) {
    const Brackets open(*this, 1);
    auto set = make(ExprKind::set, take().place);
    while (!is("}")) {
      set->kids.push_back(expression());
      if (!accept(",")) break;
    }
    expect("}", "after the values");
    stmt->exprs.push_back(finish(std::move(set)));
  } else {
    stmt->exprs.push_back(condition());
  }
  stmt->body = block("after what the loop goes over");
  return stmt;
}

ParamDecl Parser::parameter(bool needs_type) {
  ParamDecl param;
  param.place = peek().place;
  param.name = name("a name");
  if (needs_type) {
    expect(":", "and a type");
    param.type = type();
  } else if (accept(":")) {
    param.type = type();
  }
  return param;
}

std::shared_ptr<FnDecl> Parser::function() {
  auto fn = std::make_shared<FnDecl>();
  expect("fn", "");
  fn->place = peek().place;
  fn->name = name("a function name");
  if (accept("<")) {
    while (!accept(">")) {
      name("a type parameter");
      if (!is(">")) expect(",", "between type parameters");
    }
  }
  {
    const Brackets open(*this, 1);
    expect("(", "after the function name");
    while (!is(")")) {
      fn->params.push_back(parameter(false));
      if (!accept(",")) break;
    }
  }
  expect(")", "after the parameters");
  if (accept("->")) fn->result = type();
  fn->body = block("before the function's body");
  return fn;
}

StmtPtr Parser::function_statement() {
  StmtPtr stmt = make(StmtKind::function);
  stmt->fn = function();
  stmt->text = stmt->fn->name;
  return stmt;
}

StmtPtr Parser::struct_statement() {
  StmtPtr stmt = make(StmtKind::structure);
  take();
  auto decl = std::make_shared<StructDecl>();
  decl->place = peek().place;
  decl->name = stmt->text = name("a struct name");
  if (accept("<")) {
    while (!accept(">")) {
      decl->generics.push_back(name("a type parameter"));
      if (!is(">")) expect(",", "between type parameters");
    }
  }
  expect("{", "after the struct name");
  const Brackets open(*this, 1);
  while (!is("}")) {
    decl->fields.push_back(parameter(true));
    if (!accept(",") && !accept(";") && !is("}") && !peek().line_start) unexpected("',' or '}'");
  }
  take();
  stmt->structure = std::move(decl);
  return stmt;
}

StmtPtr Parser::impl_statement() {
  StmtPtr stmt = make(StmtKind::implement);
  take();
  stmt->text = type().name;
  if (accept("for")) {
    stmt->names.push_back(stmt->text);  // the trait
    stmt->text = type().name;
  }
  expect("{", "after the struct name");
  const Brackets open(*this, 0);
  while (!accept("}")) {
    if (!is("fn")) unexpected("'fn' or '}'");
    stmt->methods.push_back(function());
  }
  return stmt;
}

TypeSpec Parser::type() {
  const Nested nested(*this);
  TypeSpec result;
  result.place = peek().place;
  result.name = name("a type");
  if (accept("<")) {
    do result.arguments.push_back(type());
    while (accept(","));
    expect(">", "after the type's arguments");
  }
  if (is("[") && !breaks()) {
    const Brackets open(*this, 1);
    take();
    result.has_dims = true;
    while (!is("]")) {
      DimSpec dim;
      if (accept("?")) {
        dim.kind = DimSpec::any;
      } else if (peek().kind == TokenKind::integer) {
        dim.kind = DimSpec::fixed;
        dim.extent = take().integer;
      } else {
        dim.kind = DimSpec::named;
        dim.name = name("a dimension: a number, a name or '?'");
      }
      result.dims.push_back(dim);
      if (!accept(",")) break;
    }
    expect("]", "after the dimensions");
  }
  for (;;) {
    if (accept("learnable")) {
      result.learnable = true;
    } else if (accept("frozen")) {
      result.frozen = true;
    } else {
      return result;
    }
  }
}

StmtPtr Parser::expression_statement() {
  const std::size_t after = is_name() ? after_call() : 0;
  if (after != 0) {
    const bool rule = (is("<", after) && is("-", after + 1) && peek(after + 1).glued) || is(":=", after) ||
                      (is(":", after) && is("-", after + 1) && peek(after + 1).glued);
    if (rule && !peek(after).line_start) return rule_statement();
    if (is("?", after)) return query_statement("");
  }
  StmtPtr stmt = make(StmtKind::expression);
  stmt->exprs.push_back(expression());
  if (breaks()) return stmt;
  static constexpr std::string_view compound[] = {"+=", "-=", "*=", "/="};
  for (const std::string_view op : compound) {
    if (!is(op)) continue;
    fail_at(peek().place, "'{}' is not part of the language; write x = x {} ...", op, op.substr(0, 1));
  }
  if (is("=") || is(":=")) {
    const ExprKind kind = stmt->exprs[0]->kind;
    if (kind != ExprKind::name && kind != ExprKind::index && kind != ExprKind::member) {
      fail_at(stmt->exprs[0]->place, "cannot assign to this; a variable, x[i] or s.field can stand before '='");
    }
    take();
    stmt->kind = StmtKind::assign;
    stmt->exprs.push_back(expression());
  } else if (accept("~")) {
    stmt->kind = StmtKind::constraint;
    stmt->exprs.push_back(expression());
  }
  return stmt;
}

std::shared_ptr<Script> parse(std::shared_ptr<const Source> source) {
  auto script = std::make_shared<Script>();
  script->source = source;
  script->statements = Parser(*source).program();
  return script;
}

bool is_incomplete(const std::string& text) {
  const Source source{"", text};
  try {
    int depth = 0;
    for (const Token& token : lex(source)) {
      if (token.kind != TokenKind::symbol) continue;
      if (token.text == "(" || token.text == "[" || token.text == "{") ++depth;
      if (token.text == ")" || token.text == "]" || token.text == "}") --depth;
    }
    return depth > 0;
  } catch (const Error& error) {
    return error.message().find("comment never ends") != std::string::npos;
  }
}

}  // namespace tl::lang
