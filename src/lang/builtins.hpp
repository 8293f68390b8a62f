#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lang/interpreter.hpp"
#include "lang/tensor_ops.hpp"

namespace tl::lang {

// A call of a builtin: its arguments, labels ("" when positional), the session.
struct Call {
  Interpreter::Impl& session;
  std::string_view name;
  std::vector<Datum> args;
  std::vector<std::string> labels;

  bool has(std::size_t i) const { return i < args.size() && !args[i].is_void(); }
  TensorPtr tensor(std::size_t i) const;
  TensorPtr floats(std::size_t i) const;  // integers and booleans become float16
  std::int64_t integer(std::size_t i) const;
  std::int64_t integer(std::size_t i, std::int64_t fallback) const { return has(i) ? integer(i) : fallback; }
  double number(std::size_t i) const;
  double number(std::size_t i, double fallback) const { return has(i) ? number(i) : fallback; }
  std::string text(std::size_t i) const;
  bool flag(std::size_t i, bool fallback) const;
  Shape shape(std::size_t i) const;
  TensorOps& ops() const;
};

struct Builtin {
  std::string_view name;
  int min_args;
  int max_args;  // -1: any number
  std::string_view signature;
  std::string_view doc;
  Datum (*run)(Call&);
};

// One row per builtin in builtins.inc; null for unknown names.
const Builtin* find_builtin(std::string_view name) noexcept;
const std::map<std::string_view, Builtin>& builtins();

#define TL_BUILTIN(id, name, min, max, signature, doc) Datum builtin_##id(Call& c);
#include "lang/builtins.inc"
#undef TL_BUILTIN

}  // namespace tl::lang
