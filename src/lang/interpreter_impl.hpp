#pragma once

#include <map>
#include <random>
#include <set>
#include <unordered_map>

#include "base/checked.hpp"
#include "base/elements.hpp"
#include "lang/builtins.hpp"
#include "lang/interpreter.hpp"
#include "lang/knowledge.hpp"
#include "lang/tensor_ops.hpp"

namespace tl::lang {

enum class Flow { normal, break_, continue_, return_ };

struct Scope {
  std::vector<std::pair<std::string, Datum>> variables;
};
// One call: its scopes, inner last, and the extents that dimension names stand for.
struct Frame {
  std::vector<Scope> scopes;
  std::map<std::string, std::int64_t> dims;
  const FnDecl* fn = nullptr;
};

struct Interpreter::Impl {
  explicit Impl(Options given);

  // Runs.
  std::shared_ptr<Script> load(const std::string& text, const std::string& name);
  Datum run(const std::shared_ptr<Script>& script, bool main = true);
  void declare(const Script& script);
  void start();
  void import(const std::string& file, const Place& place);
  std::string find_file(const std::string& file) const;  // as given when it exists nowhere

  // Statements.
  Flow run_block(const Block& block, Datum* last);
  Flow run_statements(const Block& block, Datum* last);
  Flow run_statement(const Stmt& stmt, Datum* last);
  Flow run_for(const Stmt& stmt);
  Flow run_loop(const Stmt& stmt);
  void run_tensor(const Stmt& stmt);
  void assign(const Expr& target, Datum value);
  void assign_index(const Expr& target, Datum value);
  void run_learn(const Stmt& stmt);
  void drop_scope(Scope& scope);

  // Expressions.
  Datum eval(const Expr& expr);
  Datum eval_inner(const Expr& expr);
  Datum eval_expecting(const Expr& expr, const TypeSpec* type);
  Datum eval_name(const Expr& expr);
  Datum eval_array(const Expr& expr, std::optional<DType> dtype);
  Datum eval_call(const Expr& expr);
  Datum eval_path_call(const Expr& expr);
  Datum eval_method(const Expr& expr);
  Datum eval_member(const Expr& expr);
  Datum eval_index(const Expr& expr);
  Datum eval_match(const Expr& expr);
  Datum eval_structure(const Expr& expr);
  Datum eval_binary(const Expr& expr);
  bool matches(const Pattern& pattern, const Datum& value);
  Datum member(const Datum& object, const std::string& name, const Place& place);
  Datum model_member(const ModelBox& box, const std::string& name);
  Datum call_function(const FnDecl& fn, std::vector<Datum> args, const std::vector<std::string>& names, const Place& place);
  Datum call_builtin(const std::string& name, std::vector<Datum> args, std::vector<std::string> names, const Place& place);
  Datum call_on_value(const Datum& object, const Expr& expr, std::vector<Datum> args, std::vector<std::string> names);

  // Values.
  TensorPtr tensor(const Datum& value, const char* what = "a tensor", DType number_type = DType::f16);
  bool is_tensor_like(const Datum& value) const;
  std::int64_t integer(const Datum& value, const char* what);
  double number(const Datum& value, const char* what);
  std::string text(const Datum& value, const char* what);
  Shape shape_of(const Datum& value, const char* what);
  bool truth(const Datum& value, const Place& place);
  Datum arithmetic(const std::string& op, const Datum& a, const Datum& b);
  Datum negate(const Datum& value);
  bool equal(const Datum& a, const Datum& b);
  Datum convert(const Datum& value, const TypeSpec& type, const std::string& what);
  Datum fit_tensor(TensorPtr value, const TypeSpec& type, const std::string& what);
  Datum index(const Datum& object, const std::vector<const Expr*>& subscripts);
  std::vector<Datum> elements(const Datum& value, const char* what);
  Datum array(std::vector<Datum> items, const char* kind = "array");
  Datum integers(const std::vector<std::int64_t>& values);

  // Variables.
  Datum* find(const std::string& name);
  Datum* find_local(const std::string& name);
  void declare_variable(const std::string& name, Datum value);

  void check_stack(const Place& place);
  void out(std::string_view text) const {
    if (options.out) options.out(text);
  }
  void err(std::string_view text) const {
    if (options.err) options.err(text);
  }

  Options options;
  std::shared_ptr<Budget> budget = std::make_shared<Budget>();
  TensorOps ops{budget};
  std::mt19937_64 random;
  std::vector<std::shared_ptr<Script>> scripts;  // kept: functions point into them
  std::map<std::string, Datum> globals;
  std::map<std::string, std::shared_ptr<FnDecl>> functions;
  std::map<std::string, std::shared_ptr<StructDecl>> structs;
  std::map<std::string, std::map<std::string, std::shared_ptr<FnDecl>>> methods;
  std::vector<std::pair<std::string, const Stmt*>> tests, benches;
  std::set<std::string> imported;
  std::vector<Frame> frames;
  std::vector<std::string> folders;  // of the running scripts
  Datum returned;
  const char* stack_base = nullptr;
  std::size_t stack_limit = 0;
  int call_depth = 0;
  double last_predict_seconds = 0;
  Knowledge knowledge;
};

// Runs `body`; errors without a place get this one.
template <class Body>
decltype(auto) at_place(const Place& place, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const Error& error) {
    if (error.message().starts_with("error: ")) throw;
    const std::string message = error.where().empty() ? error.message() : error.where() + ": " + error.message();
    throw make_error({diagnose(place, message)}, error.kind());
  }
}

// Names that a script uses without having them, wrong argument counts, unknown types.
std::vector<Diagnostic> check_script(const Script& script, const Interpreter::Impl& session);

}  // namespace tl::lang
