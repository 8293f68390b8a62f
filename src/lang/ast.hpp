#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lang/source.hpp"
#include "tensorlogic/dtype.hpp"

namespace tl::lang {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;
using Block = std::vector<StmtPtr>;

struct DimSpec {
  enum { fixed, named, any } kind = any;
  std::int64_t extent = 0;
  std::string name;
};

// `float16[2, N, ?] learnable`, `int`, `Person`, `Pair<int, T>`.
struct TypeSpec {
  std::string name;
  bool has_dims = false;
  std::vector<DimSpec> dims;
  std::vector<TypeSpec> arguments;
  bool learnable = false, frozen = false;
  Place place;
};

enum class ExprKind {
  integer,    // integer
  number,     // number
  boolean,    // integer
  string,     // text
  name,       // text
  array,      // kids
  set,        // kids: `{a, b}` after `in`
  unary,      // text, kids[0]
  binary,     // text, kids[0], kids[1]
  range,      // kids[0] .. kids[1]
  call,       // text, kids: arguments, names
  path_call,  // path `names[0]`::text, kids: arguments
  apply,      // kids[0] called with the others
  method,     // kids[0].text(others)
  member,     // kids[0].text
  index,      // kids[0][others]
  slice,      // kids[0] : kids[1], either may be null
  cast,       // kids[0] as type
  match,      // kids[0], arms
  structure,  // text { names: kids }
  statement,  // an `if` or block as a value
};

struct Pattern {
  enum { literal, wildcard, bind, any_of, structure } kind = wildcard;
  std::string name;  // bind, structure
  ExprPtr value;     // literal
  std::vector<Pattern> parts;
  std::vector<std::string> fields;
  Place place;
};
struct Arm {
  Pattern pattern;
  ExprPtr guard, value;
};

struct Expr {
  ExprKind kind = ExprKind::integer;
  Place place;
  std::string text;
  std::int64_t integer = 0;
  double number = 0;
  std::vector<ExprPtr> kids;
  std::vector<std::string> names;  // of arguments ("" when positional), of fields
  std::unique_ptr<TypeSpec> type;
  std::vector<Arm> arms;
  StmtPtr statement;
  int depth = 1;
};

struct ParamDecl {
  std::string name;
  std::optional<TypeSpec> type;
  Place place;
};
struct FnDecl {
  std::string name;
  std::vector<ParamDecl> params;
  std::optional<TypeSpec> result;
  Block body;
  Place place;
};
struct StructDecl {
  std::string name;
  std::vector<std::string> generics;
  std::vector<ParamDecl> fields;
  Place place;
};

// `P(X, "a")`, possibly negated, or a condition `X != Y`.
struct Atom {
  std::string relation;  // empty: a condition
  bool negated = false;
  std::vector<ExprPtr> terms;
  ExprPtr condition;
  Place place;
};

struct Setting {  // `lr: 0.1`
  std::string name;
  ExprPtr value;
};
struct LearnDecl {
  Block body;
  ExprPtr objective, epochs;
  std::string optimizer, scheduler;
  std::vector<Setting> optimizer_settings, scheduler_settings;
  Place optimizer_place;
};

enum class StmtKind {
  expression,  // exprs[0]
  let,         // text = exprs[0]
  assign,      // exprs[0] = exprs[1]
  tensor,      // text: type = exprs[0]?
  if_,         // exprs[0], body, other
  while_,      // exprs[0], body
  loop,        // body
  for_,        // text in exprs[0], body
  break_,
  continue_,
  return_,     // exprs[0]?
  block,       // body
  constraint,  // exprs[0] ~ exprs[1]
  function,    // fn
  structure,   // structure
  implement,   // text, methods
  import,      // text
  main,        // body
  test,        // text, body
  bench,       // text, body
  learn,       // learn
  entity,      // text, names; flag: listed
  relation,    // text, params
  rule,        // atoms[0] <- others
  query,       // text: mode ("" for a plain one), atoms[0], others: where
  with,        // text, body
  embedding,   // text, names: entities ("*type" or members), settings; flag: of relations
  python,      // text as names[0]
};

struct Stmt {
  StmtKind kind = StmtKind::block;
  Place place;
  std::string text;
  std::vector<std::string> names;
  std::vector<ExprPtr> exprs;
  Block body, other;
  std::optional<TypeSpec> type;
  std::vector<ParamDecl> params;
  std::shared_ptr<FnDecl> fn;
  std::vector<std::shared_ptr<FnDecl>> methods;
  std::shared_ptr<StructDecl> structure;
  std::unique_ptr<LearnDecl> learn;
  std::vector<Atom> atoms;
  std::vector<Setting> settings;
  bool flag = false;
};

// A parsed source; keeps the text that its places point into.
struct Script {
  std::shared_ptr<const Source> source;
  Block statements;
};

// The dtype that a type name stands for ("float16", "f32", "int32", "bool").
std::optional<DType> dtype_of_type(const std::string& name);

}  // namespace tl::lang
