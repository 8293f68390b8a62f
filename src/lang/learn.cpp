#include "lang/interpreter_impl.hpp"

namespace tl::lang {

void Interpreter::Impl::run_learn(const Stmt& stmt) { fail_at(stmt.place, "not supported yet: learn blocks"); }

}  // namespace tl::lang
