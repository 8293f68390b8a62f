#pragma once

#include "lang/ast.hpp"
#include "lang/lexer.hpp"

namespace tl::lang {

// Recursive descent over the tokens of one source; the parts stand in parser*.cpp.
class Parser {
 public:
  explicit Parser(const Source& source) : source_(source), tokens_(lex(source)) {}
  Block program();

 private:
  static constexpr int max_nesting = 200;
  static constexpr int max_depth = 2000;  // of a chain such as a + b + c

  // Tokens.
  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is(std::string_view text, std::size_t ahead = 0) const;
  bool is_name(std::size_t ahead = 0) const { return peek(ahead).kind == TokenKind::name; }
  bool accept(std::string_view text);
  void expect(std::string_view text, std::string_view where);
  std::string name(std::string_view what);
  bool breaks() const { return peek().line_start && brackets_ == 0; }
  [[noreturn]] void unexpected(std::string_view wanted) const;

  // Statements.
  StmtPtr statement();
  StmtPtr make(StmtKind kind) const;
  Block block(std::string_view where);
  Block braced_statements();
  void end_of_statement();
  void resume();
  StmtPtr let_statement();
  StmtPtr tensor_statement();
  StmtPtr if_statement();
  StmtPtr for_statement();
  StmtPtr function_statement();
  StmtPtr struct_statement();
  StmtPtr impl_statement();
  StmtPtr expression_statement();
  std::shared_ptr<FnDecl> function();
  ParamDecl parameter(bool needs_type);
  TypeSpec type();

  // Learning and logic.
  StmtPtr special_statement();
  StmtPtr learn_statement();
  std::vector<Setting> settings();
  StmtPtr entity_statement();
  StmtPtr relation_statement();
  StmtPtr embedding_statement(bool relations);
  StmtPtr rule_statement();
  StmtPtr query_statement(std::string mode);
  StmtPtr infer_statement();
  Atom atom();
  std::vector<Atom> atoms();
  std::size_t after_call() const;  // offset of the token after `name(...)`, 0 when there is none

  // Expressions.
  ExprPtr expression() { return binary(0); }
  ExprPtr condition();
  ExprPtr binary(int level);
  ExprPtr unary();
  ExprPtr power();
  ExprPtr postfix();
  ExprPtr primary();
  ExprPtr name_expression();
  ExprPtr match_expression();
  Pattern pattern();
  Pattern single_pattern();
  ExprPtr subscript();
  void arguments(Expr& call);
  bool struct_literal_ahead() const;
  ExprPtr make(ExprKind kind, const Place& place) const;
  ExprPtr finish(ExprPtr expr) const;

  struct Nested {
    explicit Nested(Parser& parser);
    ~Nested() { --parser_.nesting_; }
    Parser& parser_;
  };
  struct Brackets {  // newlines mean nothing inside
    Brackets(Parser& parser, int count) : parser_(parser), saved_(parser.brackets_) { parser.brackets_ = count; }
    ~Brackets() { parser_.brackets_ = saved_; }
    Parser& parser_;
    int saved_;
  };

  const Source& source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  int brackets_ = 0;
  bool no_struct_ = false;  // in a condition `x { ` opens a block
  std::vector<Diagnostic> errors_;
};

}  // namespace tl::lang
