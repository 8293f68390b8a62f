#include <algorithm>

#include "lang/parser_impl.hpp"

namespace tl::lang {

namespace {

struct Operator {
  std::string_view text;
  std::string_view name;  // the canonical spelling
};

// From loose to tight; all left associative.
const std::vector<Operator> levels[] = {
    {{"||", "||"}, {"or", "||"}},
    {{"&&", "&&"}, {"and", "&&"}},
    {{"==", "=="}, {"!=", "!="}, {"≈", "≈"}},
    {{"<=", "<="}, {">=", ">="}, {"<", "<"}, {">", ">"}},
    {},  // as
    {{"..", ".."}},
    {{"+", "+"}, {"-", "-"}},
    {{"*", "*"}, {"/", "/"}, {"%", "%"}, {"@", "@"}, {"⊙", "*"}, {"⊗", "⊗"}},
};
constexpr int level_count = 8;
constexpr int cast_level = 4;

}  // namespace

ExprPtr Parser::make(ExprKind kind, const Place& place) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->place = place;
  return expr;
}

ExprPtr Parser::finish(ExprPtr expr) const {
  for (const ExprPtr& kid : expr->kids) {
    if (kid) expr->depth = std::max(expr->depth, kid->depth + 1);
  }
  if (expr->depth > max_depth) fail_at(expr->place, "an expression of more than {} steps in a row", max_depth);
  return expr;
}

ExprPtr Parser::condition() {
  const bool saved = std::exchange(no_struct_, true);
  ExprPtr expr = expression();
  no_struct_ = saved;
  return expr;
}

ExprPtr Parser::binary(int level) {
  if (level == level_count) return unary();
  ExprPtr left = binary(level + 1);
  for (;;) {
    if (breaks()) return left;
    if (level == cast_level) {
      if (!is("as")) return left;
      auto cast = make(ExprKind::cast, take().place);
      cast->type = std::make_unique<TypeSpec>(type());
      cast->kids.push_back(std::move(left));
      left = finish(std::move(cast));
      continue;
    }
    const auto& ops = levels[level];
    const auto found = std::find_if(ops.begin(), ops.end(), [&](const Operator& op) { return is(op.text); });
    if (found == ops.end()) return left;
    auto expr = make(found->name == ".." ? ExprKind::range : ExprKind::binary, take().place);
    expr->text = found->name;
    expr->kids.push_back(std::move(left));
    expr->kids.push_back(binary(level + 1));
    left = finish(std::move(expr));
  }
}

ExprPtr Parser::unary() {
  if (is("-") || is("!") || is("not")) {
    const Nested nested(*this);
    auto expr = make(ExprKind::unary, peek().place);
    expr->text = is("-") ? "-" : "!";
    take();
    expr->kids.push_back(unary());
    return finish(std::move(expr));
  }
  return power();
}

ExprPtr Parser::power() {
  ExprPtr base = postfix();
  if (breaks() || !is("**")) return base;
  const Nested nested(*this);
  auto expr = make(ExprKind::binary, take().place);
  expr->text = "**";
  expr->kids.push_back(std::move(base));
  expr->kids.push_back(unary());
  return finish(std::move(expr));
}

void Parser::arguments(Expr& call) {
  const Nested nested(*this);
  const Brackets open(*this, 1);
  const bool saved = std::exchange(no_struct_, false);
  call.names.resize(call.kids.size());
  expect("(", "");
  while (!is(")")) {
    std::string label;
    if (is_name() && (is(":", 1) || is("=", 1))) {
      label = take().text;
      take();
    }
    call.names.push_back(label);
    call.kids.push_back(expression());
    if (!accept(",")) break;
  }
  expect(")", "or ',' after the argument");
  no_struct_ = saved;
}

ExprPtr Parser::subscript() {
  const Place place = peek().place;
  ExprPtr first;
  if (!is(":")) first = expression();
  if (!is(":")) return first;
  take();
  auto slice = make(ExprKind::slice, place);
  slice->kids.push_back(std::move(first));
  slice->kids.push_back(is(",") || is("]") ? nullptr : expression());
  return finish(std::move(slice));
}

ExprPtr Parser::postfix() {
  ExprPtr expr = primary();
  for (;;) {
    if (is(".")) {
      take();
      auto next = make(ExprKind::member, peek().place);
      if (peek().kind == TokenKind::keyword || peek().kind == TokenKind::integer) {
        next->text = take().text;
      } else {
        next->text = name("a property or method name");
      }
      next->kids.push_back(std::move(expr));
      if (is("(") && !breaks()) {
        next->kind = ExprKind::method;
        arguments(*next);
      }
      expr = finish(std::move(next));
    } else if (breaks()) {
      return expr;
    } else if (is("[")) {
      const Nested nested(*this);
      const Brackets open(*this, 1);
      const bool saved = std::exchange(no_struct_, false);
      auto next = make(ExprKind::index, take().place);
      next->kids.push_back(std::move(expr));
      while (!is("]")) {
        next->kids.push_back(subscript());
        if (!accept(",")) break;
      }
      expect("]", "after the index");
      if (next->kids.size() == 1) fail_at(next->place, "an index is missing");
      no_struct_ = saved;
      expr = finish(std::move(next));
    } else if (is("(")) {
      auto next = make(ExprKind::apply, peek().place);
      next->kids.push_back(std::move(expr));
      arguments(*next);
      expr = finish(std::move(next));
    } else {
      return expr;
    }
  }
}

