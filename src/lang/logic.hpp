#pragma once

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

// entity, relation, rule, query, with, embedding.
void run_logic(Interpreter::Impl& session, const Stmt& stmt);
// `P(a, b)` as a statement.
void add_fact(Interpreter::Impl& session, const Expr& call);

}  // namespace tl::lang