bool Parser::struct_literal_ahead() const {
  if (no_struct_ || !is("{") || peek().line_start) return false;
  return is("}", 1) || (is_name(1) && is(":", 2));
}

ExprPtr Parser::name_expression() {
  const Token token = take();
  auto expr = make(ExprKind::name, token.place);
  expr->text = token.text;
  if (is("::")) {
    take();
    expr->kind = ExprKind::path_call;
    std::string owner = std::exchange(expr->text, name("a function name"));
    if (is("(")) {
      arguments(*expr);
    } else {
      fail_at(expr->place, "expected '(' after '{}::{}'", owner, expr->text);
    }
    expr->type = std::make_unique<TypeSpec>();
    expr->type->name = owner;
    return finish(std::move(expr));
  }
  if (token.text == "tensor" && is("<")) {
    take();
    TypeSpec element = type();
    expect(">", "after the element type");
    expr->kind = ExprKind::path_call;
    expr->text = "from_array";
    expr->type = std::make_unique<TypeSpec>(std::move(element));
    arguments(*expr);
    return finish(std::move(expr));
  }
  if (breaks()) return expr;
  if (is("(")) {
    expr->kind = ExprKind::call;
    arguments(*expr);
    return finish(std::move(expr));
  }
  if (struct_literal_ahead()) {
    const Nested nested(*this);
    const Brackets open(*this, 1);
    take();
    expr->kind = ExprKind::structure;
    while (!is("}")) {
      expr->names.push_back(name("a field name"));
      expect(":", "after the field name");
      expr->kids.push_back(expression());
      if (!accept(",") && !is("}") && !peek().line_start) unexpected("',' or '}'");
    }
    take();
    return finish(std::move(expr));
  }
  return expr;
}

ExprPtr Parser::primary() {
  const Token& token = peek();
  const Place place = token.place;
  switch (token.kind) {
    case TokenKind::integer: {
      auto expr = make(ExprKind::integer, place);
      expr->integer = take().integer;
      return expr;
    }
    case TokenKind::number: {
      auto expr = make(ExprKind::number, place);
      expr->number = take().number;
      return expr;
    }
    case TokenKind::string: {
      auto expr = make(ExprKind::string, place);
      expr->text = take().text;
      return expr;
    }
    case TokenKind::name: return name_expression();
    default: break;
  }
  const Nested nested(*this);
  if (is("true") || is("false")) {
    auto expr = make(ExprKind::boolean, place);
    expr->integer = take().text == "true" ? 1 : 0;
    return expr;
  }
  if (is("learnable") && is("(", 1)) return name_expression();
  if (is("match")) return match_expression();
  if (is("if")) {
    auto expr = make(ExprKind::statement, place);
    expr->statement = if_statement();
    return expr;
  }
  if (is("(")) {
    const Brackets open(*this, 1);
    const bool saved = std::exchange(no_struct_, false);
    take();
    ExprPtr expr = expression();
    expect(")", "after the expression");
    no_struct_ = saved;
    return expr;
  }
  if (is("[")) {
    const Brackets open(*this, 1);
    const bool saved = std::exchange(no_struct_, false);
    auto expr = make(ExprKind::array, take().place);
    while (!is("]")) {
      expr->kids.push_back(expression());
      if (!accept(",")) break;
    }
    expect("]", "or ',' after the element");
    no_struct_ = saved;
    return finish(std::move(expr));
  }
  unexpected("an expression");
}

ExprPtr Parser::match_expression() {
  auto expr = make(ExprKind::match, take().place);
  expr->kids.push_back(condition());
  const bool saved = std::exchange(no_struct_, false);
  expect("{", "after the matched value");
  const Brackets open(*this, 0);
  while (!accept("}")) {
    Arm arm;
    arm.pattern = pattern();
    if (accept("if")) arm.guard = expression();
    expect("=>", "after the pattern");
    if (is("{")) {
      arm.value = make(ExprKind::statement, peek().place);
      arm.value->statement = make(StmtKind::block);
      arm.value->statement->body = block("");
    } else {
      arm.value = expression();
    }
    expr->arms.push_back(std::move(arm));
    if (!accept(",") && !is("}") && !peek().line_start) unexpected("',' or '}'");
  }
  no_struct_ = saved;
  return expr;
}

Pattern Parser::pattern() {
  Pattern first = single_pattern();
  if (!is("|")) return first;
  Pattern result;
  result.kind = Pattern::any_of;
  result.place = first.place;
  result.parts.push_back(std::move(first));
  while (accept("|")) result.parts.push_back(single_pattern());
  return result;
}

Pattern Parser::single_pattern() {
  const Nested nested(*this);
  Pattern result;
  result.place = peek().place;
  if (!is_name()) {
    result.kind = Pattern::literal;
    result.value = unary();
    return result;
  }
  result.name = take().text;
  if (result.name == "_") return result;
  result.kind = Pattern::bind;
  if (!accept("{")) return result;
  result.kind = Pattern::structure;
  while (!accept("}")) {
    result.fields.push_back(name("a field name"));
    if (accept(":")) {
      result.parts.push_back(pattern());
    } else {
      Pattern bind;
      bind.kind = Pattern::bind;
      bind.name = result.fields.back();
      bind.place = result.place;
      result.parts.push_back(std::move(bind));
    }
    if (!is("}")) expect(",", "between fields");
  }
  return result;
}

}  // namespace tl::lang
